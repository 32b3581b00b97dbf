"""Reports of runs: what they say, and that nothing in a run's folder can break them."""

from __future__ import annotations

import html.parser
import json
import re
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from art_crop.bench.reporting import write_report
from art_crop.bench.reporting.charts import Series, line_chart
from art_crop.bench.reporting.page import environment
from art_crop.bench.store import EXCLUDED
from art_crop.errors import InvalidInputError, OutputError

HOSTILE = (
    '<img src=x onerror="alert(1)">.jpg',
    "</script><script>alert(2)</script>.jpg",
    "\" onmouseover='alert(3)' x=\".jpg",
    "invoice\u202egpj.exe",
    "{{script}} {{css}}.jpg",
    "a|b`c`*d*[e](javascript:alert(4)).jpg",
    "<!-- .jpg",
)


class Elements(html.parser.HTMLParser):
    """Every element of a page with its attributes, and the text of scripts and styles apart from what is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.scripts: list[str] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._inside = tag if tag in ("script", "style") else self._inside
        if tag == "script":
            self.scripts.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = "" if tag == self._inside else self._inside

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts[-1] += data
        elif not self._inside:
            self.text.append(data)


def page_of(run: Path) -> Elements:
    elements = Elements()
    elements.feed(write_report(run).html.read_text(encoding="utf-8"))
    return elements


def test_page_markdown_and_json_say_the_same(tmp_path: Path, synthetic: Any) -> None:
    run = synthetic.write_run(tmp_path / "run", synthetic.results(30))
    files = write_report(run, tmp_path / "elsewhere")
    assert {path.name for path in (tmp_path / "elsewhere").iterdir()} == {"report.html", "report.md", "report.json"}
    data = json.loads(files.json.read_text(encoding="utf-8"))
    assert (data["photos"], data["results"], data["run"]["suite_sha256"]) == (30, 180, "c" * 64)
    line = next(x for x in data["tables"][0]["lines"] if x["row"].startswith("proposed") and x["column"] == "20")
    cell = line["cells"]["share-at-target"]
    shown = f"{100 * cell['estimate']:.1f}% [{100 * cell['low']:.1f}, {100 * cell['high']:.1f}]"
    assert shown in files.markdown.read_text(encoding="utf-8")
    page = files.html.read_text(encoding="utf-8")
    assert f"<b>{100 * cell['estimate']:.1f}%</b>" in page
    assert line["cells"]["mean shift"]["paper"] == 0.658
    assert "65.8%" in page
    assert "65.8%" in files.markdown.read_text(encoding="utf-8")
    for word in ("gaze-lite", "Apache-2.0", "2.13.0", "x86_64", "Distribution of the shift", "Loss against passes"):
        assert word in page


def test_what_failed_is_told_at_the_head_and_stands_in_the_tables(tmp_path: Path, synthetic: Any) -> None:
    wrong = {"success": None, "metrics": {}, "l2": None, "error": "boom", "error_kind": "RuntimeError"}
    rows = [synthetic.row(i, method="noise", attacked="") for i in range(4)]
    rows += [synthetic.row(i, attacked=name, **wrong) for i in range(4) for name in ("contrast-saliency", "gaze-lite")]
    rows += [synthetic.row(i, eps=20.0, attacked="gaze-lite", **wrong) for i in range(4)]
    files = write_report(synthetic.write_run(tmp_path / "run", rows))
    said = (
        "12 results ended with an error and are in no number: proposed (3 steps, Grad-CAM) from gaze-lite (8), "
        "proposed (3 steps, Grad-CAM) from contrast-saliency (4); see Errors."
    )
    data = json.loads(files.json.read_text(encoding="utf-8"))
    assert data["notices"] == [said]
    failed = [(line["row"][:8], line["column"], line["failed"]) for line in data["tables"][0]["lines"]]
    assert ("proposed", "10", 4) in failed
    page, markdown = (path.read_text(encoding="utf-8") for path in (files.html, files.markdown))
    assert said in page.split("<main>")[0]
    assert f"> {said}" in markdown
    assert "| proposed (3 steps, Grad-CAM) | 10 | 0 (4 failed) | – |" in markdown
    assert page.count("0 (4 failed)") == 3
    one = write_report(synthetic.write_run(tmp_path / "one", [synthetic.row(0), synthetic.row(1, **wrong)]))
    assert "1 result ended with an error and is in no number: proposed (3 steps" in one.html.read_text(encoding="utf-8")


def test_reading_results_imports_neither_torch_nor_art(tmp_path: Path, synthetic: Any) -> None:
    run = str(synthetic.write_run(tmp_path / "run", synthetic.results(3)))
    code = f"""
import sys
from art_crop.cli.main import app
for command in (["report", {run!r}], ["compare", {run!r}, {run!r}], ["leaderboard", {run!r}, "--out", {run!r}]):
    try:
        app(["bench", *command])
    except SystemExit as end:
        assert end.code == 0, end.code
print("loaded:", [name for name in ("torch", "art") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "loaded: []" in done.stdout


def test_photos_that_the_last_command_did_not_ask_for_are_told(tmp_path: Path, synthetic: Any) -> None:
    """As after a smaller --limit, or where a photo was changed between two commands."""
    rows = [synthetic.row(i) for i in range(4)]
    same = write_report(synthetic.write_run(tmp_path / "same", rows, data={"photos": 4}))
    assert json.loads(same.json.read_text(encoding="utf-8"))["notices"] == []
    rows.append(synthetic.row(0, photo_sha256="f" * 64))
    more = write_report(synthetic.write_run(tmp_path / "more", rows, data={"photos": 4}))
    (notice,) = json.loads(more.json.read_text(encoding="utf-8"))["notices"]
    assert notice.startswith("The results are of 5 photos, and the last command of this run asked for 4")


@pytest.mark.parametrize(
    "change", [{"seed": 2**62}, {"queries": -(2**63)}, {"curve": [1e301, -1e301]}, {"curve": [5e-324, 0.0]}]
)
def test_numbers_of_any_size_are_shown(tmp_path: Path, synthetic: Any, change: dict[str, Any]) -> None:
    rows = [synthetic.row(i, curve_of="loss", **change) for i in range(4)]
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        warnings.simplefilter("error", UserWarning)
        files = write_report(synthetic.write_run(tmp_path / "run", rows))
    assert json.loads(files.json.read_text(encoding="utf-8"))["results"] == 4


def test_a_report_made_twice_is_the_same_report(tmp_path: Path, synthetic: Any) -> None:
    run = synthetic.write_run(tmp_path / "run", synthetic.results(12))
    first, second = ([p.read_bytes() for p in vars(write_report(run)).values()] for _ in range(2))
    assert first == second


def test_hostile_names_stay_text(tmp_path: Path, synthetic: Any) -> None:
    rows = [synthetic.row(i, photo=name, method=name) for i, name in enumerate(HOSTILE)]
    rows += [synthetic.row(50 + i, photo=n, error=n, error_kind=n, success=None) for i, n in enumerate(HOSTILE)]
    synthetic.keep_images(tmp_path / "run", rows, len(HOSTILE))
    info = {"command": HOSTILE[0], "suite": HOSTILE[1], "machine": {"processor": HOSTILE[2]}}
    info["models"] = {HOSTILE[0]: {"licence": HOSTILE[1], "weights_sha256": HOSTILE[2]}}
    run = synthetic.write_run(tmp_path / "run", rows, **info)
    page = page_of(run)
    scripts = [attributes for tag, attributes in page.found if tag == "script"]
    assert len(scripts) == 3
    assert [s.get("type") for s in scripts] == ["application/json", "application/json", None]
    for tag, attributes in page.found:
        assert not [name for name in attributes if name.startswith("on")], (tag, attributes)
        assert tag != "img" or "src" not in attributes
        for name in ("src", "href", "action"):
            assert (attributes.get(name) or "#")[0] == "#" or attributes[name] == "data:,", (tag, attributes)
    shown = "".join(page.text)
    for name in HOSTILE:
        assert name.replace("\u202e", "⟨U+202E⟩") in shown
    assert "\u202e" not in shown
    categories = json.loads(page.scripts[0])["columns"][0]["categories"]
    assert set(categories) == {name.replace("\u202e", "⟨U+202E⟩") for name in HOSTILE}
    markdown = (run / "report.md").read_text(encoding="utf-8")
    assert not re.search(r"<(img|script|!--)", markdown)
    assert not re.search(r"(?<!\\)\]\(javascript", markdown)


def test_hidden_signs_are_shown_in_legends_charts_and_labels_too(tmp_path: Path, synthetic: Any) -> None:
    name = "invoice\u202egpj.exe"
    rows = [synthetic.row(i, photo=f"{name}{i}", method=name, eps=e, curve_of="loss", curve=[2.0, 1.0])
            for i in range(4) for e in (1.0, 2.0)]  # fmt: skip
    synthetic.keep_images(tmp_path / "run", rows, 2)
    run = synthetic.write_run(tmp_path / "run", rows)
    html = write_report(run).html.read_text(encoding="utf-8")
    assert "Loss against passes" in html
    assert "\u202e" not in html


def test_licences_of_photos_and_models_are_shown_as_text(tmp_path: Path, synthetic: Any) -> None:
    data = {"dataset": "osie", "photos": 3, "licence": "<b>CC BY</b> | 4.0"}
    run = synthetic.write_run(tmp_path / "run", [synthetic.row(i) for i in range(3)], data=data)
    files = write_report(run)
    footer = files.html.read_text(encoding="utf-8").split("<footer>")[1].split("</footer>")[0]
    assert "the photos (osie): &lt;b&gt;CC BY&lt;/b&gt; | 4.0; gaze-lite: MIT; fastgaze: Apache-2.0." in footer
    assert "&lt;b&gt;CC BY&lt;/b&gt; \\| 4.0; gaze-lite: MIT" in files.markdown.read_text(encoding="utf-8")
    assert json.loads(files.json.read_text(encoding="utf-8"))["run"]["data"]["licence"] == data["licence"]
    without = synthetic.write_run(tmp_path / "without", [synthetic.row(0)], models={}, data={"photos": 1})
    assert "Licences" not in write_report(without).html.read_text(encoding="utf-8")


def test_no_address_of_another_place_is_in_the_page(tmp_path: Path, synthetic: Any) -> None:
    rows = synthetic.results(6)
    synthetic.keep_images(tmp_path / "run", rows)
    text = write_report(synthetic.write_run(tmp_path / "run", rows)).html.read_text(encoding="utf-8")
    assert re.findall(r"(?:https?:)?//[a-z0-9.-]+\.[a-z]{2,}|@import|url\(", text) == []
    assert "default-src 'none'" in text
    assert "<title>Tables 1 and 2 – art-crop bench</title>" in text


def test_embedded_json_cannot_end_its_element() -> None:
    value = {"a": "</script><!--", "b": "\u2028&<>"}
    text = environment().from_string("{{ value | tojson }}").render(value=value)
    assert not set("<>&\u2028") & set(text)
    assert json.loads(text) == value


@pytest.mark.parametrize("case", ["nothing", "only errors", "only left out", "no metrics", "one row"])
def test_runs_with_little_in_them_have_sensible_pages(tmp_path: Path, synthetic: Any, case: str) -> None:
    failed = {"success": None, "metrics": {}, "error": "CUDA out of memory", "error_kind": "RuntimeError"}
    bare = {"success": None, "metrics": {}, "eps": None, "l2": None, "linf": None, "curve": None, "facts": None}
    rows = {
        "nothing": [],
        "only errors": [synthetic.row(i, **failed) for i in range(5)],
        "only left out": [synthetic.row(i, **{**failed, "error_kind": EXCLUDED}) for i in range(5)],
        "no metrics": [synthetic.row(i, **bare) for i in range(5)],
        "one row": [synthetic.row(0)],
    }[case]
    run = synthetic.write_run(tmp_path / "run", rows)
    shown = " ".join("".join(page_of(run).text).split())
    expected = {
        "nothing": "There are no results yet",
        "only errors": "CUDA out of memory",
        "only left out": "photo-0000.jpg: CUDA out of memory",
        "no metrics": "5 results",
        "one row": "1 photos",
    }[case]
    assert expected in shown.replace("5results", "5 results").replace("1photos", "1 photos")


def test_a_run_that_is_going_on_says_what_is_missing(tmp_path: Path, synthetic: Any) -> None:
    run = synthetic.write_run(tmp_path / "run", synthetic.results(10), data={"photos": 12})
    (run / "results" / "part-x.parquet").write_bytes(b"half of a part")
    files = write_report(run)
    data = json.loads(files.json.read_text(encoding="utf-8"))
    assert any("part-x.parquet is damaged" in notice for notice in data["notices"])
    assert str(tmp_path) not in files.html.read_text(encoding="utf-8")
    # This suite has no attacks that can be read: six settings have rows, so 72 were to come.
    said = "60 of 72 results: this run is not finished. The same command goes on."
    assert data["notices"][0] == said
    assert (data["finished"], data["found"], data["expected"]) == (False, 60, 72)
    assert said in files.markdown.read_text(encoding="utf-8")
    assert said in files.html.read_text(encoding="utf-8")
    assert "<b>83%</b><span>of the run is there</span>" in files.html.read_text(encoding="utf-8")


def test_photos_outside_the_run_and_broken_ones_are_not_shown(tmp_path: Path, synthetic: Any) -> None:
    rows = [synthetic.row(i) for i in range(4)]
    synthetic.keep_images(tmp_path / "run", rows, 4)
    Image.fromarray(np.zeros((9, 9, 3), np.uint8)).save(tmp_path / "secret.png")
    rows[0]["image"] = "../secret.png"
    rows[1]["image"] = str(tmp_path / "secret.png")
    (tmp_path / "run" / rows[2]["image"]).write_bytes(b"no photo")
    page = page_of(synthetic.write_run(tmp_path / "run", rows))
    shown = "".join(page.text)
    assert len([1 for tag, attributes in page.found if attributes.get("class") == "slider"]) == 1
    assert "1 of 4 kept results" in shown
    assert "outside the run's folder" in shown
    assert str(tmp_path) not in shown.replace(str(tmp_path / "secret.png"), "")


def test_the_gallery_is_limited_and_mixes_methods(tmp_path: Path, synthetic: Any) -> None:
    rows = synthetic.results(8)
    synthetic.keep_images(tmp_path / "run", rows, len(rows))
    run = synthetic.write_run(tmp_path / "run", rows)
    files = write_report(run, photos=6)
    text = files.html.read_text(encoding="utf-8")
    assert text.count('class="slider"') == 6
    assert f"6 of {len(rows)} kept results" in text
    names = {piece.partition("</span>")[0] for piece in text.split('<figcaption><span class="name">')[1:]}
    assert len(names) > 2, "not always the first photos"
    assert {method for method in synthetic.METHODS if f"<br><bdi>{method} · " in text} == set(synthetic.METHODS)
    assert 'class="window c1"' in text
    assert 'class="point after"' in text


@pytest.mark.parametrize(
    ("suite", "words", "outlines"),
    [
        ({}, "column profile, the sum of each of its columns, came to the", ["0.56", "1"]),
        ({"protocol_options": {"peak": "cell", "ratios": [0.5]}}, "map’s highest cell came", ["0.5"]),
        ({"protocol": "crop-window", "protocol_options": {"min_psnr": 38.5}},
         "contain the dashed box, and that the photo keeps a PSNR of at least 38.5 dB", ["0.56", "1", "wanted region"]),
        ({"protocol": "another", "protocol_options": 7}, "", []),
    ],
)  # fmt: skip
def test_the_gallery_says_what_reached_means_and_which_colour_is_which_crop(
    tmp_path: Path, synthetic: Any, suite: dict[str, Any], words: str, outlines: list[str]
) -> None:
    rows = [synthetic.row(i) for i in range(2)]
    synthetic.keep_images(tmp_path / "run", rows, 2)
    for row in rows:
        facts = json.loads(row["facts"])
        facts.pop("ratios")  # as runs have them: the suite knows the ratios
        row["facts"] = json.dumps({**facts, **({"region": [0.2, 0.1, 0.5, 0.3]} if "min_psnr" in str(suite) else {})})
    run = synthetic.write_run(tmp_path / "run", rows, suite_content={"protocol": "second-peak", **suite})
    section = write_report(run).html.read_text(encoding="utf-8").split('id="photos"')[1].split("</section>")[0]
    legend = re.findall(r'class="key ([a-z0-9]+)"></span>(?:crop )?([^<]+)</li>', section)
    assert [name for _, name in legend] == outlines
    assert [kind for kind, _ in legend] == ["c0", "c1", "region"][: len(legend)]
    above = section.split('class="gallery"')[0]
    assert words in above
    assert ("“Reached” means" in above) == bool(words)


def test_captions_tell_seeds_apart(tmp_path: Path, synthetic: Any) -> None:
    for seeds in ((0, 7), (7,)):
        rows = [synthetic.row(i, seed=k) for i in range(2) for k in seeds]
        synthetic.keep_images(tmp_path / str(seeds), rows, len(rows))
        text = write_report(synthetic.write_run(tmp_path / str(seeds), rows)).html.read_text(encoding="utf-8")
        assert text.count("budget 10 · seed 7<") == (2 if len(seeds) > 1 else 0)


@pytest.mark.parametrize(
    "facts",
    ["", "no JSON", "[1]", '{"crops_before": 7, "ratios": "x"}', '{"crops_after": [[1, 2], null, ["a", 0, 0, 0]]}',
     '{"region": [1e400, 0, 1, 1], "salient_point_before": [NaN, 1]}', '{"saliency_before": [["a"], [2]]}', "[" * 5000],
)  # fmt: skip
def test_facts_of_the_wrong_shape_are_passed_over(tmp_path: Path, synthetic: Any, facts: str) -> None:
    rows = [synthetic.row(0)]
    synthetic.keep_images(tmp_path / "run", rows, 1)
    rows[0]["facts"] = facts
    text = write_report(synthetic.write_run(tmp_path / "run", rows)).html.read_text(encoding="utf-8")
    assert 'class="slider"' in text
    assert "nan" not in text.split('class="gallery"')[1].split("</section>")[0].lower()


@pytest.mark.parametrize(
    "details",
    [
        {"score before": 0.71234, "label_after": "<b>heron</b>", "confident": True, "odd": [1, 2], "none": None},
        [["score before", 0.71234], ["label_after", "<b>heron</b>"], ["confident", True], ["odd", [1]], ["none"], 7],
    ],
)
def test_a_photo_without_a_region_has_its_details_as_words(tmp_path: Path, synthetic: Any, details: Any) -> None:
    """As of a quality score or of a class, where there is nothing to draw on the photo."""
    rows = [synthetic.row(0)]
    synthetic.keep_images(tmp_path / "run", rows, 1)
    rows[0]["facts"] = json.dumps(details)
    page = page_of(synthetic.write_run(tmp_path / "run", rows))
    text = (tmp_path / "run" / "report.html").read_text(encoding="utf-8").split('id="photos"')[1].split("</section>")[0]
    pairs = re.findall(r"<dt><bdi>([^<]+)</bdi></dt><dd><bdi>([^<]+)</bdi></dd>", text)
    assert pairs == [
        ("score before", "0.7123"),
        ("label after", "&lt;b&gt;heron&lt;/b&gt;"),
        ("confident", "true"),
    ]
    assert len([1 for tag, attributes in page.found if attributes.get("class") == "slider"]) == 1
    assert len(re.findall(r'<img class="photo"', text)) == 2
    assert not re.search(r"<svg|<rect|data-toggle|outlines", text)


def test_details_of_a_photo_with_crops_are_drawn_and_not_said(tmp_path: Path, synthetic: Any) -> None:
    rows = [synthetic.row(0)]
    synthetic.keep_images(tmp_path / "run", rows, 1)
    text = write_report(synthetic.write_run(tmp_path / "run", rows)).html.read_text(encoding="utf-8")
    assert 'class="window c0"' in text
    assert 'class="details"' not in text


def test_saliency_maps_of_kept_photos_are_overlaid(tmp_path: Path, synthetic: Any) -> None:
    rows = [synthetic.row(0)]
    synthetic.keep_images(tmp_path / "run", rows, 1)
    rows[0]["facts"] = json.dumps({"saliency_before": [[0, 255], [9, 3]], "saliency_after": [[255, 0], [9, 3]]})
    text = write_report(synthetic.write_run(tmp_path / "run", rows)).html.read_text(encoding="utf-8")
    assert text.count('class="heat"') == 2
    assert 'data-toggle="show-heat"' in text


def test_what_cannot_be_read_or_written_is_said(tmp_path: Path, synthetic: Any) -> None:
    with pytest.raises(InvalidInputError, match=r"no run\.json"):
        write_report(tmp_path)
    run = synthetic.write_run(tmp_path / "run", [])
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"cannot make the folder|it is a file"):
        write_report(run, tmp_path / "file" / "below")
    with pytest.raises(InvalidInputError, match="photos must be"):
        write_report(run, photos=-1)


def ticks_of(svg: str, anchor: str) -> list[float]:
    """The numbers along an axis of a chart, by how its labels are anchored: "middle" below, "end" at the left."""
    texts = re.findall(rf'<text [^>]*text-anchor="{anchor}">([^<]+)</text>', svg)
    return [float(text.replace("−", "-").rstrip("%")) for text in texts if text[-1] in "%0123456789"]


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0, 0.3), (-3, 17), (1e-9, 2e-9), (5, 5), (0, 123_456)])
def test_ticks_are_round_and_inside(low: float, high: float) -> None:
    ends = np.array([low, high], float)
    found = ticks_of(line_chart([Series("a", ends, ends)], title="t", x_title="x", y_title="y"), "middle")
    room = 0.1 * low if low == high else 1e-9 * (high - low)
    assert found[0] >= low - room
    assert found[-1] <= high + room
    assert 1 <= len(found) <= 8
    steps = np.diff(found)
    assert np.allclose(steps, steps[:1])


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [(0.1, 30, [0.1, 0.2, 0.5, 1, 2, 5, 10, 20]), (1e-3, 1e3, [1e-3, 1e-2, 0.1, 1, 10, 100, 1000])],
)
def test_a_logarithmic_axis_has_round_numbers_equally_far_for_equal_ratios(
    low: float, high: float, ticks: list[float]
) -> None:
    x, y = np.array([low, (low * high) ** 0.5, high]), np.array([0.0, 0.5, 1.0])
    svg = line_chart([Series("a", x, y)], title="t", x_title="x", y_title="y", log_x=True)
    assert ticks_of(svg, "middle") == ticks
    (corners,) = lines_of(svg).values()
    assert np.diff(corners[:, 0]) == pytest.approx([558 / 2] * 2, abs=0.1)


def test_lines_go_where_their_numbers_say() -> None:
    x, y = np.array([1.0, 10.0, 100.0]), np.array([0.0, 0.5, 1.0])
    svg = line_chart([Series("a & b", x, y, dots=True)], title="<t>", x_title="x", y_title="y", log_x=True)
    (points,) = lines_of(svg).values()
    assert np.allclose(np.diff(points, axis=0)[0], np.diff(points, axis=0)[1], atol=0.11)
    assert points[0, 1] > points[2, 1]
    assert svg.count("<circle") == 3
    assert "<title>a &amp; b: 0.5 at 10</title>" in svg
    assert "<t>" not in svg


def test_bars_are_as_high_as_their_shares_and_what_lies_beyond_is_in_the_outermost(
    tmp_path: Path, synthetic: Any
) -> None:
    rows = [synthetic.row(i, metrics={"shift": shift}) for i, shift in enumerate((-9.0, 0.02, 0.02, 0.03, 7.0))]
    svg = re.findall(r"<svg.*?</svg>", write_report(synthetic.write_run(tmp_path, rows)).html.read_text("utf-8"))[0]
    assert re.findall(r"<title>shift ([^<]+)</title>", svg) == [
        "-25% to -20%: 1 of 5",
        "0% to 5%: 3 of 5",
        "120% to 125%: 1 of 5",
    ]
    heights = [np.ptp(corners[:, 1]) for corners in shapes_of(svg, "bar")]
    assert heights == pytest.approx([94 / 3, 94, 94 / 3], abs=0.1)
    assert ticks_of(svg, "middle") == [0, 50, 100]


def test_a_readers_own_style_does_not_change_a_chart() -> None:
    import matplotlib

    def drawn() -> str:
        line = Series("a", np.array([1.0, 2.0]), np.array([0.0, 1.0]), dots=True)
        return line_chart([line], title="t", x_title="cost in $ of $", y_title="y")

    plain = drawn()
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "lines.marker": "x", "svg.fonttype": "path"}):
        assert drawn() == plain
        assert matplotlib.rcParams["font.size"] == 30
    assert "cost in $ of $" in plain


def shapes_of(text: str, kind: str) -> list[np.ndarray[Any, Any]]:
    """Corners of every shape of a kind."""
    found = re.findall(rf'class="{kind} c\d">(?:<title>[^<]*</title>)?<path d="([^"]+)"', text)
    return [np.array(re.findall(r"-?[0-9.]+", path), float).reshape(-1, 2) for path in found]


def lines_of(text: str) -> dict[str, np.ndarray[Any, Any]]:
    """Corners of every line of a page, by its colour."""
    return dict(zip(re.findall(r'class="line (c\d)"', text), shapes_of(text, "line"), strict=True))


def test_losses_and_budgets_are_never_in_one_chart(tmp_path: Path, synthetic: Any) -> None:
    rows = [synthetic.row(i, method="a", curve=[3.0, 2.0, 1.0], curve_of="loss", success=None) for i in range(4)]
    rows += [synthetic.row(i, method="b", curve=[8.0, 4.0], curve_of="budget", success=None) for i in range(4)]
    rows += [synthetic.row(i, method="c", curve=[9.0, 9.0], success=None) for i in range(4)]  # an older run's
    text = write_report(synthetic.write_run(tmp_path / "run", rows)).html.read_text(encoding="utf-8")
    (first, second) = re.findall(r'<svg(?:(?!<svg).)*?class="line.*?</svg>', text.split('id="results"')[0])
    assert 'aria-label="Loss against passes"' in first
    assert "passes through the attacked model" in first
    assert list(lines_of(first)) == ["c0"]
    assert 'aria-label="Smallest budget against queries"' in second
    assert list(lines_of(second)) == ["c1"]


def test_photos_without_a_success_yet_count_as_none_yet(tmp_path: Path, synthetic: Any) -> None:
    inf = float("inf")
    curves = [[8.0, 6.0, 6.0, 2.0], [inf, 8.0, 4.0, 4.0], [inf, inf, 8.0, 8.0], [inf] * 4]
    rows = [synthetic.row(i, method="m", curve=c, curve_of="budget", eps=None) for i, c in enumerate(curves)]
    rows += [synthetic.row(i, method=method, curve=[inf, inf], curve_of="budget", eps=None)
             for i in range(4) for method in ("hopeless", "in vain")]  # fmt: skip
    text = write_report(synthetic.write_run(tmp_path / "run", rows)).html.read_text(encoding="utf-8")
    part = text.split("Smallest budget against queries", 1)[1]
    (corners,) = lines_of(part).values()
    # Half of the four have one from the second query on: x runs from 1 to 4 over 558 px, and the line from 2 to 4.
    assert corners[:, 0] == pytest.approx([64 + 558 * k / 3 for k in (1, 2, 3)], abs=0.06)
    # Medians: 8 (the second of 6, 8, none, none), then between 6 and 8 there are 4, 6, 8, none: 7; then 2, 4, 8: 6.
    ys = corners[:, 1]
    assert (ys[1] - ys[0]) == pytest.approx(ys[2] - ys[1], abs=0.11)
    assert ys[0] < ys[1] < ys[2]
    (band,) = shapes_of(part, "band")
    assert band[:, 1].min() == 36.0  # a quarter have none yet: the chart's top
    assert not re.search('nan|inf[," ]', part.split("</section>")[0].split("<svg")[1])
    assert "more than half of the photos have none: hopeless, in vain." in part


def test_budgets_have_charts_of_their_own(tmp_path: Path, synthetic: Any) -> None:
    rows = [
        synthetic.row(i, eps=eps, curve=[2.0, 1.0], curve_of="loss")
        for eps in (1.0, 2.0, 3.0, 4.0, 5.0)
        for i in range(3)
    ]
    text = write_report(synthetic.write_run(tmp_path / "run", rows)).html.read_text(encoding="utf-8")
    assert re.findall(r"Loss against passes, budget (\d)", text) == ["1", "2", "3", "5"]


@pytest.mark.parametrize(
    "info",
    [
        {"models": []},
        {"models": {"m": 3}},
        {"suite_sha256": 5},
        {"suite_content": None},
        {"machine": "mine"},
        {"schema": 9},
        {"suite_content": {"tables": 4, "attacks": "x"}},
    ],
)
def test_a_damaged_description_is_named_or_passed_over(tmp_path: Path, synthetic: Any, info: dict[str, Any]) -> None:
    run = synthetic.write_run(tmp_path / "run", synthetic.results(2), **info)
    if "tables" in (info.get("suite_content") or {}):
        assert write_report(run).html.exists()
        return
    with pytest.raises(InvalidInputError, match=r"run\.json"):
        write_report(run)

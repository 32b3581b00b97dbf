"""The report's page in a real browser: Debian's Chromium, headless, as a reader would use it."""

from __future__ import annotations

import importlib.util
import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from art_crop.bench.reporting import write_report

spec = importlib.util.spec_from_file_location("bench_browser", Path(__file__).with_name("browser.py"))
assert spec is not None
assert spec.loader is not None
browser = importlib.util.module_from_spec(spec)
sys.modules["bench_browser"] = browser
spec.loader.exec_module(browser)

pytestmark = [
    pytest.mark.skipif(browser.chromium() is None, reason="Chromium is not installed: apt-get install chromium"),
    pytest.mark.skipif(os.name != "posix", reason="the browser's pipe needs file descriptors 3 and 4"),
]

PHOTOS = 40


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory, synthetic: Any) -> Path:
    """A report with everything in it, hostile names included."""
    folder = tmp_path_factory.mktemp("page")
    rows = synthetic.results(PHOTOS, (10.0, 20.0, 30.0))
    rows.append(
        synthetic.row(900, photo='<img src=x onerror="document.title=1">', method="<script>document.title=2</script>")
    )
    rows.append(
        synthetic.row(901, photo="'\"></bdi><b>", success=None, metrics={}, error="</script><b>", error_kind="X")
    )
    synthetic.keep_images(folder / "run", rows, 12, 320)
    return Path(write_report(synthetic.write_run(folder / "run", rows)).html)


@pytest.fixture(scope="module")
def tab() -> Iterator[Any]:
    """One browser for all tests."""
    one = browser.Browser()
    yield one
    one.close()


@pytest.fixture
def opened(tab: Any, page: Path) -> Any:
    """The page, just loaded."""
    tab.open(page)
    return tab


def test_it_loads_without_a_complaint_and_asks_for_nothing(opened: Any, page: Path) -> None:
    opened.js("document.querySelectorAll('.slider').forEach(slider => slider.scrollIntoView())")
    assert opened.wait("document.querySelectorAll('img[data-photo]').length === 0")
    assert opened.wait("[...document.images].every(image => image.complete && image.naturalWidth > 0)")
    assert opened.problems() == []
    assert opened.requests() == [page.resolve().as_uri()]
    assert opened.js("document.title").startswith("Tables 1 and 2")
    assert opened.js("document.querySelectorAll('main b').length") > 0
    assert opened.js("document.querySelectorAll('main script, main img[src=x]').length") == 0


def test_a_script_that_got_in_would_not_run(opened: Any) -> None:
    opened.js(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'document.title = 9'}))"
    )
    assert opened.js("document.title") != "9"
    assert any("Content Security Policy" in text for text in opened.problems())


def test_the_slider_moves(opened: Any) -> None:
    opened.js("document.querySelector('.slider').scrollIntoView({block: 'center', behavior: 'instant'})")
    assert opened.wait("[...document.querySelectorAll('.slider')][0].querySelector('img').naturalWidth > 0")
    x, y, wide, high = opened.js(
        "(({x, y, width, height}) => [x, y, width, height])(document.querySelector('.slider').getBoundingClientRect())"
    )
    split = "document.querySelector('.slider').style.getPropertyValue('--split')"
    clip = "getComputedStyle(document.querySelector('.layer.after')).clipPath"
    assert opened.js(split) == "50%"
    pictures = {}
    for share in (0.1, 0.9):
        for kind in ("mousePressed", "mouseReleased"):
            where = {"x": x + share * wide, "y": y + high / 3, "button": "left", "clickCount": 1}
            opened.call("Input.dispatchMouseEvent", type=kind, **where)
        assert float(opened.js(split).rstrip("%")) == pytest.approx(100 * share, abs=6)
        assert opened.js(split) in opened.js(clip)
        pictures[share] = np.asarray(Image.open(io.BytesIO(opened.picture(x, y, wide, high))).convert("RGB"), float)
    # Between the two places, one picture shows the photo after and the other the photo before.
    middle = slice(int(wide * 0.3), int(wide * 0.7))
    assert np.abs(pictures[0.1] - pictures[0.9])[20:-40, middle].mean() > 2
    opened.js("document.querySelector('.slider input').focus()")
    before = opened.js(split)
    opened.call("Input.dispatchKeyEvent", type="keyDown", key="ArrowLeft", code="ArrowLeft", windowsVirtualKeyCode=37)
    assert opened.js(split) != before


def test_overlays_can_be_hidden(opened: Any) -> None:
    shown = "getComputedStyle(document.querySelector('.slider {}')).display"
    for toggle, element in (("hide-windows", ".window"), ("hide-points", ".point")):
        assert opened.js(shown.format(element)) != "none"
        opened.js(f"document.querySelector('[data-toggle={toggle}]').click()")
        assert opened.js(shown.format(element)) == "none"


def test_summary_tables_sort(opened: Any) -> None:
    cells = "[...document.querySelectorAll('#tables table')[0].tBodies[0].rows].map(row => row.cells[{}].dataset.v)"
    heads = opened.js("[...document.querySelectorAll('#tables table')[0].tHead.rows[0].cells].map(c => c.innerText)")
    column = next(k for k, head in enumerate(heads) if head.startswith("mean"))
    click = (
        f"document.querySelectorAll('#tables table')[0].tHead.rows[0].cells[{column}].querySelector('button').click()"
    )
    for _, sign in enumerate((1, -1)):
        opened.js(click)
        values = [float(value) for value in opened.js(cells.format(column))]
        assert values == sorted(values, key=lambda value: sign * value)
    assert len(values) == 10


def test_all_results_sort_filter_and_turn_pages(opened: Any) -> None:
    total = 3 * 3 * PHOTOS + 1
    assert opened.js("document.querySelector('#results-count').textContent") == f"1–50 of {total}"
    heads = opened.js("[...document.querySelectorAll('#results-table th')].map(th => th.innerText)")
    shift = heads.index("shift")
    column = (
        f"[...document.querySelectorAll('#results-table tbody tr')].map(tr => parseFloat(tr.cells[{shift}].innerText))"
    )
    for sign in (1, -1):
        opened.js(f"document.querySelectorAll('#results-table th button')[{shift}].click()")
        values = opened.js(column)
        assert values == sorted(values, key=lambda value: sign * value)
        assert len(values) == 50
    opened.js("document.querySelector('#results-on').click()")
    assert opened.js(column)[0] <= values[-1]
    assert opened.js("document.querySelector('#results-count').textContent").startswith("51–100")
    opened.js("const box = document.querySelector('#results-search'); box.value = 'PROPOSED photo-0007';"
              "box.dispatchEvent(new Event('input'))")  # fmt: skip
    assert opened.js("document.querySelectorAll('#results-table tbody tr').length") == 3
    assert f"of 3 ({total} in all)" in opened.js("document.querySelector('#results-count').textContent")
    opened.js("const pick = document.querySelector('select[aria-label=budget]'); pick.value = '20';"
              "pick.dispatchEvent(new Event('change'))")  # fmt: skip
    texts = opened.js("[...document.querySelectorAll('#results-table tbody tr')].map(tr => tr.innerText)")
    assert len(texts) == 1
    assert "photo-0007.jpg" in texts[0]
    assert "<script>document.title=2</script>" in opened.js(
        "document.querySelector('select[aria-label=method]').innerText"
    )
    assert opened.problems() == []


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_it_is_readable_in_both_schemes_and_on_a_phone(
    tab: Any, page: Path, tmp_path: Path, width: int, dark: bool
) -> None:
    tab.open(page, width=width, height=844, dark=dark)
    assert tab.js("document.documentElement.scrollWidth") <= width
    tab.screenshot(tmp_path / "page.png")
    pixels = np.asarray(Image.open(tmp_path / "page.png").convert("L"), float)
    assert (np.median(pixels) < 60) == dark
    assert pixels.std() > 15
    # Contrast of all text against the page, by WCAG 2: at least 4.5 to 1.
    ratio = tab.js(CONTRAST)
    assert ratio >= 4.5, ratio
    tab.js("document.querySelector('#theme').click()")
    assert tab.js("getComputedStyle(document.body).backgroundColor") == (
        "rgb(251, 251, 250)" if dark else "rgb(20, 22, 26)"
    )


@pytest.mark.parametrize("width", [1280, 390])
def test_labels_lie_inside_their_charts(tab: Any, page: Path, width: int) -> None:
    tab.open(page, width=width, height=844)
    assert tab.js("document.querySelectorAll('.plot svg text').length") > 50
    assert tab.js(CLIPPED) == []


def test_names_of_photos_stay_in_one_line_on_a_phone(tab: Any, page: Path) -> None:
    tab.open(page, width=390, height=844)
    heights = tab.js(
        "[...document.querySelectorAll('#results-table tbody td:first-child bdi')]"
        ".filter(e => e.innerText.startsWith('photo-')).map(e => e.getClientRects().length)"
    )
    assert len(heights) > 40
    assert set(heights) == {1}


def test_the_first_number_of_a_table_is_whole_on_a_phone(tab: Any, page: Path) -> None:
    tab.open(page, width=390, height=844)
    ends = tab.js(
        "[...document.querySelectorAll('#tables .scroll')].flatMap(box => [...box.querySelectorAll('tbody tr')]"
        ".map(tr => [tr.querySelector('td.n + td').getBoundingClientRect().right, box.getBoundingClientRect().right]))"
    )
    assert len(ends) > 10
    assert [(cell, box) for cell, box in ends if cell > box] == []


def test_the_colours_of_crops_are_told_as_they_are_drawn(opened: Any) -> None:
    keys = opened.js(
        "[...document.querySelectorAll('.outlines li:has(.key)')]"
        ".map(li => [li.innerText, getComputedStyle(li.querySelector('.key')).borderTopColor])"
    )
    assert [name for name, _ in keys] == ["crop 1", "crop 2"]
    drawn = opened.js(
        "[...document.querySelector('.slider .layer.after svg').querySelectorAll('.window')]"
        ".map(e => [e.querySelector('title').textContent, getComputedStyle(e).stroke])"
    )
    assert [[f"{name} after", colour] for name, colour in keys] == drawn


def test_repeated_labels_are_quiet_until_the_table_is_sorted(opened: Any) -> None:
    quiet = "document.querySelectorAll('#tables table')[0].querySelectorAll('.again').length"
    assert opened.js(quiet) == 6  # three methods at three budgets, and one hostile row
    opened.js("document.querySelectorAll('#tables table')[0].querySelectorAll('thead button')[2].click()")
    assert opened.js(quiet) == 0


CLIPPED = """
[...document.querySelectorAll(".plot svg")].flatMap((svg) => {
  const box = svg.viewBox.baseVal;
  return [...svg.querySelectorAll("text")].filter((text) => {
    const b = text.getBBox();
    return b.x < -0.5 || b.y < -0.5 || b.x + b.width > box.width + 0.5 || b.y + b.height > box.height + 3;
  }).map((text) => text.textContent);
})
"""

CONTRAST = """
(() => {
  const light = (color) => {
    const [r, g, b] = color.match(/[0-9.]+/g).slice(0, 3).map((v) => v / 255)
      .map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if (!color.startsWith("rgba(0, 0, 0, 0")) return light(color);
    }
    return 1;
  };
  let least = 21;
  const texts = "h1, h2, h3, p, td, th, th button, .range, .tiles span, nav a, .name, .caption, .badge, dd, dt";
  for (const e of document.querySelectorAll(texts)) {
    const [a, b] = [light(getComputedStyle(e).color), behind(e)].sort((x, y) => y - x);
    least = Math.min(least, (a + 0.05) / (b + 0.05));
  }
  return least;
})()
"""

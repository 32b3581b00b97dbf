"""The results folder: what it refuses, what it says, and how it reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from art_crop.errors import InvalidInputError

pytest.importorskip("pyarrow", reason="pyarrow is not installed (extra: bench)")

from art_crop.bench.part_store import PartStore
from art_crop.bench.store import SCHEMA_VERSION, parts_of, read_rows, read_run, schema


@pytest.fixture
def filled(fake: Any, tmp_path: Path) -> Path:
    fake.run(tmp_path / "run", fake.photos(3))
    return tmp_path / "run"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"suite_sha256": "f" * 64}, "another suite"),
        ({"art_crop": "9.9"}, "another art_crop version"),
        ({"models": {"model": {"weights_sha256": "2" * 64}}}, "another models"),
    ],
)
def test_a_folder_of_something_else_is_refused(fake: Any, filled: Path, change: dict[str, Any], words: str) -> None:
    before = (filled / "run.json").read_bytes()
    with pytest.raises(InvalidInputError, match=f"{words}.*choose another --out"):
        PartStore(filled, fake.info(**change))
    assert (filled / "run.json").read_bytes() == before


def test_another_layout_is_refused(fake: Any, filled: Path) -> None:
    content = json.loads((filled / "run.json").read_text())
    (filled / "run.json").write_text(json.dumps({**content, "schema": SCHEMA_VERSION + 1}))
    for act in (lambda: PartStore(filled, fake.info()), lambda: read_rows(filled)):
        with pytest.raises(InvalidInputError, match=rf"layout {SCHEMA_VERSION + 1}.*reads {SCHEMA_VERSION}"):
            act()


def test_a_folder_that_is_no_run_is_refused(fake: Any, tmp_path: Path) -> None:
    (tmp_path / "holiday.jpg").write_bytes(b"photo")
    with pytest.raises(InvalidInputError, match=r"no run\.json"):
        PartStore(tmp_path, fake.info())
    assert [path.name for path in tmp_path.iterdir()] == ["holiday.jpg"]


def test_a_damaged_run_json_is_said(filled: Path) -> None:
    (filled / "run.json").write_text("{")
    with pytest.raises(InvalidInputError, match=r"run\.json cannot be read"):
        read_run(filled)


def test_rows_come_back_as_they_went_in(fake: Any, filled: Path) -> None:
    table = read_rows(filled)
    assert table.schema == schema()
    rows = table.to_pylist()
    assert [row["photo"] for row in rows] == sorted(row["photo"] for row in rows)
    assert dict(rows[0]["metrics"]) == {"shift": rows[0]["l2"]}
    assert rows[0]["success_before"] is None
    assert read_run(filled).suite == "fake"


def test_many_parts_become_one_and_readers_see_no_difference(fake: Any, tmp_path: Path) -> None:
    store = PartStore(tmp_path / "run", fake.info())
    place = fake.FakePlace(0.0)
    for unit in fake.units(fake.photos(12)):
        store.append(place.work(unit).rows)
    assert len(parts_of(store.results)) == 9
    before = read_rows(tmp_path / "run")
    store.compact()
    assert len(parts_of(store.results)) == 1
    assert read_rows(tmp_path / "run").equals(before)
    assert len(PartStore(tmp_path / "run", fake.info()).finished()) == 36


def test_of_two_rows_with_one_key_the_good_one_counts(fake: Any, tmp_path: Path) -> None:
    store = PartStore(tmp_path / "run", fake.info())
    (good,) = fake.FakePlace(0.0).work(fake.units(fake.photos(1), settings=1)[0]).rows
    bad = {**good, "success": None, "error": "lost", "error_kind": "lost"}
    for row in (bad, good, bad, {**good, "seconds": 5.0}):
        store.append([row])
    assert read_rows(tmp_path / "run").to_pylist()[0]["error"] == ""
    assert read_rows(tmp_path / "run").num_rows == 1
    assert store.finished() == {good["key"]: ""}


def test_results_from_before_a_column_was_added_are_read(filled: Path) -> None:
    import pyarrow.parquet as pq

    before = read_rows(filled).to_pylist()
    for part in parts_of(filled / "results"):
        table = pq.read_table(part)
        pq.write_table(table.drop_columns(["curve_of"]), part)
    assert before
    assert read_rows(filled).to_pylist() == [{**row, "curve_of": ""} for row in before]

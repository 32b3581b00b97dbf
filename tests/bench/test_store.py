"""The results folder: what it refuses, what it says, and how it reads."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from art_crop.errors import ArtCropError, InvalidInputError, OutputError

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
    with pytest.raises(InvalidInputError, match=f"{words}.*choose another folder"):
        PartStore(filled, fake.info(**change))
    assert (filled / "run.json").read_bytes() == before


def test_results_of_another_plugins_version_are_refused(fake: Any, tmp_path: Path) -> None:
    PartStore(tmp_path, fake.info(versions={"art-crop-x": "1.0", "torch": "2.1"}))
    PartStore(tmp_path, fake.info(versions={"art-crop-x": "1.0", "torch": "2.2", "art-crop-y": "3"}))
    with pytest.raises(InvalidInputError, match=r"another version of art-crop-x: 1\.0, and this is 1\.1"):
        PartStore(tmp_path, fake.info(versions={"art-crop-x": "1.1"}))


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


@pytest.mark.parametrize("content", ["{", "[" * 100_000])
def test_a_damaged_run_json_is_said(filled: Path, content: str) -> None:
    (filled / "run.json").write_text(content)
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
    place = fake.FakeWorker(0.0)
    for unit in fake.items(fake.photos(12)):
        store.append(place.work(unit).rows)
    assert len(parts_of(store.results)) == 9
    before = read_rows(tmp_path / "run")
    store.compact()
    assert len(parts_of(store.results)) == 1
    assert read_rows(tmp_path / "run").equals(before)
    assert len(PartStore(tmp_path / "run", fake.info()).finished()) == 36


def test_of_two_rows_with_one_key_the_good_one_counts(fake: Any, tmp_path: Path) -> None:
    store = PartStore(tmp_path / "run", fake.info())
    (good,) = fake.FakeWorker(0.0).work(fake.items(fake.photos(1), settings=1)[0]).rows
    bad = {**good, "success": None, "error": "lost", "error_kind": "lost"}
    for row in (bad, good, bad, {**good, "seconds": 5.0}):
        store.append([row])
    assert read_rows(tmp_path / "run").to_pylist()[0]["error"] == ""
    assert read_rows(tmp_path / "run").num_rows == 1
    assert store.finished() == {good["key"]: ""}


def exchange(part: Path, table: Any) -> None:
    """Put a table in the place of a part, as another version or program would have written it."""
    import pyarrow.parquet as pq

    pq.write_table(table, part)
    part.rename(part.with_name(f"part-{hashlib.sha256(part.read_bytes()).hexdigest()[:32]}.parquet"))


def test_results_from_before_a_column_was_added_are_read(filled: Path) -> None:
    import pyarrow.parquet as pq

    before = read_rows(filled).to_pylist()
    for part in parts_of(filled / "results"):
        exchange(part, pq.read_table(part).drop_columns(["curve_of"]))
    assert before
    assert read_rows(filled).to_pylist() == [{**row, "curve_of": ""} for row in before]


def test_damage_in_any_column_is_found_and_its_rows_are_computed_again(fake: Any, tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    fake.run(tmp_path / "run", fake.photos(5))
    before = fake.rows(tmp_path / "run")
    (part,) = parts_of(tmp_path / "run" / "results")
    group = pq.ParquetFile(part).metadata.row_group(0)
    columns = {column.path_in_schema: column for column in map(group.column, range(group.num_columns))}
    column = columns["photo_sha256"]
    content = bytearray(part.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    content[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
    part.write_bytes(content)
    with pytest.warns(UserWarning, match=part.name):
        assert fake.rows(tmp_path / "run") == []
    summary = fake.run(tmp_path / "run", fake.photos(5))
    assert (summary.kept, summary.done, len(summary.damaged)) == (0, 15, 1)
    assert fake.rows(tmp_path / "run") == before


def test_no_flipped_bit_is_taken_for_a_result(fake: Any, filled: Path) -> None:
    before, (part,), moments = fake.rows(filled), parts_of(filled / "results"), random.Random(1)
    good = part.read_bytes()
    for _ in range(100):
        bad, bit = bytearray(good), moments.randrange(8 * len(good))
        bad[bit // 8] ^= 1 << bit % 8
        part.write_bytes(bad)
        with pytest.warns(UserWarning, match=f"{part.name} is damaged .*hash"):
            assert fake.rows(filled) == []
    summary = fake.run(filled, fake.photos(3))
    assert (summary.kept, summary.done, len(summary.damaged)) == (0, 9, 1)
    assert fake.rows(filled) == before
    assert part.with_suffix(".damaged").read_bytes() == bad


@pytest.mark.parametrize("code", [errno.EMFILE, errno.EACCES, errno.EIO])
def test_a_part_that_cannot_be_read_just_now_is_not_set_aside(
    fake: Any, filled: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    from art_crop.bench import part_store

    def refused(path: Path, *_: Any) -> Any:
        raise OSError(code, os.strerror(code), str(path))

    before = parts_of(filled / "results")
    monkeypatch.setattr(part_store, "read_part", refused)
    with pytest.raises(ArtCropError, match=rf"cannot read .*{os.strerror(code)}.*left as they are"):
        PartStore(filled, fake.info()).finished()
    assert parts_of(filled / "results") == before


def test_text_that_is_no_utf8_is_damage(fake: Any, filled: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    (part,) = parts_of(filled / "results")
    table = pq.read_table(part)
    bad = pa.array([b"\xff"] * len(table), pa.binary()).view(pa.string())
    exchange(part, table.set_column(table.column_names.index("photo"), "photo", bad))
    with pytest.warns(UserWarning, match="damaged"):
        assert read_rows(filled).num_rows == 0


def test_large_parts_are_not_merged_again(fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from art_crop.bench import part_store

    store = PartStore(tmp_path / "run", fake.info())
    large, *small = fake.items(fake.photos(40), batch=40), fake.items(fake.photos(4)), fake.items(fake.photos(8))
    place = fake.FakeWorker(0.0)
    store.append(place.work(large[0]).rows)
    (kept,) = parts_of(store.results)
    monkeypatch.setattr(part_store, "_LARGE", kept.stat().st_size)
    for units in small:
        store.append(place.work(units[-1]).rows)
    store.compact()
    assert kept in parts_of(store.results)
    assert len(parts_of(store.results)) == 2


def test_parts_that_cannot_be_merged_stay(fake: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk with room for a part and not for all of them once more is no reason to stop."""
    store = PartStore(tmp_path / "run", fake.info())
    for unit in fake.items(fake.photos(12)):
        store.append(fake.FakeWorker(0.0).work(unit).rows)
    before, parts = read_rows(tmp_path / "run"), parts_of(store.results)

    def full(table: Any) -> str:
        raise OutputError("cannot write part: the disk is full")

    monkeypatch.setattr(store, "_write", full)
    store.compact()
    assert parts_of(store.results) == parts
    assert read_rows(tmp_path / "run").equals(before)

"""Which plugins are read, and which are not touched."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

import art_crop
from art_crop.errors import InvalidInputError, PluginError, PluginWarning
from art_crop.plugins import catalogue
from art_crop.plugins.catalogue import PluginStatus
from art_crop.plugins.registry import plugin_statuses

ENTRY = "[art_crop.plugins]\nmain = {}\n"


def leave_trace(site: Any, name: str) -> Path:
    """A plugin that leaves a file when anything of it runs."""
    trace: Path = site.folder / f"{name}.trace"
    site.plugin(name, f"open({str(trace)!r}, 'w').close()\n@hookimpl\ndef art_crop_models(): return [model({name!r})]")
    return trace


@pytest.mark.parametrize(
    ("allowed", "read"),
    [
        (None, {"one", "two-b"}),
        ("", set()),
        (" , ", set()),
        ("one", {"one"}),
        (" Two_B ,", {"two-b"}),
        ("one,two.b", {"one", "two-b"}),
    ],
)
def test_nothing_of_a_disabled_plugin_runs(
    site: Any, monkeypatch: pytest.MonkeyPatch, allowed: str | None, read: set[str]
) -> None:
    traces = {name: leave_trace(site, name) for name in ("one", "two-b")}
    if allowed is not None:
        monkeypatch.setenv("ART_CROP_PLUGINS", allowed)
    names = {record.name for record in art_crop.list_plugins(strict=True)}
    assert names & set(traces) == read
    assert "gaze-lite" in names
    assert {name for name, trace in traces.items() if trace.exists()} == read
    for name in traces:
        assert site.status(name).status == ("ok" if name in read else "disabled")
        assert (f"{name.replace('-', '_')}_plugin" in sys.modules) == (name in read)


def test_asking_for_what_is_disabled_says_so(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site.good("one", "first")
    monkeypatch.setenv("ART_CROP_PLUGINS", "")
    with pytest.raises(InvalidInputError, match=r"one 1\.0: not named by ART_CROP_PLUGINS"):
        art_crop.load_model("one/first")
    with pytest.raises(InvalidInputError, match=r"not all was read: .*one 1\.0 \(disabled\)"):
        art_crop.load_model("first")


def test_an_allowed_plugin_that_is_not_installed(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ART_CROP_PLUGINS", "art-crop,No_Such.Plugin")
    assert site.status("no-such-plugin").status == "missing"
    assert site.status("art-crop").status == "ok"
    with pytest.raises(PluginError, match="no-such-plugin: ART_CROP_PLUGINS names it, but no such plugin is installed"):
        art_crop.list_plugins(strict=True)


def test_two_entry_points_of_one_distribution(site: Any) -> None:
    site.metadata("pair", "1.0", "[art_crop.plugins]\na = pair_a\nb = pair_b\nc = pair_a\n")
    for letter in "ab":
        site.module(
            f"pair_{letter}", f"@hookimpl\ndef art_crop_models(): return [model('pair-{letter}'), model('both')]"
        )
    found = {status.entry_point: status for status in plugin_statuses(warn=False) if status.distribution == "pair"}
    assert {name: (status.status, status.records) for name, status in found.items()} == {
        "a": ("ok", 2),
        "b": ("conflict", 1),
        "c": ("conflict", 0),
    }
    assert art_crop.load_model("pair-b", numerator=1) == art_crop.load_model("both", numerator=1) == 1


def test_a_copy_that_is_shadowed_is_not_read(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.good("twin", "young", version="2.0")
    old = type(site)(tmp_path / "old")
    old.metadata("Twin", "1.0", ENTRY.format("twin_that_is_not_imported"))
    monkeypatch.syspath_prepend(str(old.folder))
    monkeypatch.syspath_prepend(str(site.folder))  # the newer one comes first; its folder is on the path twice
    catalogue.forget()
    assert (site.status("twin").version, site.status("twin").status) == ("2.0", "ok")
    assert [status for status in plugin_statuses(warn=False) if status.distribution == "Twin"] == []


def test_a_copy_that_shadows_without_being_a_plugin(site: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    site.good("twin", "young")
    newer = type(site)(tmp_path / "newer")
    newer.metadata("twin", "3.0", "[console_scripts]\ntwin = twin:main\n")
    monkeypatch.syspath_prepend(str(newer.folder))
    catalogue.forget()
    assert [status for status in plugin_statuses(warn=False) if status.distribution == "twin"] == []


def by_entry_point(name: str) -> PluginStatus:
    (status,) = [status for status in plugin_statuses(warn=False) if status.entry_point == name]
    return status


def test_metadata_that_are_missing(site: Any) -> None:
    site.metadata("bare", "1.0", "[art_crop.plugins]\nbare-entry = bare_plugin\n", metadata="")
    site.module("bare_plugin", "@hookimpl\ndef art_crop_models(): return [model('bare-one')]")
    assert by_entry_point("bare-entry").distribution == "(unknown)"
    assert by_entry_point("bare-entry").status == "ok"
    assert art_crop.load_model("bare-one", numerator=1) == 1


def test_metadata_that_are_malformed(site: Any) -> None:
    site.metadata("stray", "1.0", "this line has no meaning\n[art_crop.plugins\n= x\nart_crop.plugins\n")
    site.metadata("wrong-target", "1.0", ENTRY.format("'os; rm'"))
    site.metadata("no-text", "1.0").joinpath("entry_points.txt").write_bytes(b"[art_crop.plugins]\nmain = \xff\xfe\n")
    site.good("sound", "sound-one")
    with pytest.warns(PluginWarning, match="wrong-target"):
        assert art_crop.load_model("sound-one", numerator=1) == 1
    assert site.status("wrong-target").status == "failed"
    assert "must name a module" in site.status("wrong-target").reasons[0]


def test_a_malformed_line_beside_a_plugin_is_reported(site: Any) -> None:
    site.metadata("stray", "1.0", ENTRY.format("stray_plugin") + "a line without meaning\n")
    assert site.status("stray").status == "failed"
    assert "entry_points.txt is malformed" in site.status("stray").reasons[0]

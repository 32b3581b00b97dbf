"""The kit on things that each break one rule: exactly the checks that are meant fail, and they say what to do."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

FILES = ("broken_models", "broken_others")


def _module(name: str) -> Any:
    if name not in sys.modules:  # by its name, so that what it defines can be pickled
        spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


CASES = {
    name: value
    for file in FILES
    for name, value in vars(_module(file)).items()
    if name.startswith("Test") and hasattr(value, "caught_by")
}


def test_every_case_has_a_name_of_its_own() -> None:
    names = [name for file in FILES for name in vars(_module(file)) if name.startswith("Test")]
    assert len(names) == len(set(names))


def test_without_pytest_the_cure_is_named() -> None:
    script = "import sys; sys.modules['pytest'] = None; import art_crop.testing"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert 'MissingDependencyError: art_crop.testing needs pytest: pip install "art-crop[test]"' in done.stderr


class Collector:
    """A plugin that brings the modules above to pytest, and keeps what their checks said."""

    def __init__(self) -> None:
        self.failed: dict[str, dict[str, str]] = {name: {} for name in CASES}
        self.ran: dict[str, int] = dict.fromkeys(CASES, 0)

    def pytest_runtest_logreport(self, report: Any) -> None:
        name, _, check = report.nodeid.partition("::")[2].partition("::")
        self.ran[name] += report.when == "call" and not report.skipped
        if report.failed:
            self.failed[name][check] = str(report.longrepr)


@pytest.fixture(scope="module")
def reports() -> Collector:
    collector = Collector()
    arguments = ["--import-mode=importlib", "-c", os.devnull, "-p", "no:terminal", "-p", "no:cacheprovider", "-s"]
    arguments += ["-p", "no:timeout", "-p", "no:randomly", *(str(Path(_module(file).__file__)) for file in FILES)]
    pytest.main(arguments, plugins=[collector])
    return collector


@pytest.mark.parametrize("name", CASES)
def test_exactly_the_checks_that_are_meant_fail(reports: Collector, name: str) -> None:
    failed, expected = reports.failed[name], CASES[name].caught_by
    if expected == {"*"}:
        assert len(failed) > 10
        assert all("define a pytest fixture" in text for text in failed.values())
        return
    if getattr(CASES[name], "and_more", False):  # a rule whose breach no other check can overlook
        assert set(failed) >= expected, f"not caught by {sorted(expected - set(failed))}"
        return
    said = "\n".join(f"{check}: {text[-300:]}" for check, text in failed.items() if check not in expected)
    assert set(failed) == expected, f"not caught by {sorted(expected - set(failed))}; also caught by {said}"
    assert reports.ran[name] > len(expected)


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if hasattr(case, "says")])
def test_the_sentence_names_the_reason(reports: Collector, name: str) -> None:
    text = "\n".join(reports.failed[name].values())
    assert CASES[name].says in text

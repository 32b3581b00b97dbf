"""Whatever an installed plugin does: it is named with its reason, and everything else works."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
import warnings
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

import art_crop
from art_crop.errors import MissingDependencyError, PluginError, PluginWarning
from art_crop.plugins import catalogue, isolation
from art_crop.plugins.loading import MOST_RECORDS

HOOK = "@hookimpl\ndef art_crop_models():\n    "

BROKEN = {
    "fails to import": ("import no_such_module_anywhere", "No module named 'no_such_module_anywhere'"),
    "has a syntax error": ("def f(:", "SyntaxError"),
    "calls sys.exit": ("import sys; sys.exit(3)", r"importing evil_plugin called sys.exit\(3\)"),
    "raises what is no Exception": ("class Odd(BaseException): ...\nraise Odd('odd')", "raised Odd: odd"),
    "raises an error without text": (
        "class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute",
        "raised Mute$",
    ),
    "raises an error whose text exits": (
        "import sys\nclass E(Exception):\n    def __str__(self): sys.exit(0)\nraise E",
        "raised E$",
    ),
    "exits with a code without text": (
        "class R:\n    def __repr__(self): raise ValueError\nraise SystemExit(R())",
        r"called sys.exit\(\)",
    ),
    "raises an error whose class has no name": (
        "class M(type):\n    @property\n    def __name__(cls): raise SystemExit(0)\n"
        "class E(Exception, metaclass=M): pass\nraise E('why')",
        "raised E: why",
    ),
    "raises KeyboardInterrupt itself": ("raise KeyboardInterrupt", "raised KeyboardInterrupt"),
    "names its error for a terminal": (
        "raise type('E\\x1b[31m\\nall is well', (Exception,), {})('x')",
        r"raised E\?\[31m all is well: x",
    ),
    "empties a record's name": (
        f"{HOOK}s = model('mine')\n    object.__setattr__(s, 'name', None)\n    yield s",
        "name must be text of one line, not None",
    ),
    "spoils a record's requirements": (
        f"{HOOK}s = model('mine')\n    object.__setattr__(s, 'requirements', ('%%%',))\n    yield s",
        "'%%%' is not what pip understands",
    ),
    "changes the class of records": (
        f"ModelSpec.kind = 'zzz'\nModelSpec.more = 1\n{HOOK}yield model('mine')",
        "changes the classes of records",
    ),
    "raises in a hook": (f"{HOOK}raise ZeroDivisionError('by zero')", "art_crop_models raised ZeroDivisionError"),
    "exits in a hook": (f"{HOOK}raise SystemExit", r"art_crop_models called sys.exit\(None\)"),
    "raises StopIteration in a hook": (f"{HOOK}raise StopIteration", "art_crop_models raised StopIteration"),
    "gives a coroutine": ("@hookimpl\nasync def art_crop_models(): ...", "art_crop_models gave one coroutine"),
    "closes its standard output": ("import sys; sys.stdout.close(); print('x')", "raised ValueError"),
    "recurses in a hook": (f"{HOOK}return art_crop_models()", "art_crop_models raised RecursionError"),
    "gives None": (f"{HOOK}pass", "art_crop_models gave None instead of ModelSpec records"),
    "gives text": (f"{HOOK}return 'gaze'", "art_crop_models gave one str"),
    "gives a number": (f"{HOOK}return 3", "art_crop_models gave one int"),
    "gives a dict": (f"{HOOK}return {{'name': 'x'}}", "art_crop_models gave one dict"),
    "gives one record": (f"{HOOK}return model('lonely')", "art_crop_models gave one ModelSpec instead of a list"),
    "gives things that are no records": (f"{HOOK}return ['a', 1]", "gave a thing of type str and 1 more where ModelSp"),
    "gives another hook's records": (
        f"{HOOK}return [AttackSpec(name='x', target='a:b', summary='s')]",
        "gave a record of another hook \\(AttackSpec, of art_crop_attacks\\)",
    ),
    "gives a record that skips the checks": (
        "class Loose(ModelSpec):\n    def __post_init__(self): pass\n"
        f"{HOOK}return [Loose(name='No Name', target='', summary='')]",
        "a thing of type Loose",
    ),
    "gives a malformed record": (f"{HOOK}return [model('Bad Name')]", "raised InvalidInputError: ModelSpec 'Bad Name'"),
    "never ends": (f"{HOOK}while True: yield model('again')", f"more than {MOST_RECORDS} records"),
    "misspells a hook": (
        "@hookimpl\ndef art_crop_modles():\n    return []",
        "art_crop_modles is no hook; did you mean art_crop_models",
    ),
    "decorates what is no hook": (
        "@hookimpl\ndef my_things():\n    return []",
        "my_things is no hook; there are art_crop_models, art_crop_attacks",
    ),
    "forgets the decorator": (
        "def art_crop_models():\n    return [model('x')]",
        "art_crop_models is not decorated with @hookimpl",
    ),
    "leaves the prefix out": (
        "@hookimpl\ndef metrics():\n    return []",
        "metrics is no hook; did you mean art_crop_met",
    ),
    "misspells and forgets": ("def art_crop_metric():\n    return []", "did you mean art_crop_metrics"),
    "asks for arguments": (
        "@hookimpl\ndef art_crop_models(config):\n    return []",
        r"does not fit its specification: Argument\(s\) \{'config'\}",
    ),
    "wraps": (
        "@hookimpl(wrapper=True)\ndef art_crop_models():\n    return (yield)",
        "art_crop_models is a wrapper",
    ),
    "has no hooks": ("x = 1", "implements none of the hooks art_crop_models"),
    "takes a built-in name": (
        f"{HOOK}return [model('gaze-lite')]",
        f"model 'gaze-lite' is a name of art-crop {art_crop.__version__}, which keeps it; ask for 'evil/gaze-lite'",
    ),
    "gives a name twice": (f"{HOOK}return [model('x'), model('x')]", "model 'x' is given twice"),
    "asks while being read": ("import art_crop; art_crop.list_plugins()", "raised PluginError: a plugin may not"),
}


CONFLICTS = ("takes a built-in name", "gives a name twice")


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_plugin_is_named_and_the_others_work(site: Any, what: str) -> None:
    code, reason = BROKEN[what]
    site.good("before", "before")
    site.plugin("evil", code, version="6.6")
    site.good("later", "later")

    with pytest.warns(PluginWarning) as seen:
        assert art_crop.load_model("before", numerator=1, denominator=2) == Fraction(1, 2)
    assert art_crop.load_model("later", numerator=1, denominator=3) == Fraction(1, 3)
    assert art_crop.load_metric("psnr").name == "psnr"
    assert {"before", "later", "gaze-lite"} <= {record.name for record in art_crop.list_plugins()}

    status = site.status("evil")
    assert (status.version, status.entry_point) == ("6.6", "main")
    assert status.status == ("conflict" if what in CONFLICTS else "failed")
    assert any(re.search(reason, text) for text in status.reasons), status.reasons
    assert site.status("before").status == site.status("later").status == "ok"

    (warning,) = [str(record.message) for record in seen if record.category is PluginWarning]
    assert "evil 6.6" in warning
    assert "art-crop plugins" in warning
    assert "before 1.0" not in warning

    with pytest.raises(PluginError, match=r"evil 6\.6: "):
        art_crop.list_plugins(strict=True)


@pytest.mark.parametrize("method", ["__eq__", "__hash__", "__str__", "__format__", "__lt__", "isprintable", "strip"])
def test_a_text_with_methods_of_its_own_is_a_text(site: Any, method: str) -> None:
    site.plugin(
        "texts",
        f"""
        class Text(str):
            def {method}(self, *args): raise SystemExit(0)
            {"__hash__ = str.__hash__" if method != "__hash__" else ""}
        @hookimpl
        def art_crop_models():
            s = model("mine")
            object.__setattr__(s, "name", Text("mine"))
            object.__setattr__(s, "summary", Text("of mine"))
            yield s
        """,
    )
    assert site.status("texts").status == "ok"
    assert [type(r.summary) for r in art_crop.list_plugins() if r.name == "mine"] == [str]
    assert art_crop.load_model("mine", numerator=1) == 1


def test_what_a_plugin_changes_of_the_process_is_given_back(site: Any, tmp_path: Path) -> None:
    site.plugin(
        "meddling",
        """
        import os, signal, sys, warnings
        warnings.simplefilter("ignore")
        sys.path.insert(0, "/nowhere")
        sys.argv = ["other"]
        sys.excepthook = print
        sys.setrecursionlimit(77_777)
        os.chdir("/")
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        @hookimpl
        def art_crop_models():
            sys.stderr = None
            return [model("meddler")]
        """,
    )

    def state() -> list[Any]:
        handlers = [signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGINT)]
        own = [[*warnings.filters], [*sys.path], [*sys.argv], sys.excepthook, sys.getrecursionlimit()]
        return [*own, Path.cwd(), sys.stderr, *handlers]

    before = state()
    status = site.status("meddling")
    assert state() == before
    assert status.status == "ok"
    (note,) = status.notes
    for what in ("filters of warnings", "sys.path", "sys.argv", "sys.excepthook", "recursion", "folder", "SIGTERM"):
        assert what in note
    assert art_crop.load_model("meddler", numerator=1) == 1


def test_what_runs_at_exit_stays_off_standard_output(site: Any) -> None:
    site.plugin(
        "late",
        """
        import atexit
        atexit.register(print, "LATE")
        atexit.register(__import__("sys").exit, 5)
        def gone(): print("GONE")
        atexit.register(gone)
        atexit.unregister(gone)
        @hookimpl
        def art_crop_models(): return [model("lately")]
        """,
    )
    code = "import art_crop, sys; print([r.name for r in art_crop.list_plugins() if r.name == 'lately'])"
    path = os.pathsep.join([str(site.folder), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout == "['lately']\n"
    assert "LATE" in done.stderr
    assert "GONE" not in done.stderr


def test_an_entry_point_to_a_missing_module(site: Any) -> None:
    site.metadata("lost", "2.0", "[art_crop.plugins]\nmain = lost_plugin_that_is_not_there\n")
    assert site.status("lost").status == "failed"
    assert "No module named 'lost_plugin_that_is_not_there'" in site.status("lost").reasons[0]


def test_an_entry_point_to_a_missing_attribute(site: Any) -> None:
    site.metadata("lost", "2.0", "[art_crop.plugins]\nmain = fractions:Plugin\n")
    assert "has no attribute 'Plugin'" in site.status("lost").reasons[0]


def test_hooks_may_live_in_an_object(site: Any) -> None:
    site.metadata("object", "1", "[art_crop.plugins]\nmain = object_plugin:Plugin.hooks\n")
    site.module(
        "object_plugin",
        """
        class Hooks:
            @hookimpl
            def art_crop_models(self):
                return [model("of-an-object")]
        class Plugin:
            hooks = Hooks()
        """,
    )
    assert site.status("object").status == "ok"
    assert art_crop.load_model("of-an-object", numerator=3) == 3


def test_what_a_failing_generator_gave_before_can_be_used(site: Any) -> None:
    site.plugin(
        "half",
        """
        @hookimpl
        def art_crop_models():
            yield model("first-half")
            raise OSError("the disk is full")

        @hookimpl
        def art_crop_datasets():
            yield DatasetSpec(name="sound", target="fractions:Fraction", summary="s")
        """,
    )
    with pytest.warns(PluginWarning, match="the disk is full"):
        assert art_crop.load_model("first-half", numerator=2) == 2
    assert art_crop.load_dataset("sound", numerator=2) == 2
    status = site.status("half")
    assert (status.status, status.records) == ("failed", 2)
    assert status.reasons == ("art_crop_models raised OSError: the disk is full",)


def test_one_warning_a_process(site: Any) -> None:
    site.plugin("evil", "raise ValueError")
    site.plugin("worse", "raise ValueError")
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        for _ in range(3):
            art_crop.load_metric("psnr")
            art_crop.list_plugins()
    (warning,) = [record for record in seen if record.category is PluginWarning]
    assert "evil 1.0" in str(warning.message)
    assert "worse 1.0" in str(warning.message)
    assert warning.filename == __file__, "the warning points at the line that asked, not into art_crop"


def test_strict_mode_names_all_and_keeps_the_cause(site: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    site.good("good", "good-one")
    monkeypatch.setenv("ART_CROP_PLUGINS_STRICT", "1")
    assert art_crop.load_model("good-one", numerator=1) == 1
    site.plugin("evil", "raise ValueError('no')")
    site.plugin("worse", "import sys; sys.exit('bye')")
    catalogue.forget()
    for _ in range(2):
        with pytest.raises(PluginError, match=r"evil 1\.0: .*no \| worse 1\.0: .*called sys\.exit\('bye'\)") as caught:
            art_crop.load_model("good-one", numerator=1)
    assert isinstance(caught.value.__cause__, ValueError)
    monkeypatch.setenv("ART_CROP_PLUGINS_STRICT", "0")
    assert art_crop.load_model("good-one", numerator=1) == 1


def test_ctrl_c_is_not_caught(site: Any) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # background jobs ignore it
    try:
        _interrupted_listing(site)
    finally:
        signal.signal(signal.SIGINT, before)


def _interrupted_listing(site: Any) -> None:
    site.plugin("waiting", "import os, signal, time; os.kill(os.getpid(), signal.SIGINT); time.sleep(5)")
    with pytest.raises(KeyboardInterrupt):
        art_crop.list_plugins()


def test_a_slow_plugin_is_shown_and_works(
    site: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(isolation, "HANGS_AFTER", 0.3)
    site.plugin("sleepy", "import time; time.sleep(0.6)\n@hookimpl\ndef art_crop_models(): return [model('tired')]\n")
    start = time.perf_counter()
    assert art_crop.load_model("tired", numerator=1) == 1
    assert time.perf_counter() - start >= 0.6
    status = site.status("sleepy")
    assert (status.status, status.reasons) == ("slow", ())
    assert re.fullmatch(r"slow: took 0\.[6-9] s to be read", status.notes[0])
    assert "still reading sleepy 1.0" in capsys.readouterr().err
    art_crop.list_plugins(strict=True)


def test_what_plugins_print_stays_off_standard_output(site: Any, capfd: pytest.CaptureFixture[str]) -> None:
    site.plugin(
        "chatty",
        """
        import os, subprocess, sys
        print("hello", "\x1b[31mred")
        sys.__stdout__.write("around")
        os.write(1, b"beneath")
        subprocess.run([sys.executable, "-c", "print('child')"])
        @hookimpl
        def art_crop_models():
            print("again")
            return [model("spoken", target="chatty_target:build")]
        """,
    )
    site.module("chatty_target", "print('target')\ndef build(): print('building'); return 7")
    assert art_crop.load_model("spoken") == 7
    out, err = capfd.readouterr()
    assert out == ""
    for text in ("beneath", "child", "target", "building"):
        assert text in err
    status = site.status("chatty")
    assert status.status == "ok"
    assert status.notes == ("prints when it is read: 'hello ?[31mred again'",)


def test_control_characters_of_an_error_do_not_reach_the_listing(site: Any) -> None:
    site.plugin("colours", "raise ValueError('\x1b[2J\\nline\\x07' + 'x' * 1000)")
    (reason,) = site.status("colours").reasons
    assert reason.isprintable()
    assert len(reason) < 400


@pytest.mark.parametrize(
    ("target", "why"),
    [
        ("absent_module_of_evil:Model", "No module named 'absent_module_of_evil'"),
        ("fractions:Frction", "has no attribute 'Frction'"),
        ("exiting:Model", r"called sys\.exit\(9\)"),
        ("failing:Model", "raised RuntimeError: not today"),
    ],
)
def test_a_target_that_cannot_be_imported(site: Any, target: str, why: str) -> None:
    site.plugin("bad-target", f"{HOOK}return [model('untrue', target={target!r})]", version="0.3")
    site.module("exiting", "import sys; sys.exit(9)")
    site.module("failing", "raise RuntimeError('not today')")
    assert site.status("bad-target").status == "ok", "listing does not import targets"
    with pytest.raises(
        PluginError, match=f"bad-target 0.3: model 'untrue' cannot be loaded: importing {target} .*{why}"
    ):
        art_crop.load_model("untrue")


def test_an_error_that_helps_comes_through_as_it_is(site: Any) -> None:
    site.plugin("advising", f"{HOOK}return [model('advised', target='advising_target:Model')]")
    site.module("advising_target", "from art_crop.errors import MissingDependencyError as E\nraise E('pip install it')")
    with pytest.raises(MissingDependencyError, match=r"^pip install it$"):
        art_crop.load_model("advised")


def test_targets_of_the_wrong_kind(site: Any) -> None:
    site.plugin(
        "kinds",
        """
        @hookimpl
        def art_crop_attacks():
            return [AttackSpec(name="no-class", target="math:sqrt", summary="s")]

        @hookimpl
        def art_crop_metrics():
            return [MetricSpec(name="no-metric", target="math:pi", summary="s")]
        """,
    )
    with pytest.raises(PluginError, match=r"kinds 1\.0: attack 'no-class' must be a class"):
        art_crop.load_attack("no-class")
    with pytest.raises(PluginError, match=r"kinds 1\.0: metric 'no-metric' cannot be called: it is a float"):
        art_crop.load_metric("no-metric")


def test_a_factory_cannot_end_the_program(site: Any) -> None:
    site.plugin("quitter", f"{HOOK}return [model('quits', target='sys:exit'), model('errs', target='json:loads')]")
    with pytest.raises(PluginError, match=r"quitter 1\.0: model 'quits' called sys\.exit\(None\) when it was built"):
        art_crop.load_model("quits")
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        art_crop.load_model("errs")

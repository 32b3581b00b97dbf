"""Entry point of ``art-crop``."""

from __future__ import annotations

import errno
import inspect
import os
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from art_crop.cli import attack as attack_command
from art_crop.cli import bench as bench_command
from art_crop.cli import bench_report as bench_report_command
from art_crop.cli import camouflage as camouflage_command
from art_crop.cli import crop as crop_command
from art_crop.cli import datasets as datasets_command
from art_crop.cli import demo as demo_command
from art_crop.cli import distil as distil_command
from art_crop.cli import models as models_command
from art_crop.cli import plugins as plugins_command
from art_crop.cli import protect as protect_command
from art_crop.cli import train_quality as train_quality_command
from art_crop.cli import train_sensitivity as train_sensitivity_command
from art_crop.cli.console import BAD_INPUT, FAILED, err
from art_crop.errors import PluginWarning
from art_crop.process import prepare_process, temporary_folder

app = typer.Typer(
    name="art-crop",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


EXAMPLES = """
Examples:

  art-crop demo

  art-crop attack photo.jpg --show 0.1,0.7,0.5,0.95

  art-crop protect photo.jpg

  art-crop camouflage photo.jpg --score-below 30

  art-crop models list

  art-crop datasets

  art-crop plugins

  art-crop bench run smoke --out smoke-run
"""


def _print_version(wanted: bool) -> None:
    if wanted:
        import art_crop

        typer.echo(f"art-crop {art_crop.__version__}")
        raise typer.Exit


@app.callback(epilog=EXAMPLES)
def _root(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Measure and move what automatic croppers show: attacks, verified on the written file."""


def _prose(command: Callable[..., Any]) -> str:
    """A command's docstring without the line ends that its width in the source asks for."""
    paragraphs = (inspect.getdoc(command) or "").split("\n\n")
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)


for name, module in (
    ("attack", attack_command),
    ("camouflage", camouflage_command),
    ("crop", crop_command),
    ("demo", demo_command),
    ("distil", distil_command),
    ("protect", protect_command),
    ("plugins", plugins_command),
    ("train-quality", train_quality_command),
    ("train-sensitivity", train_sensitivity_command),
):
    function = getattr(module, name.replace("-", "_"))
    app.command(name, epilog=module.EXAMPLES, help=_prose(function))(function)
app.add_typer(models_command.app, name="models")
app.add_typer(datasets_command.app, name="datasets")

bench = typer.Typer(no_args_is_help=True, help="Run benchmark suites, and report on their results.")
bench.command("run", epilog=bench_command.EXAMPLES, help=_prose(bench_command.run))(bench_command.run)
bench.command("suites", epilog=bench_command.SUITES_EXAMPLES, help=_prose(bench_command.suites))(bench_command.suites)
for name, examples in (
    ("report", bench_report_command.REPORT_EXAMPLES),
    ("compare", bench_report_command.COMPARE_EXAMPLES),
    ("leaderboard", bench_report_command.LEADERBOARD_EXAMPLES),
):
    function = getattr(bench_report_command, name)
    bench.command(name, epilog=examples, help=_prose(function))(function)
app.add_typer(bench, name="bench")


_format_of_python = warnings.formatwarning


def _formatted(message: Warning | str, category: type[Warning], *where: Any, **more: Any) -> str:
    """A warning about plugins as a sentence; a line of this package's source says nothing to who runs a command."""
    if issubclass(category, PluginWarning):
        return f"warning: {message}\n"
    return _format_of_python(message, category, *where, **more)


def main() -> None:
    """Run the command line."""
    warnings.formatwarning = _formatted
    prepare_process()
    try:
        with temporary_folder():
            app()
    except OSError as error:
        _lost_output(error)
    except SystemExit as done:
        try:
            sys.stdout.flush()
        except OSError as error:
            _lost_output(error)
        raise done from None


def _lost_output(error: OSError) -> NoReturn:
    """End with a sentence where the standard output takes no more; any other error goes on."""
    if error.filename is not None or error.errno not in (errno.ENOSPC, errno.EPIPE, errno.EIO, errno.EBADF):
        raise error
    sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - Python flushes it on leaving
    if error.errno == errno.EPIPE:  # whoever reads has seen enough, as `head`
        sys.exit(FAILED)
    err.print(f"error: cannot write to the standard output: {error.strerror or error}", markup=False)
    sys.exit(BAD_INPUT)


if __name__ == "__main__":
    main()

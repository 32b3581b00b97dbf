"""``art-crop bench report``, ``compare`` and ``leaderboard``: what became of benchmark runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from art_crop.cli.console import errors_as_sentences, out
from art_crop.cli.options import literal, plain

if TYPE_CHECKING:
    from art_crop.bench.comparison import Comparison, Difference
    from art_crop.bench.leaderboard import Board

__all__ = ["COMPARE_EXAMPLES", "LEADERBOARD_EXAMPLES", "REPORT_EXAMPLES", "compare", "leaderboard", "report"]

REPORT_EXAMPLES = """
Examples:

  art-crop bench report run --open

  art-crop bench report run --out report --photos 100
"""
COMPARE_EXAMPLES = """
Examples:

  art-crop bench compare run-before run-after

  art-crop bench compare run-before run-after --measure success --measure "mean l2" --json
"""
LEADERBOARD_EXAMPLES = """
Examples:

  art-crop bench leaderboard run-1 run-2 --out leaderboard

  art-crop bench leaderboard leaderboard/cards new-run --by-suite
"""


def report(
    run: Annotated[Path, typer.Argument(help="Folder of a run, finished or not.", metavar="RUN")],
    out_path: Annotated[
        Path | None, typer.Option("--out", help="Folder to write to; default: the run's.", metavar="DIR")
    ] = None,
    photos: Annotated[int, typer.Option(min=0, help="At most so many pairs of kept photos in the page.")] = 36,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in the browser.")] = False,
) -> None:
    """Write a run as one self-contained page (report.html), as Markdown (report.md) and as JSON (report.json).

    Tables stand beside the paper's own numbers, with 95% intervals; the page also has the distribution of shifts,
    curves over budgets and queries, and the kept photos before and after. It asks the network for nothing.
    """
    with errors_as_sentences():
        from art_crop.bench.reporting import write_report

        files = write_report(run.expanduser(), None if out_path is None else out_path.expanduser(), photos=photos)
        for path in (files.html, files.markdown, files.json):
            out.print(literal(path))
        if open_page:
            import webbrowser

            webbrowser.open(files.html.resolve().as_uri())


def compare(
    run_a: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN_A")],
    run_b: Annotated[Path, typer.Argument(help="Folder of another run of the same suite.", metavar="RUN_B")],
    measures: Annotated[
        list[str] | None,
        typer.Option("--measure", help="A share or mean, as in a suite's tables; may be repeated.", show_default=False),
    ] = None,
    across_suites: Annotated[
        bool, typer.Option("--across-suites", help="Compare what fits even where the suites differ.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Show which differences between two runs are significant, paired photo by photo.

    Shares are tested by McNemar's exact test, means by the sign-flip permutation test; p-values are corrected for the
    number of comparisons by Holm's method, and a corrected one below 0.05 is significant. Intervals are 95%.
    A photo that was attacked with several seeds counts once, with its mean.
    """
    with errors_as_sentences():
        from art_crop.bench.comparison import compare_runs

        found = compare_runs(
            run_a.expanduser(), run_b.expanduser(), measures=measures or (), across_suites=across_suites
        )
        if as_json:
            typer.echo(json.dumps(found.as_json(), indent=2, allow_nan=False))
        else:
            _print_comparison(found)


def leaderboard(
    sources: Annotated[
        list[Path], typer.Argument(help="Folders of runs, model cards, or folders of cards.", metavar="RUNS...")
    ],
    out_path: Annotated[
        Path | None,
        typer.Option("--out", help="Folder for leaderboard.md, leaderboard.json and cards/.", metavar="DIR"),
    ] = None,
    by_suite: Annotated[
        bool, typer.Option("--by-suite", help="Several tables where the suites do different things.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print the cards as one JSON object.")] = False,
) -> None:
    """Rank the models of several runs by how many photos no attack took to its goal.

    Each model gets a card with the suite's hash, versions, machine and scores. A table holds models that went through
    the same: suites may differ in which models they score, and in nothing else.
    """
    with errors_as_sentences():
        from art_crop.bench.leaderboard import collect, write_boards

        boards = collect([source.expanduser() for source in sources], by_suite=by_suite)
        if out_path is not None:
            write_boards(boards, out_path.expanduser())
        if as_json:
            content = [{"suite": b.suite, "suite_sha256": b.suite_sha256, "cards": list(b.cards)} for b in boards]
            typer.echo(json.dumps({"schema": 1, "boards": content}, indent=2))
        else:
            for board in boards:
                _print_board(board)
            if out_path is not None:
                out.print(literal(out_path / "leaderboard.md"))


def _print_comparison(found: Comparison) -> None:
    from rich import box
    from rich.table import Table

    for notice in found.notices:
        out.print("[yellow]note:[/yellow]", literal(notice))
    alone = f"; only in the first {found.only_a}, only in the second {found.only_b}"
    out.print(f"{found.pairs} results in both runs{alone if found.only_a or found.only_b else ''}")
    several = {
        name: len({getattr(row, name) for row in found.differences}) > 1 for name in ("attacked", "scored", "eps")
    }
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    shown = ["method", *(name for name, wanted in several.items() if wanted)]
    for title in (*({"eps": "budget"}.get(name, name) for name in shown), "measure"):
        table.add_column(title, overflow="fold")
    for title in ("n", "first", "second", "difference", "95% interval", "p (Holm)"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in found.differences:
        cells = [_text(getattr(row, name)) for name in shown]
        style = ("bold green" if row.difference > 0 else "bold red") if row.significant else "dim"
        numbers = [_number(row, value) for value in (row.a, row.b, row.difference)]
        interval = f"[{_number(row, row.low)}, {_number(row, row.high)}]"
        p = f"{row.p_corrected:.3f}{' *' if row.significant else ''}" if row.p_corrected >= 0.001 else "<0.001 *"
        table.add_row(*(literal(c) for c in (*cells, row.measure, row.n, *numbers, interval, p)), style=style)
    out.print(table)
    count = sum(row.significant for row in found.differences)
    out.print(f"{count} of {len(found.differences)} differences are significant (*).")


def _print_board(board: Board) -> None:
    from rich import box
    from rich.table import Table

    from art_crop.bench.leaderboard import board_rows, notices

    head, *rows = board_rows(board)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=literal(f"{board.suite} ({board.suite_sha256[:12]})"))
    for title in head:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(literal(cell) for cell in row))
    out.print(table)
    for notice in notices(board):
        out.print("[yellow]note:[/yellow]", literal(notice))


def _text(value: object) -> str:
    return "–" if value in (None, "") else f"{value:g}" if isinstance(value, float) else plain(value)


def _number(row: Difference, value: float) -> str:
    from art_crop.bench.measures import measure

    return measure(row.measure).text(value)

"""``art-crop bench report``, ``compare`` and ``leaderboard``: what became of benchmark runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from art_crop.cli.bench import bench_errors
from art_crop.cli.console import out
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

  art-crop bench compare run --models fastgaze my-model

  art-crop bench compare run other-run --models fastgaze my-model

  art-crop bench compare run --methods "proposed" "Gaussian noise" --measure success

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
    A run that is going on is shown as it is by now, and as not finished.
    """
    with bench_errors():
        from art_crop import bench

        files = bench.report(run, out_path, photos=photos)
        for path in (files.html, files.markdown, files.json):
            out.print(literal(path))
        if open_page:
            import webbrowser

            webbrowser.open(files.html.resolve().as_uri())


def compare(
    run_a: Annotated[Path, typer.Argument(help="Folder of a run.", metavar="RUN")],
    run_b: Annotated[
        Path | None, typer.Argument(help="Folder of another run.", metavar="OTHER", show_default=False)
    ] = None,
    models: Annotated[
        tuple[str, str] | None,
        typer.Option("--models", help="Two models: A in RUN, and B in OTHER or in RUN as well.", metavar="A B"),
    ] = None,
    methods: Annotated[
        tuple[str, str] | None, typer.Option("--methods", help="Two attack methods instead of models.", metavar="A B")
    ] = None,
    role: Annotated[
        Literal["scored", "attacked"],
        typer.Option("--role", help="Whether A and B are the models that were scored, or attacked."),
    ] = "scored",
    measures: Annotated[
        list[str] | None,
        typer.Option("--measure", help="A share or mean, as in a suite's tables; may be repeated.", show_default=False),
    ] = None,
    across_suites: Annotated[
        bool, typer.Option("--across-suites", help="Compare what fits even where the suites do different things.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Compare two models, two methods or two runs on the same photos, and show which differences are significant.

    Results are paired that agree in all but what is compared: photo, method, models, budget and seed. What was made by
    attacking a model itself is paired with the same of the other. Two runs that scored one model each are compared by
    these.

    Shares are tested by McNemar's exact test, means by the sign-flip permutation test; p-values are corrected for the
    number of comparisons by Holm's method, and a corrected one below 0.05 is significant. Intervals are 95%.
    A photo that was attacked with several seeds counts once, with its mean.
    """
    with bench_errors():
        from art_crop import bench

        found = bench.compare(
            run_a,
            run_b,
            models=models or (),
            methods=methods or (),
            role=role,
            measures=measures or (),
            across_suites=across_suites,
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
    as_json: Annotated[bool, typer.Option("--json", help="Print ranks and cards as one JSON object.")] = False,
) -> None:
    """Rank the models of several runs by the share of photos that no attack took to its goal.

    Each model's number is of the photos that all models of its table have. Where there are none, nobody has a rank.

    Each model gets a card with the suite's hash, versions, machine and scores. A table holds models that went through
    the same: suites may differ in which models they score, and in nothing else.
    """
    with bench_errors():
        from art_crop.bench.leaderboard import as_json as content_of
        from art_crop.bench.leaderboard import collect, write_boards

        boards = collect([source.expanduser() for source in sources], by_suite=by_suite)
        if out_path is not None:
            write_boards(boards, out_path.expanduser())
        if as_json:
            typer.echo(json.dumps(content_of(boards), indent=2))
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
    counts = f"{found.pairs} results in both runs{alone if found.only_a or found.only_b else ''}"
    if found.compared != "runs":
        first, second = found.names
        counts = f"{first} (first) and {second} (second): {counts.replace('both runs', 'both')}"
    out.print(literal(counts))
    about = ("attacked", "scored", "norm", "eps")
    shown = [name for name in about if len({_cell(row, name) for row in found.differences}) > 1]
    shown = shown if found.compared == "methods" else ["method", *shown]
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in (*({"eps": "budget"}.get(name, name) for name in shown), "measure"):
        table.add_column(title, overflow="fold")
    for title in ("n", "first", "second", "difference", "95% interval", "p (Holm)"):
        table.add_column(title, justify="right", no_wrap=True)
    for row in found.differences:
        cells = [_cell(row, name) for name in shown]
        style = ("bold green" if row.difference > 0 else "bold red") if row.significant else "dim"
        numbers = [_number(row, value) for value in (row.a, row.b, row.difference)]
        interval = f"[{_number(row, row.low)}, {_number(row, row.high)}]" if row.n > 1 else "–"
        p = f"{row.p_corrected:.3f}{' *' if row.significant else ''}" if row.p_corrected >= 0.001 else "<0.001 *"
        table.add_row(*(literal(c) for c in (*cells, row.measure, row.n, *numbers, interval, p)), style=style)
    out.print(table)
    count = sum(row.significant for row in found.differences)
    out.print(f"{count} of {len(found.differences)} differences are significant (*); each is second minus first.")


def _cell(row: Difference, name: str) -> str:
    """What a row is about, of the first and, where it is another, of the second."""
    if name == "attacked" and row.scored != row.scored_b:
        names = (row.scored, row.scored_b)
        for attacked, text in ((names, "the model itself"), (names[::-1], "the other model")):
            if (row.attacked, row.attacked_b) == attacked:
                return text
    first = _text(getattr(row, name))
    second = first if name == "norm" else _text(getattr(row, f"{name}_b"))
    return first if first == second else f"{first} / {second}"


def _print_board(board: Board) -> None:
    from rich import box
    from rich.table import Table

    from art_crop.bench.leaderboard import board_rows, notices, photos_of

    head, *rows = board_rows(board)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, title=literal(f"{board.suite} ({board.suite_sha256[:12]})"))
    for title in head:
        table.add_column(title, overflow="fold")
    for row in rows:
        table.add_row(*(literal(cell) for cell in row))
    out.print(table)
    out.print(photos_of(board))
    for notice in notices(board):
        out.print("[yellow]note:[/yellow]", literal(notice))


def _text(value: object) -> str:
    return "–" if value in (None, "") else f"{value:g}" if isinstance(value, float) else plain(value)


def _number(row: Difference, value: float) -> str:
    from art_crop.bench.measures import measure

    return measure(row.measure).text(value)

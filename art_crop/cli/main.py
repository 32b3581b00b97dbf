"""Entry point of ``art-crop``."""

from __future__ import annotations

import typer

from art_crop.cli import distil as distil_command

app = typer.Typer(
    name="art-crop",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root() -> None:
    """Measure and move what automatic croppers show: attacks, verified on the written file."""


app.command("distil", epilog=distil_command.EXAMPLES)(distil_command.distil)


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()

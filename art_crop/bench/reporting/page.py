"""A summary as one self-contained HTML page, and as Markdown, from the templates beside this file.

File names, methods and error messages come from outside: whatever a template puts in is escaped, its hidden characters
made visible. The page fetches nothing, and its content security policy lets only its own script run, by its hash.
"""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import art_crop
from art_crop.bench.reporting.gallery import WHEN, Entry
from art_crop.bench.results_table import results_table
from art_crop.bench.summary import Summary
from art_crop.bench.visible import visible
from art_crop.errors import MissingDependencyError

if TYPE_CHECKING:
    from jinja2 import Environment

    from art_crop.bench.reporting.figures import Plot

__all__ = ["environment", "html_page", "markdown_page", "plain_markdown"]

_SPLIT = {"scored": "{} scored", "attacked": "{} attacked", "norm": "norm {}"}
"""What a table's rows have in common, in words."""


def html_page(summary: Summary, figures: Sequence[Plot], entries: Sequence[Entry], gallery_note: str) -> str:
    """The whole page.

    Args:
        summary: What the run's rows say.
        figures: Plots of it.
        entries: Kept photos.
        gallery_note: How many of how many are shown, and what is missing.
    """
    pages = environment()
    assert pages.loader is not None
    css, script = (pages.loader.get_source(pages, f"report.{kind}")[0].strip() for kind in ("css", "js"))
    uris = [uri for entry in entries for when in WHEN for uri in (entry.images[when], entry.heat.get(when)) if uri]
    photo_ids = {uri: f"p{k}" for k, uri in enumerate(dict.fromkeys(uris))}
    return pages.get_template("report.html").render(
        summary=summary,
        figures=figures,
        entries=entries,
        gallery_note=gallery_note,
        outlines=_outlines(entries),
        photo_ids=photo_ids,
        photos={name: uri for uri, name in photo_ids.items()},
        results=results_table(summary.frame, visible) if summary.results else None,
        css=css,
        script=script,
        script_hash=base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        version=art_crop.__version__,
    )


def markdown_page(summary: Summary) -> str:
    """The tables with their intervals and the paper's numbers, for a README or an issue."""
    return environment().get_template("report.md").render(summary=summary)


def environment() -> Environment:
    """Jinja's environment of the report's templates, which escapes for HTML, or for Markdown, whatever they put in.

    Raises:
        MissingDependencyError: Without jinja2.
    """
    try:
        from jinja2 import Environment, PackageLoader, StrictUndefined, pass_eval_context, select_autoescape
        from markupsafe import Markup
    except ImportError as error:
        raise MissingDependencyError('reports need jinja2: pip install "art-crop[bench]"') from error

    @pass_eval_context
    def shown(context: Any, value: Any) -> Any:
        if isinstance(value, Markup):
            return value
        return visible(value) if context.autoescape else plain_markdown(value)

    pages = Environment(
        loader=PackageLoader("art_crop.bench.reporting"),
        autoescape=select_autoescape(("html",)),
        finalize=shown,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # Text from outside keeps its own direction of writing.
    pages.filters["bdi"] = lambda text: Markup("<bdi>{}</bdi>").format(visible(text))
    pages.filters["split"] = lambda split: ", ".join(_SPLIT[key].format(value) for key, value in split.items())
    pages.filters["instant"] = lambda text: re.sub(r"T(\d\d:\d\d)(:\d\d)?(\+00:00|Z)$", r" \1 UTC", text)
    pages.globals["zip"] = zip
    pages.policies["json.dumps_kwargs"] = {"allow_nan": False, "separators": (",", ":")}
    return pages


def plain_markdown(text: object) -> str:
    """Text that means nothing to Markdown or HTML: one line, and a table's bars and tags' brackets written out."""
    flat = " ".join(visible(text).split())
    for sign, safe in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
        flat = flat.replace(sign, safe)
    return re.sub(r"[\\|`*\[\]!]", r"\\\g<0>", flat)


def _outlines(entries: Sequence[Entry]) -> list[tuple[str, str]]:
    """Class and meaning of each outline that some photo has."""
    ratios = max((entry.windows for entry in entries), key=len, default=())
    found = [(f"c{k}", f"crop {ratio}") for k, ratio in enumerate(ratios)]
    wanted = any(box.kind == "region" for entry in entries for box in entry.boxes.get("after", ()))
    return [*found, ("region", "wanted region")] if wanted else found

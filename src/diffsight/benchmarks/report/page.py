"""A report put together and written."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from ...errors import InvalidInput
from ...files import atomic, check_writable
from .pictures import SIDE, Gallery, gallery
from .plots import Line, Plot, risk_coverage
from .run import ScoredRun, load_runs
from .tables import Table, by_category, comparison, flavours, labels, main_metrics, provenance, remarks

if TYPE_CHECKING:
    from jinja2 import Environment

NAMES = ("report.html", "report.md")


@dataclass(frozen=True)
class Section:
    """All about one benchmark.

    Attributes:
        title: what papers call it.
        remarks: what must be known before comparing.
        results: figures, beside published ones and by category.
        plots: of the curves that the runs hold.
        galleries: pictures of each run.
        provenance: where the figures come from.
    """

    title: str
    remarks: tuple[str, ...]
    results: tuple[Table, ...]
    plots: tuple[Plot, ...]
    galleries: tuple[Gallery, ...]
    provenance: Table


def write_report(folders: Sequence[Path], out: Path) -> tuple[Path, Path]:
    """Write runs beside published figures, as one HTML page and as markdown.

    Args:
        folders: of scored runs, of one benchmark or several.
        out: folder to write to; made if it is not there.

    Returns:
        The paths of the page and of the markdown.

    Raises:
        InvalidInput: without a run.
        UnreadableFile: if a folder holds no run, one that is not scored yet, or a damaged one.
        OutputFailed: if ``out`` cannot be written.
    """
    if not folders:
        raise InvalidInput("no run given; give the folder of at least one scored run")
    check_writable(out)
    runs = load_runs(folders)
    facts = {"sections": sections(runs), "header": header(runs)}
    texts = [_environment().get_template(name).render(facts) for name in NAMES]
    for name, text in zip(NAMES, texts, strict=True):
        with atomic(out / name) as part:
            part.write_text(text, encoding="utf-8")
    return out / NAMES[0], out / NAMES[1]


def header(runs: Sequence[ScoredRun]) -> tuple[tuple[str, str], ...]:
    """What was run, when, and on what."""
    titles = list(dict.fromkeys(run.title for run in runs))
    dates = sorted({run.known["date"][:10] for run in runs if "date" in run.known})
    machines = dict.fromkeys(
        ", ".join(text for name, text in run.environment if name.split(".")[0] == "hardware") for run in runs
    )
    return (
        ("what", f"{len(runs)} run{'s' * (len(runs) > 1)} of {', '.join(titles)}"),
        ("when", " to ".join(dict.fromkeys((dates[0], dates[-1]))) if dates else "not recorded"),
        ("on what", "; ".join(filter(None, machines)) or "not recorded"),
    )


def sections(runs: Sequence[ScoredRun]) -> list[Section]:
    """A section for each benchmark, in the order in which they come."""
    names = dict.fromkeys(run.summary.benchmark for run in runs)
    return [_section([run for run in runs if run.summary.benchmark == name]) for name in names]


def _section(runs: Sequence[ScoredRun]) -> Section:
    results = [*(comparison(metric, runs) for metric in main_metrics(runs)), flavours(runs)]
    if any(len(run.summary.by_category) > 1 for run in runs):
        results.append(by_category(runs))
    galleries = tuple(gallery(label, run) for label, run in zip(labels(runs), runs, strict=True))
    return Section(runs[0].title, remarks(runs), tuple(results), _plots(runs), galleries, provenance(runs))


def _plots(runs: Sequence[ScoredRun]) -> tuple[Plot, ...]:
    named = list(zip(labels(runs), runs, strict=True))
    curves = [Line(label, *np.array(run.summary.curve).T) for label, run in named if run.summary.curve]
    sure = [(label, risk_coverage(run.scores)) for label, run in named]
    risks = [Line(label, coverage, risk) for label, (coverage, risk) in sure if len(coverage)]
    plots = (
        Plot("PCK by threshold", "alpha", "PCK, percent", tuple(curves)),
        Plot("Risk by coverage", "samples answered, surest first, percent", "100 − mean score", tuple(risks)),
    )
    return tuple(plot for plot in plots if plot.lines)


@cache
def _environment() -> Environment:
    """Templates beside this file; everything put into HTML is escaped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=select_autoescape(["html"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Callable[..., str]] = {"data": data_uri, "literal": literal}
    environment.filters |= filters
    return environment


def data_uri(image: Image.Image) -> str:
    """A picture as text that a page can hold, its longer side at most ``SIDE`` pixels."""
    small = image.convert("RGB")
    small.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=88)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def literal(text: str) -> str:
    """Text as it stands in a cell of a markdown table, whatever signs it holds."""
    escaped = "".join(f"\\{sign}" if sign in "\\`*_[]|~#" else sign for sign in " ".join(text.split()))
    return escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")

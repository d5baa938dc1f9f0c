"""The tables of a report, the same for HTML and markdown."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..published import Published, published
from ..summary import Figure
from .run import ScoredRun

ABSENT = "–"


@dataclass(frozen=True)
class Cell:
    """One field of a table.

    Attributes:
        text: what it says.
        number: whether it is one.
        share: 0 to 1, drawn as a bar behind the number; None for no bar.
        strong: whether it stands out.
    """

    text: str
    number: bool = False
    share: float | None = None
    strong: bool = False


@dataclass(frozen=True)
class Row:
    """Cells, and whether they were measured by a run of the report."""

    cells: tuple[Cell, ...]
    ours: bool = False


@dataclass(frozen=True)
class Table:
    """A table with a heading, and what must be said about it."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...] = ()


def labels(runs: Sequence[ScoredRun]) -> list[str]:
    """A name for each run, with its folder where that is needed to tell them apart."""
    counts = Counter(run.label for run in runs)
    return [run.label if counts[run.label] == 1 else f"{run.label} ({run.folder})" for run in runs]


def main_metrics(runs: Sequence[ScoredRun]) -> list[str]:
    """What the runs' protocols mean by their score, each once."""
    return list(dict.fromkeys(figure.metric for run in runs for figure in run.summary.main))


def comparison(metric: str, runs: Sequence[ScoredRun]) -> Table:
    """Our runs above the published rows of one metric; these are sorted by protocol and value."""
    rows = [
        _measured(label, run, figure)
        for label, run in zip(labels(runs), runs, strict=True)
        for figure in run.summary.main
        if figure.metric == metric
    ]
    known = [row for row in published(runs[0].summary.benchmark, metric) if row.category is None]
    rows += map(_printed, sorted(known, key=_rank))
    if known:
        said = "Only the rows marked “measured here” come from runs; all others are copied from their source."
    else:
        said = "No published figure of this metric is at hand."
    columns = (metric, "method", "supervision", "protocol", "source")
    return Table(f"{metric}, beside what is published", columns, tuple(rows), (said,))


def _measured(label: str, run: ScoredRun, figure: Figure) -> Row:
    date = f"measured here, {run.known['date'][:10]}" if "date" in run.known else "measured here"
    texts = (label, ABSENT, f"{figure.switches}; {run.protocol}", date)
    return Row((_number(figure.value, strong=True), *map(Cell, texts)), ours=True)


def _rank(row: Published) -> tuple[bool, bool, str, float]:
    """Rows that say how they average first, those that say nothing last; the best first within a protocol."""
    return not row.protocol.startswith("per "), row.protocol == "not stated", row.protocol, -row.value


def _printed(row: Published) -> Row:
    source = row.source if row.confidence == "verified" else f"{row.source} (second hand)"
    return Row((_number(row.value), *map(Cell, (row.method, row.supervision or ABSENT, row.protocol, source))))


def _number(value: float, *, share: float | None = None, strong: bool = False) -> Cell:
    return Cell(f"{value:.1f}", number=True, share=share, strong=strong)


def flavours(runs: Sequence[ScoredRun]) -> Table:
    """Every figure with its switches, the runs side by side."""
    found = [{(own.metric, own.switches): own for own in run.summary.figures} for run in runs]
    rows = []
    for metric, switches in dict.fromkeys(key for figures in found for key in figures):
        own = [figures.get((metric, switches)) for figures in found]
        cells = [_number(one.value, strong=one.main) if one else Cell(ABSENT, number=True) for one in own]
        rows.append(Row((Cell(metric), *cells, Cell(switches))))
    note = "Bold: what the run’s protocol means. In percent, unless the metric says otherwise."
    return Table("Every figure and its switches", ("metric", *_headings(runs), "switches"), tuple(rows), (note,))


def _headings(runs: Sequence[ScoredRun]) -> list[str]:
    return [f"{label}: {run.protocol}" for label, run in zip(labels(runs), runs, strict=True)]


def by_category(runs: Sequence[ScoredRun]) -> Table:
    """The first main figure of each category, beside what is published of it."""
    found = [{name: value for name, _, value in run.summary.by_category} for run in runs]
    counts = [{name: count for name, count, _ in run.summary.by_category} for run in runs]
    metrics = [run.summary.main[0].metric for run in runs if run.summary.main]
    known = [row for row in published(runs[0].summary.benchmark, metrics[0]) if row.category] if metrics else []
    others = list(dict.fromkeys((row.method, row.protocol) for row in known))
    values = {(row.method, row.protocol, row.category): row.value for row in known}
    rows = []
    for name in dict.fromkeys(name for figures in found for name in figures):
        cells = [_bar(figures.get(name)) for figures in found]
        cells += [_bar(values.get((*other, name))) for other in others]
        count = " / ".join(dict.fromkeys(f"{own[name]:,}" for own in counts if name in own))
        rows.append(Row((Cell(name), Cell(count, number=True), *cells)))
    headings = (*_headings(runs), *(f"{method}, published: {protocol}" for method, protocol in others))
    return Table("By category", ("category", "samples", *headings), tuple(rows), _category_notes(runs))


def _bar(value: float | None) -> Cell:
    return Cell(ABSENT, number=True) if value is None else _number(value, share=min(1.0, max(0.0, value / 100)))


def _category_notes(runs: Sequence[ScoredRun]) -> tuple[str, ...]:
    return tuple(
        f"{label}: {run.summary.main[0].metric}, {run.summary.main[0].switches}."
        for label, run in zip(labels(runs), runs, strict=True)
        if run.summary.main
    )


LEADING = ("date", "hardware", "commit", "model", "fingerprint", "command")


def provenance(runs: Sequence[ScoredRun]) -> Table:
    """Where the figures come from: first what identifies a run, then its settings and versions."""
    names = dict.fromkeys(name for run in runs for name in run.known)
    ordered = sorted(names, key=_place)
    rows = [Row((Cell(name), *(Cell(run.known.get(name, ABSENT)) for run in runs))) for name in ordered]
    return Table("Where the figures come from", ("", *labels(runs)), tuple(rows))


def _place(name: str) -> int:
    first = name.split(".")[0]
    return LEADING.index(first) if first in LEADING else len(LEADING)


def remarks(runs: Sequence[ScoredRun]) -> tuple[str, ...]:
    """What a reader must know before comparing."""
    said = []
    protocols = list(dict.fromkeys(run.summary.protocol for run in runs))
    if len(protocols) > 1:
        listed = ", ".join(protocols)
        said.append(f"These runs follow different protocols ({listed}): their figures do not compare.")
    whose: dict[str, list[str]] = {}
    for label, run in zip(labels(runs), runs, strict=True):
        for remark in _remarks(run):
            whose.setdefault(remark, []).append(label)
    return (*said, *(f"{'; '.join(names)}: {remark}" for remark, names in whose.items()))


def _remarks(run: ScoredRun) -> Iterator[str]:
    own = run.summary
    asked = own.samples + sum(count for _, count in own.skipped)
    whole = run.benchmark.counts.get(own.split) if run.benchmark else None
    if whole is not None and asked != whole:
        yield f"ran on {asked:,} samples; the real {own.split} split has {whole:,}; not the benchmark’s figures."
    for reason, count in own.skipped:
        yield f"{count:,} not scored ({reason})."

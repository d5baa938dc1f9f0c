"""Figures that others have published on the benchmarks that can be run here."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

TABLE = Path(__file__).with_suffix(".csv")

CATEGORY = "category "
"""Begins the last part of the note of a row that is about one category only."""


@dataclass(frozen=True)
class Published:
    """One published number; none of them was measured here.

    Attributes:
        method: as its authors call it.
        supervision: what it was trained with besides generic pre-training; empty if not known.
        benchmark: by the name it has on the command line.
        split_or_note: the protocol as far as it is stated, parts joined by ``"; "``; empty if it is not.
        metric: as in ``Figure.metric``.
        value: percent.
        source: where it was printed.
        confidence: ``verified`` in that source, or ``secondary``: quoted by someone else.
    """

    method: str
    supervision: str
    benchmark: str
    split_or_note: str
    metric: str
    value: float
    source: str
    confidence: Literal["verified", "secondary"]

    @property
    def category(self) -> str | None:
        """The only category that it is about; None if it is about all."""
        last = self.split_or_note.split("; ")[-1]
        return last.removeprefix(CATEGORY) if last.startswith(CATEGORY) else None

    @property
    def protocol(self) -> str:
        """How it was scored, as far as that is stated."""
        parts = self.split_or_note.split("; ")
        return "; ".join(part for part in parts if not part.startswith(CATEGORY)) or "not stated"


@cache
def all_published() -> tuple[Published, ...]:
    """Every row of the table, in its order."""
    with TABLE.open(newline="", encoding="utf-8") as lines:
        rows: list[dict[str, Any]] = list(csv.DictReader(lines))
    return tuple(Published(**(row | {"value": float(row["value"])})) for row in rows)


def published(benchmark: str, metric: str) -> tuple[Published, ...]:
    """What is known of a metric on a benchmark, in the table's order; rows of single categories too."""
    return tuple(row for row in all_published() if (row.benchmark, row.metric) == (benchmark, metric))

"""What scoring one kind of benchmark gives, before it becomes a summary."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ..summary import Figure


@dataclass(frozen=True)
class Row:
    """A sample's own score, to find the best and the worst by.

    Attributes:
        id: of the sample.
        category: of the sample.
        score: percent, by the protocol's headline: share of a pair's keypoints; 100 less the corner error's share of
            the largest that is allowed; J&F of a clip's objects; share of a clip's joints; mean IoU of a photo's
            classes.
    """

    id: str
    category: str
    score: float


@dataclass(frozen=True)
class Outcome:
    """Attributes as in ``Summary``, and a row for each sample that was scored."""

    rows: tuple[Row, ...]
    figures: tuple[Figure, ...]
    by_category: tuple[tuple[str, int, float], ...]
    skipped: tuple[tuple[str, int], ...] = ()
    curve: tuple[tuple[float, float], ...] = ()


CURVE = tuple(round(0.01 * step, 2) for step in range(1, 21))
"""The alphas at which a curve of PCK is drawn."""


def by_category(categories: Sequence[str], value: Callable[[list[int]], float]) -> tuple[tuple[str, int, float], ...]:
    """Each category's name, how many samples it has, and the value of their indices."""
    indices: dict[str, list[int]] = {}
    for index, category in enumerate(categories):
        indices.setdefault(category, []).append(index)
    return tuple((name, len(own), value(own)) for name, own in sorted(indices.items()))


def skipped(reason: str, count: int) -> tuple[tuple[str, int], ...]:
    """A line of ``Summary.skipped``; none if nothing was."""
    return ((reason, count),) if count else ()

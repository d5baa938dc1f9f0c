"""Line plots as SVG that takes its colours and letters from the page around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from markupsafe import Markup

from ..metrics import confidence as confidence_metrics
from .run import Score

WIDTH, HEIGHT = 400, 270
LEFT, TOP, RIGHT, BOTTOM = 50, 12, 14, 48
"""Margins of the plot's field."""

DOTS = 25
"""Values are marked with dots on lines of so many at most."""

COLOURS = 6
"""Lines beyond so many take the first colours again."""

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Line:
    """A named line through (N,) values."""

    label: str
    x: Values
    y: Values


@dataclass(frozen=True)
class Plot:
    """Lines in one field, both axes from 0.

    Attributes:
        title: above the plot.
        x_label, y_label: of the axes.
        lines: drawn in this order.
    """

    title: str
    x_label: str
    y_label: str
    lines: tuple[Line, ...]

    @property
    def svg(self) -> Markup:
        """The drawing; lines have the classes ``line line-0``, ``line line-1`` and so on."""
        x_ticks, y_ticks = (_ticks([getattr(line, axis) for line in self.lines]) for axis in "xy")
        across = _Scale(x_ticks[-1], LEFT, WIDTH - RIGHT)
        up = _Scale(y_ticks[-1], HEIGHT - BOTTOM, TOP)
        parts = [_y_tick(value, up(value)) for value in y_ticks] + [_x_tick(value, across(value)) for value in x_ticks]
        for number, line in enumerate(self.lines):
            points = [(across(x), up(y)) for x, y in zip(line.x, line.y, strict=True)]
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
            parts.append(Markup('<polyline class="line line-{}" points="{}"/>').format(number % COLOURS, path))
            if len(points) <= DOTS:
                dot = Markup('<circle class="dot line-{}" cx="{:.1f}" cy="{:.1f}" r="3"/>')
                parts += [dot.format(number % COLOURS, x, y) for x, y in points]
        parts.append(_text(self.x_label, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "middle"))
        turned = f"rotate(-90 12 {(TOP + HEIGHT - BOTTOM) / 2})"
        parts.append(_text(self.y_label, 12, (TOP + HEIGHT - BOTTOM) / 2, "middle", turned))
        frame = Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="{}">{}</svg>')
        return frame.format(WIDTH, HEIGHT, self.title, Markup("").join(parts))


@dataclass(frozen=True)
class _Scale:
    """Values from 0 to ``highest``, as places from ``start`` to ``end``."""

    highest: float
    start: float
    end: float

    def __call__(self, value: float) -> float:
        return self.start + (self.end - self.start) * value / self.highest


def _ticks(values: Sequence[Values]) -> list[float]:
    """Round numbers from 0 to beyond the highest value."""
    from matplotlib.ticker import MaxNLocator

    highest = max(float(own.max()) for own in values)
    return list(MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(0.0, highest if highest > 0 else 1.0))


def _text(text: str, x: float, y: float, anchor: str, transform: str = "") -> Markup:
    whole = Markup('<text x="{:.1f}" y="{:.1f}" text-anchor="{}" transform="{}">{}</text>')
    return whole.format(x, y, anchor, transform, text)


def _y_tick(value: float, y: float) -> Markup:
    grid = Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(LEFT, WIDTH - RIGHT, y, y)
    return grid + _text(f"{value:g}", LEFT - 6, y + 4, "end")


def _x_tick(value: float, x: float) -> Markup:
    return _text(f"{value:g}", x, HEIGHT - BOTTOM + 18, "middle")


def risk_coverage(scores: Sequence[Score]) -> tuple[Values, Values]:
    """What is lost if only the surest samples are answered.

    Args:
        scores: with their confidence; those without, or of NaN, are left out.

    Returns:
        Coverage, the share of samples answered, rising, percent; and risk, what their mean score lacks to 100.
    """
    known = np.array([(own.confidence, own.value) for own in scores if own.confidence is not None], np.float64)
    known = known.reshape(-1, 2)
    confidence, value = known[np.isfinite(known).all(axis=1)].T
    curve = confidence_metrics.risk_coverage(confidence, value / 100)
    return 100 * curve.coverage, 100 * curve.risk

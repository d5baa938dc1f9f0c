"""What scoring a run gives: figures that name every switch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..files import save_json


@dataclass(frozen=True)
class Figure:
    """One number and all that it hangs on.

    Attributes:
        metric: ``PCK@0.1``, ``J&F``, ``mIoU`` and so on.
        switches: the choices behind it, in words: ``per point, longer side of the target's box, <=``.
        value: percent, or pixels where the metric says so.
        main: whether the protocol means this one.
    """

    metric: str
    switches: str
    value: float
    main: bool = False


@dataclass(frozen=True)
class Summary:
    """All figures of a run.

    Attributes:
        benchmark: its name.
        split: which part of it.
        protocol: whose switches are meant by the main figures.
        samples: how many were scored.
        skipped: how many could not be, and why, as (reason, count).
        figures: every flavour of every metric.
        by_category: (category, samples, value of the first main figure).
        curve: (alpha, PCK of the protocol's flavour, percent); empty for benchmarks without keypoints.
    """

    benchmark: str
    split: str
    protocol: str
    samples: int
    skipped: tuple[tuple[str, int], ...]
    figures: tuple[Figure, ...]
    by_category: tuple[tuple[str, int, float], ...]
    curve: tuple[tuple[float, float], ...] = ()

    @property
    def main(self) -> tuple[Figure, ...]:
        """The figures that the protocol means."""
        return tuple(figure for figure in self.figures if figure.main)

    def save(self, path: Path) -> None:
        """Write it as JSON.

        Raises:
            OutputFailed: if it cannot be written.
        """
        save_json(asdict(self), path)

    @classmethod
    def load(cls, path: Path) -> Summary:
        """Read what ``save`` wrote.

        Raises:
            UnreadableFile: if it cannot be read.
        """
        import json

        from ..errors import UnreadableFile

        try:
            facts = json.loads(path.read_text())
            figures = tuple(Figure(**figure) for figure in facts.pop("figures"))
            rows: dict[str, Any] = {
                name: tuple(map(tuple, facts.pop(name))) for name in ("skipped", "by_category", "curve")
            }
            return cls(**facts, **rows, figures=figures)
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = getattr(error, "strerror", None) or repr(error)
            raise UnreadableFile(f"{path} is no summary of a run ({reason}); score the run anew") from None

"""A scored run as its folder holds it."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ...datasets import BENCHMARKS, Benchmark
from ...errors import UnreadableFile
from ..summary import Summary

Facts = tuple[tuple[str, str], ...]
"""Names and what they are, in words."""


@dataclass(frozen=True)
class Score:
    """How well one sample was done.

    Attributes:
        id: of the sample.
        category: of the sample.
        value: percent.
        confidence: how sure the method was, by its own measure; None if it does not say.
    """

    id: str
    category: str
    value: float
    confidence: float | None = None


@dataclass(frozen=True)
class Answer:
    """What was predicted for one sample; what does not suit its kind is None.

    Attributes:
        matched: (M,) coordinates of points, x and y in turn.
        matrix: (3, 3) homography.
    """

    matched: npt.NDArray[np.float64] | None = None
    matrix: npt.NDArray[np.float64] | None = None


@dataclass(frozen=True)
class ScoredRun:
    """A run, its figures and where they come from.

    Attributes:
        folder: of the run.
        model, method: what was run; empty if the predictions came from elsewhere.
        root: the benchmark's folder; None if not recorded.
        config: all that was asked.
        environment: when, where and by which command; empty if not recorded.
        summary: the figures.
        scores: of each sample; empty if not kept.
    """

    folder: Path
    model: str
    method: str
    root: Path | None
    config: Facts
    environment: Facts
    summary: Summary
    scores: tuple[Score, ...]

    @classmethod
    def load(cls, folder: Path) -> ScoredRun:
        """Read a run.

        Raises:
            UnreadableFile: if the folder holds no run, one that is not scored yet, or a damaged one.
        """
        if not (folder / "config.json").is_file():
            advice = "give a folder that `diffsight bench run` has written"
            raise UnreadableFile(f"{folder} is no run folder, as it has no config.json; {advice}")
        if not (folder / "summary.json").exists():
            raise UnreadableFile(f"{folder} is not scored yet; run `diffsight bench score {folder}` first")
        config = _read_json(folder / "config.json")
        environment = folder / "environment.json"
        root = config.get("root")
        return cls(
            folder,
            model=str(config.get("model") or ""),
            method=str(config.get("method") or ""),
            root=Path(root) if isinstance(root, str) else None,
            config=_facts(config),
            environment=_facts(_read_json(environment)) if environment.exists() else (),
            summary=Summary.load(folder / "summary.json"),
            scores=_read_scores(folder / "scores.parquet"),
        )

    @property
    def label(self) -> str:
        """Method and model, or the folder's name."""
        return " · ".join(part for part in (self.method, self.model) if part) or self.folder.name

    @property
    def benchmark(self) -> Benchmark | None:
        """What was run, if it is known here."""
        return BENCHMARKS.get(self.summary.benchmark)

    @property
    def title(self) -> str:
        """What papers call the benchmark."""
        return self.benchmark.title if self.benchmark else self.summary.benchmark

    @property
    def protocol(self) -> str:
        """Protocol, split and size, in words."""
        own = self.summary
        return f"protocol {own.protocol}, {own.split}, {own.samples:,} sample{'s' * (own.samples != 1)}"

    @cached_property
    def known(self) -> dict[str, str]:
        """All facts by name."""
        return dict((*self.config, *self.environment))

    def answers(self, ids: Collection[str]) -> dict[str, Answer]:
        """What was predicted for some samples; those that are not kept are left out.

        Raises:
            UnreadableFile: if the file is damaged.
        """
        rows = _read_table(self.folder / "predictions.parquet", ids)
        return {row["id"]: Answer(_array(row.get("matched")), _matrix(row.get("matrix"))) for row in rows}

    def labels(self, sample: str) -> tuple[Path, ...]:
        """Label PNGs of a photo or of the frames of a clip."""
        folder = self.folder / "labels"
        alone = folder / f"{sample}.png"
        return (alone,) if alone.exists() else tuple(sorted((folder / sample).glob("*.png")))


def load_runs(folders: Sequence[Path]) -> list[ScoredRun]:
    """Read runs, each given once.

    Raises:
        UnreadableFile: if one is none, not scored yet or damaged.
    """
    return [ScoredRun.load(folder) for folder in dict.fromkeys(folders)]


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UnreadableFile(f"cannot read {path} ({getattr(error, 'strerror', None) or error}); run anew") from None
    if not isinstance(found, dict):
        raise UnreadableFile(f"{path} holds no facts by name; run anew")
    return found


def _facts(facts: dict[str, Any], prefix: str = "") -> Facts:
    found: Facts = ()
    for name, value in facts.items():
        if isinstance(value, dict) and value:
            found += _facts(value, f"{prefix}{name}.")
        elif value not in (None, "", {}, []):
            found += ((prefix + name, ", ".join(map(str, value)) if isinstance(value, list) else str(value)),)
    return found


def _read_scores(path: Path) -> tuple[Score, ...]:
    try:
        return tuple(
            Score(row["id"], row["category"], float(row["score"]), row.get("confidence"))
            for row in _read_table(path)
            if row["score"] is not None
        )
    except KeyError as error:
        raise UnreadableFile(f"{path} has no column {error}; score the run anew") from None


def _read_table(path: Path, ids: Collection[str] | None = None) -> list[dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    if not path.exists():
        return []
    try:
        return pq.read_table(path, filters=None if ids is None else [("id", "in", list(ids))]).to_pylist()
    except (OSError, pa.ArrowException) as error:
        raise UnreadableFile(f"cannot read {path} ({error}); run or score anew") from None


def _array(numbers: list[float] | None) -> npt.NDArray[np.float64] | None:
    return None if numbers is None else np.array(numbers, np.float64)


def _matrix(numbers: list[float] | None) -> npt.NDArray[np.float64] | None:
    return None if numbers is None else np.array(numbers, np.float64).reshape(3, 3)

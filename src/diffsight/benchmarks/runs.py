"""A run folder: what was asked, what was predicted, and how long it took; safe against being killed at any moment.

A run's predictions are kept in chunks as they come, and put together once all are there. What lies in
``config.json`` and ``predictions.parquet`` depends on nothing but the question: shards merge to the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..datasets import MaskClip, Sample, benchmark, present
from ..engine import run
from ..errors import DiffsightError, InvalidInput, OutputFailed, UnreadableFile
from ..files import atomic, save_json
from .systems import Prediction, System

if TYPE_CHECKING:
    import pyarrow as pa

    from .scoring import Row

CHUNK_SECONDS = 10.0
"""How much work a kill may cost at most, beside the sample at hand."""

CHUNK = 64
"""Neighbouring samples that a worker on a cluster takes at once; they often share photos, which are read once then."""

APART = ("root", "command")
"""What may differ between a run and its resumption."""


LABELS = "labels"
"""Folder of label maps in a run."""


def label_paths(folder: Path, sample: str, frames: int | None = None) -> list[Path]:
    """Where the labels of a photo are, or of each frame of a clip."""
    names = [sample] if frames is None else [f"{sample}/{frame:05d}" for frame in range(frames)]
    return [folder / f"{name}.png" for name in names]


class Run:
    """A folder that holds a run.

    Args:
        folder: of the run; made if it is not there.
        config: all that the predictions depend on.

    Raises:
        InvalidInput: if the folder holds something else, or a run with another configuration; names the difference.
        OutputFailed: if it cannot be written, or another process is at work in it.
    """

    def __init__(self, folder: Path, config: dict[str, Any]) -> None:
        self.folder = folder
        self.config = json.loads(json.dumps(config))
        path = folder / "config.json"
        if path.exists():
            known = load_config(folder)
            if change := difference(known, self.config):
                raise InvalidInput(f"{folder} holds another run: {change}; give another folder, or the same settings")
        elif folder.exists() and (not folder.is_dir() or any(own.name != ".lock" for own in folder.iterdir())):
            raise InvalidInput(f"{folder} is there already and holds no run; give another folder")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        from filelock import FileLock, Timeout

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock", timeout=0):
                yield
        except Timeout:
            raise OutputFailed(
                f"another process is at work in {self.folder}; wait for it, or give another folder"
            ) from None
        except PermissionError as error:
            raise OutputFailed(f"cannot write to {self.folder} ({error.strerror}); give another folder") from None

    @property
    def is_complete(self) -> bool:
        """Whether all is predicted."""
        return (self.folder / "predictions.parquet").exists()

    def complete(
        self,
        recipe: Callable[[], System],
        samples: Sequence[Sample],
        *,
        engine: str = "local",
        workers: int | None = None,
        gpus: float = 0,
    ) -> None:
        """Predict what is not predicted yet.

        Args:
            recipe: makes the system.
            samples: all of the run's.
            engine, workers, gpus: as ``engine.run`` takes them.

        Raises:
            DiffsightError: if a sample cannot be predicted; what is finished is kept.
        """
        from tqdm import tqdm

        with self._locked():
            if self.is_complete:
                return
            if not (self.folder / "config.json").exists():
                save_json(self.config, self.folder / "config.json")
            done = self._done()
            left = list(samples[done:])
            answers = run(_Recipe(recipe), left, engine=engine, workers=workers, gpus=gpus, chunk=CHUNK)
            rows: list[dict[str, Any]] = []
            since = time.monotonic()
            with tqdm(total=len(samples), initial=done, desc="running", unit="sample", delay=2, leave=False) as bar:
                for sample, (prediction, seconds) in answers:
                    rows.append(self._row(sample, prediction, seconds))
                    if time.monotonic() - since > CHUNK_SECONDS:
                        self._keep(rows, done)
                        done, rows, since = done + len(rows), [], time.monotonic()
                    bar.update()
            if rows:
                self._keep(rows, done)
            self._finish()

    def _row(self, sample: Sample, prediction: Prediction, seconds: float) -> dict[str, Any]:
        """A row of the table; labels are written on the way."""
        if prediction.labels:
            frames = len(prediction.labels) if isinstance(sample, MaskClip) else None
            for labels, path in zip(
                prediction.labels, label_paths(self.folder / LABELS, sample.id, frames), strict=True
            ):
                save_map(labels, path)
        return {
            "id": sample.id,
            "category": sample.category,
            "matched": _flat(prediction.matched),
            "scores": _flat(prediction.scores),
            "matrix": _flat(prediction.matrix),
            "seconds": seconds,
        }

    def _chunks(self) -> list[Path]:
        return sorted((self.folder / "rows").glob("[0-9]*.parquet"))

    def _done(self) -> int:
        """How many samples are finished; what follows a gap is not counted."""
        done = 0
        for path in self._chunks():
            if int(path.stem) != done:
                break
            done += read_table(path).num_rows
        return done

    def _keep(self, rows: list[dict[str, Any]], first: int) -> None:
        import pyarrow as pa

        write_table(pa.Table.from_pylist(rows, schema=_schema()), self.folder / "rows" / f"{first:08d}.parquet")

    def _finish(self) -> None:
        import pyarrow as pa

        write_run(self.folder, pa.concat_tables([read_table(path) for path in self._chunks()]))
        shutil.rmtree(self.folder / "rows")  # with what a write that was killed has left


def _flat(array: npt.NDArray[np.float64] | None) -> list[float] | None:
    return None if array is None else array.ravel().tolist()


@dataclass(frozen=True)
class _Recipe:
    """Makes a system whose predictions come with their seconds."""

    system: Callable[[], System]

    def __call__(self) -> _Timed:
        return _Timed(self.system())


@dataclass(frozen=True)
class _Timed:
    """A system whose predictions come with their seconds."""

    system: System

    def plan(self, samples: Sequence[Sample]) -> None:
        self.system.plan(samples)

    def __call__(self, sample: Sample) -> tuple[Prediction, float]:
        start = time.perf_counter()
        try:
            prediction = self.system.predict(sample)
        except DiffsightError as error:
            raise type(error)(f"{sample.id}: {error}") from error
        return prediction, time.perf_counter() - start


def _schema() -> pa.Schema:
    import pyarrow as pa

    numbers = pa.list_(pa.float64())
    kinds = {"id": pa.string(), "category": pa.string(), "matched": numbers, "scores": numbers, "matrix": numbers}
    return pa.schema([*kinds.items(), ("seconds", pa.float64())])


def write_run(folder: Path, table: pa.Table) -> None:
    """Write what was predicted, and, apart, how long it took."""
    write_table(table.select(["id", "seconds"]), folder / "timings.parquet")
    write_table(table.drop_columns(["seconds"]), folder / "predictions.parquet")


def write_table(table: pa.Table, path: Path) -> None:
    """Write a parquet file, whole or not at all; equal tables give equal bytes.

    Raises:
        OutputFailed: if it cannot be written.
    """
    import pyarrow.parquet as pq

    with atomic(path) as part:
        pq.write_table(table.combine_chunks(), part)


def read_table(path: Path) -> pa.Table:
    """Read a parquet file.

    Raises:
        UnreadableFile: if it is missing or damaged.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise UnreadableFile(f"cannot read {path} ({error}); run anew") from None


def save_map(labels: npt.NDArray[np.integer], path: Path) -> None:
    """Write (H, W) labels as a PNG: of DAVIS's colours up to 255, else grey of 16 bits."""
    from PIL import Image

    from ..video.masks import save_mask

    if labels.dtype == np.uint8:
        save_mask(labels.astype(np.uint8), path)
        return
    with atomic(path) as part:
        Image.fromarray(labels.astype(np.uint16)).save(part)


def save_scores(rows: Sequence[Row], path: Path) -> None:
    """Write each sample's own score."""
    import pyarrow as pa

    schema = pa.schema([("id", pa.string()), ("category", pa.string()), ("score", pa.float64())])
    write_table(pa.Table.from_pylist([asdict(row) for row in rows], schema=schema), path)


def load_config(folder: Path) -> dict[str, Any]:
    """What a run was asked.

    Raises:
        UnreadableFile: if the folder holds no run.
    """
    path = folder / "config.json"
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UnreadableFile(f"{folder} is no run folder: cannot read {path.name} ({reason})") from None
    if not isinstance(found, dict):
        raise UnreadableFile(f"{folder} is no run folder: {path.name} holds no settings")
    return found


def difference(known: dict[str, Any], asked: dict[str, Any]) -> str:
    """In what two configurations differ, in words; empty if in nothing that matters."""
    ours, theirs = (_leaves(config) for config in (known, asked))
    names = [n for n in {**ours, **theirs} if n not in APART and ours.get(n) != theirs.get(n)]
    return ", ".join(f"{name} is {ours.get(name)!r} there and {theirs.get(name)!r} now" for name in names)


def _leaves(config: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in config.items():
        flat |= _leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def shard_of(samples: Sequence[Sample], shard: tuple[int, int] | None) -> list[Sample]:
    """The part (i, n) of the samples: the i-th of n runs of neighbours, counted from 1."""
    if shard is None:
        return list(samples)
    number, count = shard
    return [samples[i] for i in np.array_split(np.arange(len(samples)), count)[number - 1]]


def subset_of(samples: Sequence[Sample], count: int | None, seed: int) -> list[Sample]:
    """So many samples drawn at random, in their own order."""
    if count is None or count >= len(samples):
        return list(samples)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(samples))[:count])
    return [samples[i] for i in chosen]


def asked(config: dict[str, Any], samples: Sequence[Sample]) -> list[Sample]:
    """The samples that a run was asked for, of those that its benchmark has now.

    Raises:
        InvalidInput: if they are others than those that it was run on.
    """
    try:
        found = list(samples) if not config["missing"] else present(benchmark(config["benchmark"]), samples, skip=True)
        if config["subset"] is not None:
            found = subset_of(found, *config["subset"])
        known = config["digest"]
    except (KeyError, TypeError) as error:
        raise UnreadableFile(f"config.json lacks what a run is asked ({error!r}); run anew") from None
    if digest_of(found) != known:
        raise InvalidInput(
            f"the benchmark's folder does not hold the samples of the run (it has {len(found)}, the run "
            f"{config['samples']}, or others); give the folder that it was run on by --root"
        )
    return shard_of(found, config["shard"])


def digest_of(samples: Sequence[Sample]) -> str:
    """A short digest of which samples these are."""
    return hashlib.blake2b("\n".join(sample.id for sample in samples).encode(), digest_size=8).hexdigest()


def merge(shards: Sequence[Path], folder: Path) -> None:
    """Put the shards of a run together; the result is that of a run in one piece.

    Raises:
        InvalidInput: if they are not all shards of one run, each once.
        UnreadableFile: if one is not finished.
    """
    import shutil

    import pyarrow as pa

    configs = [load_config(shard) for shard in shards]
    numbers = [config.get("shard") for config in configs]
    count = numbers[0][1] if numbers and numbers[0] else 0
    if sorted(numbers, key=str) != sorted(([i + 1, count] for i in range(count)), key=str):
        raise InvalidInput(f"these are the shards {numbers}; give every shard of one run once")
    whole = [{**config, "shard": None} for config in configs]
    for shard, config in zip(shards[1:], whole[1:], strict=True):
        if change := difference(whole[0], config):
            raise InvalidInput(f"{shard} belongs to another run than {shards[0]}: {change}")
    order = np.argsort([number[0] for number in numbers if number])
    joined = Run(folder, whole[0])
    with joined._locked():
        tables = [
            read_table(shards[i] / "predictions.parquet").append_column(
                "seconds", read_table(shards[i] / "timings.parquet")["seconds"]
            )
            for i in order
        ]
        for shard in shards:
            if (shard / LABELS).is_dir():
                shutil.copytree(shard / LABELS, folder / LABELS, dirs_exist_ok=True)
        save_json(joined.config, folder / "config.json")
        write_run(folder, pa.concat_tables(tables))

"""The same work on one machine or on many: workers that are made once, and items that they answer one by one.

A worker is made where it works, by a recipe that can be pickled: a frozen dataclass of plain settings with a
``__call__`` that loads the model. A worker answers an item with a result; both are plain data. What cannot be read is
a result, too; an exception ends the run, with either engine at the same item. Whoever calls ``run`` gets the results
in the order of the items, and alone writes files; so a job that was stopped goes on in the same way with either engine.

    @dataclass(frozen=True)
    class Recipe:
        model: str

        def __call__(self) -> Worker:
            return Worker(load(self.model))

    for path, labels in run(Recipe("pocket"), paths, engine="ray", workers=4):
        save(labels, path)
"""

from __future__ import annotations

import logging
import os
import socket
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, TypeVar, get_args, runtime_checkable

from .errors import InvalidInput, UnreadableFile

if TYPE_CHECKING:
    import pyarrow as pa

Engine = Literal["local", "ray"]

Item = TypeVar("Item")
Result = TypeVar("Result")
Thing = TypeVar("Thing")
Worker = Callable[[Item], Result]
Recipe = Callable[[], Worker[Item, Result]]

CHUNK = 16
"""Neighbouring items that a worker on a cluster takes at once, at most."""

HANDOVER = 1.0
"""Seconds after which a worker on a cluster hands over what it has."""

QUIET = {
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_DEDUP_LOGS_SKIP_REGEX": ".",
    "RAY_USAGE_STATS_ENABLED": "0",
}
"""Environment in which Ray says nothing on the terminal and reports nothing to its makers."""

LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Environment variable of Ray; at 0, an own cluster listens to this machine alone, else to all, who could run code."""


@runtime_checkable
class Planner(Protocol):
    """A worker that wants to know what is to come, so as to keep what it will need again."""

    def plan(self, items: Sequence[Any]) -> None:
        """Learn which items follow: all of them, or on a cluster the next few."""


@dataclass(frozen=True)
class Loaded(Generic[Thing]):
    """A recipe whose worker is here already: the local engine takes it; sent elsewhere, it is the recipe alone."""

    worker: Thing
    recipe: Callable[[], Thing]

    def __call__(self) -> Thing:
        """The worker."""
        return self.worker

    def __reduce__(self) -> tuple[Any, ...]:
        return _itself, (self.recipe,)


def _itself(recipe: Thing) -> Thing:
    return recipe


def check_engine(engine: str, workers: int | None = None) -> None:
    """Say at once, before any work is done, that an engine cannot be used.

    Raises:
        InvalidInput: for an unknown engine, a number of workers that does not suit, or if Ray is not installed.
    """
    if engine not in get_args(Engine):
        raise InvalidInput(f"unknown engine {engine!r}; use {' or '.join(get_args(Engine))}")
    if workers is not None and workers < 1:
        raise InvalidInput(f"{workers} workers are too few; use 1 or more, or leave it out for all that fit")
    if engine == "local":
        if workers is not None and workers > 1:
            raise InvalidInput(f"the engine local is one worker, not {workers}; use the engine ray for more")
        return
    try:
        _ray()
    except ImportError as error:
        raise InvalidInput(f"the engine ray needs Ray ({error}); install it: pip install 'diffsight[ray]'") from None


def run(
    recipe: Recipe[Item, Result],
    items: Sequence[Item],
    *,
    engine: str = "local",
    workers: int | None = None,
    gpus: float = 0,
    chunk: int = CHUNK,
) -> Iterator[tuple[Item, Result]]:
    """Have items answered by workers; each item comes back with its result, in order.

    With the engine ``ray``, a cluster that is connected already is used; else the one at the address in the
    environment's ``RAY_ADDRESS``; else one is started on this machine, and stopped at the end. Its workers compute with
    as many threads as this process (``torch.get_num_threads``), so that their numbers are the same. A worker that dies
    is replaced and its items are given out again.

    Args:
        recipe: makes a worker; can be pickled.
        items: can be pickled, too.
        engine: ``local`` works here and now; ``ray`` on Ray Data, with a worker for each GPU or share of the cores.
        workers: how many, on a cluster; all that fit if left out.
        gpus: that each worker takes on a cluster.
        chunk: how many neighbouring items a worker takes at once on a cluster, at most.

    Raises:
        InvalidInput: as ``check_engine``; or if the cluster cannot be reached, or is too small.
    """
    check_engine(engine, workers)
    if not items:
        return iter(())
    if engine == "local":
        return _local(recipe, items)
    return _on_ray(recipe, items, workers, gpus, chunk)


def _local(recipe: Recipe[Item, Result], items: Sequence[Item]) -> Iterator[tuple[Item, Result]]:
    worker = recipe()
    if isinstance(worker, Planner):
        worker.plan(items)
    for item in items:
        yield item, worker(item)


def _ray() -> Any:
    """Ray, quiet; it reads the environment as it is imported."""
    alone = {} if "RAY_ADDRESS" in os.environ else {LOOPBACK: "0"}
    for name, value in {**QUIET, **alone}.items():
        os.environ.setdefault(name, value)
    import ray.data

    logging.getLogger("ray.data").setLevel(logging.ERROR)
    return ray


def _on_ray(
    recipe: Recipe[Item, Result], items: Sequence[Item], workers: int | None, gpus: float, chunk: int
) -> Iterator[tuple[Item, Result]]:
    import torch

    ray, threads = _ray(), torch.get_num_threads()
    with _cluster(threads * (workers or 1)):
        count = _fitting(ray.cluster_resources(), workers, gpus, threads)
        size = max(1, min(chunk, len(items) // (4 * count)))
        rows = [{"items": ray.cloudpickle.dumps(items[i : i + size])} for i in range(0, len(items), size)]
        context = ray.data.DataContext.get_current()
        context.execution_options.preserve_order = True
        context.enable_progress_bars = False
        context.target_max_block_size = 1  # what a worker hands over comes at once
        answers = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
            _Actor,
            fn_constructor_args=(recipe, threads, Path.cwd()),
            compute=ray.data.ActorPoolStrategy(size=min(count, len(rows))),
            batch_size=1,
            batch_format="pyarrow",
            **({"num_gpus": gpus} if gpus else {"num_cpus": threads}),
        )
        batches = iter(answers.iter_batches(batch_size=None, batch_format="pyarrow", prefetch_batches=0))
        with closing(batches):
            packed = chain.from_iterable(batch["answers"].to_pylist() for batch in batches)
            results = chain.from_iterable(map(ray.cloudpickle.loads, packed))
            for item, result in zip(items, results, strict=True):
                if isinstance(result, _Failure):
                    raise result.error
                yield item, result


def _fitting(resources: dict[str, float], workers: int | None, gpus: float, threads: int) -> int:
    """How many workers there are to be on a cluster with these resources."""
    kind, share = ("GPUs", gpus) if gpus else ("cores", float(threads))
    there = resources.get("GPU" if gpus else "CPU", 0.0)
    most = int(there // share)
    if most < (workers or 1):
        raise InvalidInput(
            f"{workers or 1} workers of {share:g} {kind} each do not fit the cluster, which has {there:g}; give fewer "
            "--workers, or fewer threads to each by OMP_NUM_THREADS"
        )
    return workers or most


@contextmanager
def _cluster(cores: int) -> Iterator[None]:
    """Be connected: to the cluster that is, to the one at RAY_ADDRESS, or to an own one of so many cores or more."""
    ray = _ray()
    if ray.is_initialized():
        yield
        return
    address = os.environ.get("RAY_ADDRESS", "local")
    own = {"num_cpus": max(cores, os.cpu_count() or 1), "include_dashboard": False} if address == "local" else {}
    try:
        _knock(address)
        with _silence():
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (OSError, RuntimeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise InvalidInput(f"no Ray cluster at RAY_ADDRESS={address} ({reason}); start one, or unset it") from error
    try:
        yield
    finally:
        ray.shutdown()


def _knock(address: str) -> None:
    """Say at once that nobody answers at HOST:PORT, where Ray would wait for minutes.

    Raises:
        OSError: if so.
    """
    host, _, port = address.rpartition(":")
    if port.isdigit() and "/" not in host:
        socket.create_connection((host, int(port)), timeout=10).close()


@contextmanager
def _silence() -> Iterator[None]:
    """Keep what is written to stderr beneath Python from the terminal."""
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@dataclass(frozen=True)
class _Failure:
    """An exception on its way to whoever asked."""

    error: Exception


def _grouped(answers: Iterable[Any]) -> Iterator[list[Any]]:
    """Answers put together until ``HANDOVER`` seconds have gone by, as Ray takes its time for each piece."""
    group, since = [], time.monotonic()
    for answer in answers:
        group.append(answer)
        if time.monotonic() - since > HANDOVER:
            yield group
            group, since = [], time.monotonic()
    if group:
        yield group


class _Actor:
    """A worker on a cluster, as Ray Data calls it: packed items in, packed answers out."""

    def __init__(self, recipe: Recipe[Any, Any], threads: int, folder: Path) -> None:
        import torch

        torch.set_num_threads(threads)
        self.recipe, self.folder = recipe, folder
        self.worker: Worker[Any, Any] | None = None

    def __call__(self, batch: pa.Table) -> Iterator[pa.Table]:
        """Answer the items of a batch."""
        import pyarrow as pa
        from ray import cloudpickle

        for packed in batch["items"].to_pylist():
            for answers in _grouped(self._answers(cloudpickle.loads(packed))):
                yield pa.table({"answers": pa.array([cloudpickle.dumps(answers)], pa.large_binary())})

    def _answers(self, items: Sequence[Any]) -> Iterator[Any]:
        for number, item in enumerate(items):
            try:
                if self.worker is None:
                    self.worker = self._made()
                if number == 0 and isinstance(self.worker, Planner):
                    self.worker.plan(items)
                yield self.worker(item)
            except Exception as error:
                error.add_note("".join(traceback.format_exception(error)))  # it does not travel along
                yield _Failure(error)

    def _made(self) -> Worker[Any, Any]:
        """The worker; relative paths mean to it what they mean to whoever asked."""
        try:
            os.chdir(self.folder)
        except OSError as error:
            raise UnreadableFile(
                f"the machine {socket.gethostname()} cannot enter {self.folder} ({error.strerror}); run from a folder "
                "that all machines of the cluster share"
            ) from None
        return self.recipe()

"""The whole examination, and what follows from it in plain words."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from importlib import metadata
from pathlib import Path

from .devices import DeviceReport, Memory, device_names, examine_device, machine_memory
from .parts import PARTS, PartReport, examine_part
from .trials import Found, Trial, attempt, outcome

PASS_BYTES = 1_520_000_000
"""What one pass of SD 2.1 takes beside its weights in float32 at 768 pixels, measured (README, extraction)."""

VARIABLES = ("HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE")

GB = 1e9


@dataclass(frozen=True)
class TorchBuild:
    """What torch was built for, and how many threads it uses."""

    version: str
    cuda: str | None
    rocm: str | None
    threads: int
    processors: int | None


@dataclass(frozen=True)
class Model:
    """A model known by name; ``gigabytes`` is about what its weights take in float32."""

    name: str
    bundled: bool
    here: bool
    gigabytes: float


@dataclass(frozen=True)
class Hub:
    """Where weights are kept and whether they may be fetched; ``cached`` lists every repository that is there."""

    cache: str
    writable: Trial
    offline: bool
    variables: dict[str, str]
    cached: tuple[str, ...]


@dataclass(frozen=True)
class Disk:
    """Free space where something is written."""

    use: str
    path: str
    free: int


@dataclass(frozen=True)
class Conclusion:
    """One thing that will work, or will not, in plain words."""

    works: bool
    text: str


@dataclass(frozen=True)
class Report:
    """All that was found out.

    Attributes:
        works: whether the main job does: the bundled model on the CPU.
        troubles: examinations that failed as such.
    """

    works: bool
    diffsight: str
    python: str
    system: str
    torch: TorchBuild | None
    memory: Memory
    devices: tuple[DeviceReport, ...]
    parts: tuple[PartReport, ...]
    models: tuple[Model, ...]
    hub: Hub | None
    disks: tuple[Disk, ...]
    troubles: tuple[Trial, ...]
    conclusions: tuple[Conclusion, ...] = ()


def examine() -> Report:
    """Try everything; never raises, never asks the network, takes a few seconds."""
    troubles: list[Trial] = []

    def section(what: str, act: Callable[[], Found], default: Found) -> Found:
        found, reason = outcome(act)
        if reason:
            troubles.append(Trial(what, False, reason))
        return default if found is None else found

    nothing: tuple[()] = ()
    memory = section("memory", machine_memory, Memory(None, None))
    names: list[str] = section("devices", device_names, [])
    devices = [section(f"device {name}", partial(examine_device, name, memory), None) for name in names]
    hub = section("hub", _hub, None)
    report = Report(
        works=any(device.name == "cpu" and device.pocket.works for device in devices if device),
        diffsight=section("version", partial(metadata.version, "diffsight"), "unknown"),
        python=platform.python_version(),
        system=platform.platform(),
        torch=section("torch", _torch, None),
        memory=memory,
        devices=tuple(device for device in devices if device),
        parts=section("parts", lambda: tuple(examine_part(part) for part in PARTS), nothing),
        models=section("models", _models, nothing),
        hub=hub,
        disks=section("disks", lambda: _disks(hub), nothing),
        troubles=tuple(troubles),
    )
    return replace(report, conclusions=tuple(conclude(report)))


def _torch() -> TorchBuild:
    import torch

    version = torch.version
    return TorchBuild(torch.__version__, version.cuda, version.hip, torch.get_num_threads(), os.cpu_count())


def _models() -> tuple[Model, ...]:
    from ..backbones.registry import CARDS, is_here

    return tuple(
        Model(card.name, card.source == "bundled", is_here(card), card.parameters * 4e6 / GB) for card in CARDS.values()
    )


def _hub() -> Hub:
    from huggingface_hub import constants, scan_cache_dir

    cache = Path(constants.HF_HUB_CACHE)
    repositories = scan_cache_dir(cache).repos if cache.is_dir() else ()
    return Hub(
        cache=str(cache),
        writable=attempt("writing", lambda: _write(cache)),
        offline=constants.HF_HUB_OFFLINE,
        variables={name: os.environ[name] for name in VARIABLES if name in os.environ},
        cached=tuple(sorted(f"{repo.repo_id} ({repo.size_on_disk / GB:.1f} GB)" for repo in repositories)),
    )


def _there(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def _write(folder: Path) -> None:
    with tempfile.TemporaryFile(dir=_there(folder)) as handle:
        handle.write(b"0")


def _disks(hub: Hub | None) -> tuple[Disk, ...]:
    places = [("results, here", Path.cwd())]
    if hub:
        places.append(("weights", Path(hub.cache)))
    return tuple(Disk(use, str(path), shutil.disk_usage(_there(path)).free) for use, path in places)


def conclude(report: Report) -> Iterator[Conclusion]:
    """What will work and what will not, in plain words; the main job first."""
    if not report.works:
        yield Conclusion(False, "the main job, pocket on the CPU, does not work here; see below for the reason")
    for trial in report.troubles:
        yield Conclusion(False, f"{trial.what} could not be examined ({trial.note})")
    yield from _conclude_parts(report.parts)
    largest = max((model for model in report.models if not model.bundled), key=lambda m: m.gigabytes, default=None)
    for device in report.devices:
        yield from _conclude_device(device, largest)
    yield from _conclude_weights(report)


def _conclude_parts(parts: tuple[PartReport, ...]) -> Iterator[Conclusion]:
    for part in parts:
        if part.needed and part.state == "missing":
            yield Conclusion(False, f"{part.package} is missing: install it (pip install {part.package})")
    broken = [part for part in parts if part.state == "broken"]
    for reason in dict.fromkeys(part.note for part in broken):  # one part's failure is that of all that import it
        group = [part for part in broken if part.note == reason]
        spare = [part.package for part in group if not part.needed]
        advice = (
            f"uninstall {spare[0]}, which diffsight does not need, or install it anew"
            if spare
            else f"install {group[0].package} anew"
        )
        yield Conclusion(False, f"import fails for {', '.join(p.package for p in group)} ({reason}): {advice}")


def _conclude_device(device: DeviceReport, largest: Model | None) -> Iterator[Conclusion]:
    if device.pocket.works:
        yield Conclusion(True, f"pocket works on {device.name} in {device.default} ({device.pocket.note})")
    else:
        yield Conclusion(False, f"pocket does not work on {device.name}: {device.pocket.note}")
    for form in device.formats:
        for trial in form.operations:
            if not trial.works:
                yield Conclusion(False, f"{trial.what} in {form.dtype} does not work on {device.name}: {trial.note}")
        if form.works and not any(kernel.works for kernel in form.kernels if kernel.what != "math"):
            text = f"no fused attention on {device.name} in {form.dtype}: large inputs take more memory and time"
            yield Conclusion(False, text)
        if form.works and largest and form.dtype in ("float32", device.default):
            yield _conclude_memory(device, form.dtype, largest)


def _conclude_memory(device: DeviceReport, dtype: str, model: Model) -> Conclusion:
    needed = (model.gigabytes * GB + PASS_BYTES) * (1 if dtype == "float32" else 0.5)
    text = f"{model.name}, the largest model, needs about {needed / GB:.1f} GB of memory in {dtype}"
    if device.memory.free is None:
        return Conclusion(True, f"{text}; how much is free on {device.name} is not known")
    fits = needed <= device.memory.free
    verdict = "fits" if fits else "does not fit"
    return Conclusion(fits, f"{text}: {verdict} on {device.name} ({device.memory.free / GB:.1f} GB free)")


def _conclude_weights(report: Report) -> Iterator[Conclusion]:
    here = [model for model in report.models if model.here and not model.bundled]
    absent = [model for model in report.models if not model.here]
    if here:
        yield Conclusion(True, f"weights that are here: {_list(here)}")
    hub = report.hub
    if hub is None or not absent:
        return
    text = f"weights that are not here: {_list(absent)}"
    if hub.offline:
        text += "; the hub is not asked (HF_HUB_OFFLINE is set): unset it, or give a folder (--model FOLDER)"
        yield Conclusion(False, text)
        return
    yield Conclusion(True, f"{text}; they are fetched at first use, if the hub can be reached (which was not tried)")
    if not hub.writable.works:
        text = f"the cache {hub.cache} cannot be written ({hub.writable.note}): set HF_HOME to another folder"
        yield Conclusion(False, text)
    size = max(model.gigabytes for model in absent)
    for disk in report.disks:
        if disk.use == "weights" and disk.free < size * GB:
            text = f"the disk of {disk.path} has {disk.free / GB:.1f} GB free; a model takes up to {size:.1f} GB"
            yield Conclusion(False, text)


def _list(models: list[Model]) -> str:
    return ", ".join(model.name for model in models)

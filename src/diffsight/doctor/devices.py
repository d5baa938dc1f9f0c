"""Which devices compute, in which number formats, with which attention kernels, and whether pocket runs on them."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..device import DTYPES, pick_device, pick_dtype
from .trials import Trial, attempt

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TOLERANCE = 0.05
"""Largest relative error against float32 on the CPU; bfloat16 stays below 0.02."""


@dataclass(frozen=True)
class Memory:
    """Bytes of a memory; None where the system does not tell."""

    total: int | None
    free: int | None


@dataclass(frozen=True)
class FormatReport:
    """What a number format can do on a device.

    Attributes:
        dtype: float32, float16 or bfloat16.
        operations: matrix product, convolution, attention, gradients through them.
        kernels: every attention kernel that torch knows, each asked for alone.
    """

    dtype: str
    operations: tuple[Trial, ...]
    kernels: tuple[Trial, ...]

    @property
    def works(self) -> bool:
        """Whether every operation does."""
        return all(trial.works for trial in self.operations)


@dataclass(frozen=True)
class DeviceReport:
    """What a device can do.

    Attributes:
        name: as given to ``--device``.
        about: what it is.
        memory: its own, or the machine's.
        default: the number format that is taken when none is named.
        formats: one for each number format.
        pocket: whether the bundled model loads there and reads a picture.
    """

    name: str
    about: str
    memory: Memory
    default: str
    formats: tuple[FormatReport, ...]
    pocket: Trial


def examine_device(name: str, memory: Memory) -> DeviceReport:
    """Try a device; ``memory`` is the machine's."""
    device = pick_device(name)
    about, own = _describe(device)
    default = str(pick_dtype(device)).removeprefix("torch.")
    formats = tuple(_examine_format(device, dtype) for dtype in DTYPES)
    return DeviceReport(name, about, own or memory, default, formats, attempt("pocket", partial(_read_pocket, name)))


def device_names() -> list[str]:
    """Every device that diffsight can run on here."""
    import torch

    cards = [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    return ["cpu", *cards, *(["mps"] if torch.backends.mps.is_available() else [])]


def machine_memory(proc: Path = Path("/proc/meminfo"), control: Path = Path("/sys/fs/cgroup")) -> Memory:
    """The machine's memory, or the share of it that a container allows (control groups, version 2)."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if not proc.exists():
        return Memory(total, None)
    fields = dict(line.split(":", 1) for line in proc.read_text().splitlines())
    free = int(fields["MemAvailable"].split()[0]) * 1024
    limit = control / "memory.max"
    if limit.exists() and (allowed := limit.read_text().strip()) != "max":
        used = int((control / "memory.current").read_text())
        total, free = min(total, int(allowed)), min(free, max(0, int(allowed) - used))
    return Memory(total, free)


def _describe(device: torch.device) -> tuple[str, Memory | None]:
    import torch

    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        return torch.cuda.get_device_name(device), Memory(total, free)
    if device.type == "mps":
        return "Apple graphics, which shares the machine's memory", None
    return f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}", None


def _examine_format(device: torch.device, name: str) -> FormatReport:
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    dtype = getattr(torch, name)

    def alone(backend: SDPBackend) -> None:
        with sdpa_kernel(backend):
            _check(_attention, device, dtype)

    operations = (attempt(what, partial(_check, act, device, dtype)) for what, act in OPERATIONS.items())
    kernels = (
        attempt(title.lower().replace("_", " "), partial(alone, backend))
        for title, backend in SDPBackend.__members__.items()
        if title not in ("ERROR", "OVERRIDEABLE")
    )
    return FormatReport(name, tuple(operations), tuple(kernels))


def _check(act: Callable[[Tensor], Tensor], device: torch.device, dtype: torch.dtype) -> None:
    """Compare an operation with itself on the CPU in float32.

    Raises:
        ArithmeticError: if they differ.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    x = torch.randn(1, 4, 64, 64, generator=torch.Generator().manual_seed(0))
    got = act(x.to(device, dtype)).float().cpu()
    with sdpa_kernel(SDPBackend.MATH):
        expected = act(x)
    error = float((got - expected).norm() / expected.norm())
    if not error < TOLERANCE:
        raise ArithmeticError(f"the result is off by {error:.0%}")


def _matmul(x: Tensor) -> Tensor:
    return x @ x.mT


def _convolution(x: Tensor) -> Tensor:
    from torch.nn.functional import conv2d

    return conv2d(x, x[:, :, :3, :3])


def _attention(x: Tensor) -> Tensor:
    from torch.nn.functional import scaled_dot_product_attention

    return scaled_dot_product_attention(x, x.flip(3), x)


def _gradients(x: Tensor) -> Tensor:
    import torch

    x = x.detach().requires_grad_()
    return torch.autograd.grad(_convolution(_attention(_matmul(x) / 8)).square().mean(), x)[0]


OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "matrix product": _matmul,
    "convolution": _convolution,
    "attention": _attention,
    "gradients": _gradients,
}


def _read_pocket(device: str) -> str:
    """Load the bundled model and read a picture of noise with it."""
    import torch

    from ..backbones.registry import load, task_settings
    from ..probe import Probe
    from ..types import Picture

    start = time.perf_counter()
    backbone = load("pocket", device=device)
    loaded = time.perf_counter()
    picture = Picture(torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0)))
    settings = replace(task_settings(backbone.card, "semantic"), size=(64, 64))
    (reading,) = Probe(backbone).read([picture], settings)
    if float(reading.feature().std()) == 0:
        raise ArithmeticError("it sees nothing: its features are constant")
    return (
        f"imported and loaded in {loaded - start:.1f} s, read a 64x64 picture in {time.perf_counter() - loaded:.1f} s"
    )

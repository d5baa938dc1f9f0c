"""What the machine can do: the rate of its matrix products, and how fast it copies memory."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from harness import measure

SIDE, COPIED = 4096, 256 * 2**20
"""Of the matrices; and bytes of the tensor that is copied, which no cache holds."""

FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
"""Of a processor, as far as they matter to matrix products."""


def machine() -> dict[str, Any]:
    """Floating-point operations a second of matrix products on two threads, and bytes a second of a copy.

    Of bfloat16 only where the processor multiplies it: elsewhere a product takes minutes, and the package does without.
    """
    import torch

    from diffsight.device import pick_dtype

    torch.set_num_threads(2)
    figures: dict[str, Any] = {}
    for dtype in dict.fromkeys((torch.float32, pick_dtype(torch.device("cpu")))):
        name = str(dtype).removeprefix("torch.")
        left, right = (torch.randn(SIDE, SIDE).to(dtype) for _ in range(2))
        out = torch.empty_like(left)
        figures[name] = 2 * SIDE**3 / fastest(lambda a=left, b=right, c=out: torch.mm(a, b, out=c), 4)
    source = torch.ones(COPIED // 4)
    target = torch.empty_like(source).zero_()
    figures["bandwidth"] = 2 * COPIED / fastest(lambda: target.copy_(source), 8)  # read and written
    return figures


def fastest(work: Any, repeats: int) -> float:
    """Seconds of the fastest of some runs: what the machine can do, other work on it or not."""
    return min(measure(work, 1)[0] for _ in range(repeats))


def hardware() -> dict[str, str]:
    """Cores, what the processor knows, what else runs, and which accelerator is at hand."""
    import torch

    lines = Path("/proc/cpuinfo").read_text().splitlines()
    known = next((line.split(":")[1].split() for line in lines if line.startswith("flags")), [])
    return {
        "cores": str(len(os.sched_getaffinity(0))),
        "flags": " ".join(flag for flag in FLAGS if flag in known),
        "load average": f"{os.getloadavg()[0]:.1f}",
        "GPU": torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU at hand",
    }

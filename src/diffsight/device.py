"""Devices, number formats and seeds. Nothing here runs at import."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from .errors import InvalidInput

if TYPE_CHECKING:
    import torch

DTYPES = ("float32", "float16", "bfloat16")


def pick_device(name: str | None = None) -> torch.device:
    """Return the named device, or the best one at hand: CUDA, then MPS, then the CPU.

    Raises:
        InvalidInput: if the device does not exist here.
    """
    import torch

    if name is None:
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        raise InvalidInput(
            f"device {name!r} is not available here; use cpu, cuda, cuda:N or mps, or leave it out"
        ) from None
    if device.type == "meta":
        raise InvalidInput("device 'meta' holds no numbers; use cpu, cuda, cuda:N or mps, or leave it out")
    return device


def pick_dtype(device: torch.device, name: str | None = None) -> torch.dtype:
    """Return the named number format, or the one that suits the device.

    That is fp16 on CUDA (bf16 where the card has it) and on MPS, bf16 on CPUs with bf16 arithmetic, else fp32.

    Raises:
        InvalidInput: for a format that is not one of ``DTYPES``.
    """
    import torch

    if name is not None:
        if name not in DTYPES:
            raise InvalidInput(f"unknown dtype {name!r}; choose one of {', '.join(DTYPES)}")
        return getattr(torch, name)
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16
    if device.type == "mps":
        return torch.float16
    capabilities: dict[str, object] = getattr(torch.cpu, "get_capabilities", dict)()
    return torch.bfloat16 if capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") else torch.float32


def derive_seed(*parts: object) -> int:
    """A 63-bit seed that depends on all parts and on nothing else."""
    digest = hashlib.blake2b(repr(parts).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1

"""What tells one network from another: every weight, and the facts that weights do not tell."""

from __future__ import annotations

import hashlib

import torch
from torch import nn


def weight_digest(module: nn.Module, facts: str | bytes) -> str:
    """A short digest of every weight's name, shape and bytes, and of the facts that weights do not tell."""
    digest = hashlib.blake2b(facts.encode() if isinstance(facts, str) else facts, digest_size=16)
    for name, weight in module.state_dict().items():
        digest.update(f"{name}{tuple(weight.shape)}".encode())
        digest.update(weight.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()

from __future__ import annotations

import pytest
import torch

from diffsight.device import derive_seed, pick_device, pick_dtype
from diffsight.errors import InvalidInput


def test_the_cpu_is_always_there():
    assert pick_device("cpu").type == "cpu"
    assert pick_device().type in ("cpu", "cuda", "mps")


def test_formats():
    cpu = torch.device("cpu")
    assert pick_dtype(cpu, "float32") == torch.float32
    assert pick_dtype(cpu) in (torch.float32, torch.bfloat16)
    with pytest.raises(InvalidInput, match="float32, float16, bfloat16"):
        pick_dtype(cpu, "double")


def test_seeds_depend_on_every_part():
    seeds = {derive_seed(0, "a", 1), derive_seed(1, "a", 1), derive_seed(0, "b", 1), derive_seed(0, "a", 2)}
    assert len(seeds) == 4
    assert derive_seed(0, "a", 1) in seeds
    assert all(0 <= seed < 2**63 for seed in seeds)

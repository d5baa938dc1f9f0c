from __future__ import annotations

import torch
from torch import nn

from diffsight.backbones.fingerprint import weight_digest


def module(weight, name="weight"):
    return nn.ParameterDict({name: nn.Parameter(torch.tensor(weight))})


def test_a_digest_tells_entries_order_shape_names_and_facts_apart():
    modules = [
        module([1.0, 2.0, 3.0]),
        module([1.0, 3.0, 2.0]),
        module([1.0, 2.0, 3.5]),
        module([[1.0, 2.0, 3.0]]),
        module([1.0, 2.0, 3.0], "other"),
    ]
    digests = {weight_digest(m, facts) for m in modules for facts in ("float32", "float16")}
    assert len(digests) == 10
    assert weight_digest(module([1.0, 2.0, 3.0]), b"float32") in digests


def test_a_digest_does_not_depend_on_the_number_of_threads():
    weight = module(torch.randn(300_000, generator=torch.Generator().manual_seed(0)).tolist())
    threads = torch.get_num_threads()
    digests = set()
    for count in (1, 2, 4):
        torch.set_num_threads(count)
        digests.add(weight_digest(weight, ""))
    torch.set_num_threads(threads)
    assert len(digests) == 1
    assert weight_digest(weight.to(torch.bfloat16), "") not in digests

"""All benchmarks by name."""

from __future__ import annotations

from ..errors import InvalidInput
from .ap10k import AP10K
from .base import Benchmark
from .cityscapes import CITYSCAPES
from .coco_stuff import COCO_STUFF
from .cub import CUB
from .davis import DAVIS
from .hpatches import HPATCHES
from .jhmdb import JHMDB
from .pf_pascal import PF_PASCAL
from .pf_willow import PF_WILLOW
from .spair import SPAIR

BENCHMARKS = {
    own.name: own for own in (SPAIR, PF_PASCAL, PF_WILLOW, CUB, AP10K, HPATCHES, DAVIS, JHMDB, COCO_STUFF, CITYSCAPES)
}


def benchmark(name: str) -> Benchmark:
    """A benchmark by its name.

    Raises:
        InvalidInput: for an unknown one.
    """
    if name not in BENCHMARKS:
        raise InvalidInput(f"unknown benchmark {name!r}; use {', '.join(BENCHMARKS)}")
    return BENCHMARKS[name]

"""Several stages of one pass as one map."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..backbones.base import Backbone, ReadSettings
from ..types import AND, Picture, Reading, Taps
from .base import ModelReader, digest, one_stage


class Stages(ModelReader):
    """One network at one setting, several of its stages side by side: what is coarser is brought to the finest grid.

    In sd-dino (Zhang et al., 2023, arXiv 2305.15347) a stage weighs as much as its vectors are long; ``even`` brings
    each to length 1 first.

    Args:
        backbone: a loaded network.
        settings: how photos are read; their own stage is not used.
        stages: of the network's tap table.
        even: whether all stages weigh the same.
        store: a folder that keeps readings across runs, or None.

    Raises:
        InvalidInput: for a stage that the network does not have.
    """

    def __init__(
        self,
        backbone: Backbone,
        settings: ReadSettings,
        stages: Sequence[str],
        *,
        even: bool = False,
        store: Path | str | None = None,
    ) -> None:
        super().__init__(backbone, settings, store)
        self.even = even
        self.taps = Taps(features=tuple(stages))
        backbone.taps.check(self.taps)

    @property
    def fingerprint(self) -> str:
        """Of weights, number format, settings and stages."""
        return digest(super().fingerprint, self.taps.features, self.even)

    @property
    def channels(self) -> tuple[int, ...]:
        """Of all stages together: they are one part."""
        width = {tap.name: tap.channels for tap in self.backbone.taps.features}
        return (sum(width[stage] for stage in self.taps.features),)

    @property
    def record(self) -> dict[str, Any]:
        """The settings, and the stages."""
        return {**super().record, "stages": list(self.taps.features), "even": self.even}

    def read(self, pictures: Sequence[Picture]) -> list[Reading]:
        """Read each photo once; the stage of its map is called by all their names."""
        name = AND.join(self.taps.features)
        readings = self.probe.read(pictures, self.settings, self.taps)
        return [one_stage(reading.fit, name, self._join(reading.capture.maps)) for reading in readings]

    def _join(self, maps: Sequence[Tensor]) -> Tensor:
        grid = max((own.shape[1:] for own in maps), key=math.prod)
        lifted = [F.interpolate(own[None], grid, mode="bilinear", align_corners=False)[0] for own in maps]
        return torch.cat([F.normalize(own, dim=0, eps=1e-12) for own in lifted] if self.even else lifted)

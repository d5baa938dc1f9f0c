"""Photos to one feature map each, however many networks that takes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from ..backbones.base import Backbone, ReadSettings, adjust
from ..backbones.registry import load, task_settings
from ..grid import Fit
from ..probe import Probe
from ..types import Capture, Picture, Reading, Taps


class Reader(Protocol):
    """Reads photos into maps whose cosines mean likeness: one network at one setting, or several joined."""

    @property
    def name(self) -> str:
        """What to call it in messages and records."""

    @property
    def fingerprint(self) -> str:
        """A short digest of all that a reading hangs on besides the photo: weights, number format, settings."""

    @property
    def channels(self) -> tuple[int, ...]:
        """Channels of each part that is joined in a map, in order; one part for one network."""

    @property
    def refine(self) -> dict[str, Any]:
        """Settings of reading off matches that suit its cosines, by name; the published ones where there is none."""

    @property
    def record(self) -> dict[str, Any]:
        """How photos are read, for the record of a run."""

    def fit(self, picture: Picture) -> Fit:
        """How a photo will be laid out."""

    def read(self, pictures: Sequence[Picture]) -> list[Reading]:
        """Read each photo; ``reading.feature()`` is the (C, h, w) map."""


class ModelReader:
    """One network at one setting.

    Args:
        backbone: a loaded network.
        settings: how photos are read; their stage is the map.
        store: a folder that keeps readings across runs, or None.
    """

    def __init__(self, backbone: Backbone, settings: ReadSettings, store: Path | str | None = None) -> None:
        self.backbone = backbone
        self.settings = settings
        self.probe = Probe(backbone, store=store)

    @classmethod
    def open(
        cls,
        model: Backbone | str | Path = "pocket",
        task: str = "semantic",
        *,
        device: str | None = None,
        dtype: str | None = None,
        store: Path | str | None = None,
        **changes: Any,
    ) -> ModelReader:
        """Load a model and take its settings for a task, single ones replaced.

        Raises:
            InvalidInput: for an unknown model, task or setting.
            ModelUnavailable: if the weights cannot be had.
        """
        backbone = load(model, device=device, dtype=dtype) if isinstance(model, str | Path) else model
        return cls(backbone, adjust(task_settings(backbone.card, task), changes), store)

    @property
    def name(self) -> str:
        """The model's name."""
        return self.backbone.card.name

    @property
    def fingerprint(self) -> str:
        """Of weights, number format and settings."""
        return digest(self.backbone.fingerprint, sorted(asdict(self.settings).items()))

    @property
    def channels(self) -> tuple[int, ...]:
        """The stage's channels."""
        return (next(tap.channels for tap in self.backbone.taps.features if tap.name == self.settings.stage),)

    @property
    def refine(self) -> dict[str, Any]:
        """The model's."""
        return self.backbone.card.refine

    @property
    def record(self) -> dict[str, Any]:
        """The settings."""
        return asdict(self.settings)

    def fit(self, picture: Picture) -> Fit:
        """How a photo will be laid out."""
        return self.probe.fit(picture, self.settings)

    def read(self, pictures: Sequence[Picture]) -> list[Reading]:
        """Read each photo once."""
        return self.probe.read(pictures, self.settings)


def one_stage(fit: Fit, name: str, features: Tensor) -> Reading:
    """A reading of one (C, h, w) map."""
    return Reading(fit, Capture(Taps(features=(name,)), (features,)))


def digest(*facts: object) -> str:
    """A short fingerprint of facts that print in full."""
    return hashlib.blake2b(repr(facts).encode(), digest_size=16).hexdigest()

"""The whole job in one object: frames in, what is followed out, frame by frame."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch import Tensor

from ..backbones.base import Backbone, ReadSettings, Tap, adjust
from ..backbones.registry import load, task_settings
from ..errors import InvalidInput
from ..grid import Fit, Size
from ..probe import MEMORY, Probe
from ..types import Reading, Taps, Track
from .frames import Frame
from .labels import Target, read_mask, read_points
from .propagate import Memory, Propagation, affordable, settings_for

STEP = 4
"""The longer side of the network's input is a multiple of so many cells (DAVIS: 32 pixels at stride 8)."""


class TrackWarning(UserWarning):
    """Something about a video that the user should know: a shortened context, an object that is lost at once."""


class Tracker:
    """Follows objects or points through a video by the features of a frozen network (DIFT: Tang et al., 2023).

    Frames are read in batches and dropped; only the features of the context are held.

    Example:
        >>> tracker = Tracker("pocket")
        >>> frames = read_frames("clip.mp4")
        >>> for track in tracker.track(frames, points([(120.0, 80.0)])):
        ...     print(track.frame, track.points)

    Args:
        model: a loaded backbone, or what ``diffsight.load`` takes.
        settings: of the propagation; the model's if left out.
        short: shorter side of the network's input; that of the model's settings if left out. The longer one follows
            the video's shape, as in DAVIS's protocol, unless ``size`` or a ``fit`` other than ``stretch`` is given.
        batch: frames read together.
        memory: budget in bytes for the context, and again for a pass of the network; a context that does not fit is
            shortened, with a warning.
        device, dtype: for a model that is still to be loaded; what suits the machine if left out.
        store: a folder that keeps readings across runs.
        **changes: single settings of the reading that replace the model's: stage, timestep, ensemble, size, fit,
            prompt, noise, posterior, seed.

    Raises:
        InvalidInput: for an unknown model or setting.
        ModelUnavailable: if the weights cannot be had.
    """

    def __init__(
        self,
        model: Backbone | str | Path = "pocket",
        *,
        settings: Propagation | None = None,
        short: int | None = None,
        batch: int = 8,
        memory: int = MEMORY,
        device: str | None = None,
        dtype: str | None = None,
        store: Path | str | None = None,
        **changes: Any,
    ) -> None:
        self.backbone = load(model, device=device, dtype=dtype) if isinstance(model, str | Path) else model
        self.settings = settings_for(self.backbone.card.track) if settings is None else settings
        self.reading = adjust(task_settings(self.backbone.card, "temporal"), changes)
        if short is not None and (changes.get("size") is not None or self.reading.fit != "stretch"):
            raise InvalidInput("short sets one side only; it goes neither with size nor with the fit crop or pad")
        if batch < 1:
            raise InvalidInput(f"a batch of {batch} frames is empty; use 1 or more")
        self.short = min(self.reading.size) if short is None else short
        self.follows_shape = self.reading.fit == "stretch" and changes.get("size") is None
        self.batch, self.memory = batch, memory
        self.probe = Probe(self.backbone, store=store, memory=memory)

    def reading_of(self, size: Size) -> ReadSettings:
        """How frames of (height, width) pixels are read."""
        if not self.follows_shape:
            return self.reading
        step = math.lcm(STEP * self.stage.stride, self.backbone.multiple)
        long = max(self.short, int(self.short * max(size) / min(size)) // step * step)
        return replace(self.reading, size=(self.short, long) if size[0] <= size[1] else (long, self.short))

    def affordable(self, size: Size, target: Target) -> Propagation:
        """The settings, with the context as long as the memory allows for frames of (height, width) pixels.

        Raises:
            InvalidInput: if there is not enough for any.
        """
        stage, (height, width) = self.stage, self.grid(size)
        return affordable(self.settings, (height, width), stage.channels, 1 + len(target.ids), self.memory)

    def remarks(self, size: Size, target: Target) -> list[str]:
        """What the user should know before frames of (height, width) pixels are followed, a line each."""
        lines = []
        settings, reading = self.affordable(size, target), self.reading_of(size)
        if settings != self.settings:
            lines.append(
                f"the context is shortened from {self.settings.context} to {settings.context} frames to fit "
                f"{self.memory / 2**20:.0f} MiB"
            )
        fit = Fit.make(reading.fit, size, reading.size)
        height, width = self.grid(size)
        empty = target.soft(fit, (height, width), settings.shrink).flatten(1).amax(dim=1)[1:] == 0
        if lost := [str(label) for label, none in zip(target.ids, empty.tolist(), strict=True) if none]:
            lines.append(
                f"label {', '.join(lost)}: too small for a cell of the {width}x{height} grid, and lost at once; shrink "
                "the mask by area, or use a larger size"
            )
        return lines

    def grid(self, size: Size) -> Size:
        """(h, w) of the features of frames of (height, width) pixels."""
        height, width = self.reading_of(size).size
        return height // self.stage.stride, width // self.stage.stride

    @property
    def stage(self) -> Tap:
        """Where the network is read.

        Raises:
            InvalidInput: if it has no such stage.
        """
        self.backbone.taps.check(Taps(features=(self.reading.stage,)))
        return next(tap for tap in self.backbone.taps.features if tap.name == self.reading.stage)

    def needed(self, start: int, known: Iterable[int], index: int) -> bool:
        """Whether a frame must be read to go on after the frames known: it shares a batch with one that counts.

        Batches are always the same frames, so that a run that was stopped goes on with the same numbers.
        """
        done = max(known, default=-1)
        return index > done or self._block(index, start) in {self._block(i, start) for i in (start, done + 1, *known)}

    def _block(self, index: int, start: int) -> int:
        return (index - start) // self.batch

    def track(
        self, frames: Iterable[Frame], target: Target, known: Mapping[int, Tensor] | None = None
    ) -> Iterator[Track]:
        """Follow the target from the first frame on.

        Args:
            frames: of one size, such as ``read_frames`` gives; the first is the one that the target describes.
            target: what to follow.
            known: soft labels of frames that an earlier run has finished, by number: the last ones up to where it
                stopped, as many as the context holds. Those are not given again.

        Yields:
            What each frame shows, the first included, in order.

        Raises:
            InvalidInput: if the target does not suit the first frame, or the memory does not suffice.
        """
        known = known or {}
        done = max(known, default=-1)
        memory: Memory | None = None
        for frame, reading in self.read(frames):
            features = self.features(reading)
            if memory is None:
                memory = self._begin(features, reading.fit, target)
                if not known:
                    yield Track(frame.index, target.ids, memory.first[1], target.mask, target.points)
            elif frame.index in known:
                memory.push(features, known[frame.index].to(features))
            elif frame.index > done:
                soft = memory.label(features)
                memory.push(features, soft)
                yield self._read_out(frame.index, soft, reading.fit, target)

    def read(self, frames: Iterable[Frame]) -> Iterator[tuple[Frame, Reading]]:
        """Frames with what the network saw in them, read in batches of consecutive numbers."""
        iterator = iter(frames)
        first = next(iterator, None)
        if first is None:
            return
        settings = self.reading_of(first.picture.size)
        batch: list[Frame] = []

        def flush() -> Iterator[tuple[Frame, Reading]]:
            yield from zip(batch, self.probe.read([frame.picture for frame in batch], settings), strict=True)
            batch.clear()

        for frame in chain([first], iterator):
            if batch and self._block(frame.index, first.index) != self._block(batch[0].index, first.index):
                yield from flush()
            batch.append(frame)
            if (frame.index - first.index + 1) % self.batch == 0:  # at once: the next frame may be a damaged one
                yield from flush()
        yield from flush()

    def features(self, reading: Reading) -> Tensor:
        """What frames are compared by: (h, w, C) on the backbone's device, each cell's vector of length 1."""
        return F.normalize(reading.feature().permute(1, 2, 0).to(self.backbone.device), dim=2, eps=1e-12).contiguous()

    def _begin(self, features: Tensor, fit: Fit, target: Target) -> Memory:
        height, width, _ = features.shape
        for line in self.remarks(fit.original, target):
            warnings.warn(line, TrackWarning, stacklevel=3)
        settings = self.affordable(fit.original, target)
        return Memory(settings, features, target.soft(fit, (height, width), settings.shrink).to(features))

    def _read_out(self, index: int, soft: Tensor, fit: Fit, target: Target) -> Track:
        if target.points is not None:
            return Track(index, target.ids, soft, points=read_points(soft, fit))
        return Track(index, target.ids, soft, labels=read_mask(soft, target.ids, fit, self.settings.spread))

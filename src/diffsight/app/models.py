"""The models of the page: each loaded once, shared by all visitors, used by one at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Lock
from typing import TypeVar, cast

from ..backbones.base import Backbone
from ..backbones.registry import load
from ..matching.matcher import Matcher
from ..readers import single
from ..segmentation.segmenter import KMeansSettings, Segmenter, Solver
from ..video.tracker import Tracker
from .limits import FRAMES_AT_ONCE

Item = TypeVar("Item")


class Models:
    """The models that the page offers.

    Args:
        names: what ``diffsight.load`` takes, or recipes (``pocket+``); the first is used unless a visitor asks for
            another.

    Attributes:
        names: as given.
        lock: held by whoever runs a network; long jobs give it back between two passes.

    Raises:
        InvalidInput: for an unknown model.
        ModelUnavailable: if the first one's weights cannot be had.
    """

    def __init__(self, names: Sequence[str] = ("pocket",)) -> None:
        self.names = tuple(names)
        self.lock = Lock()
        self._backbones: dict[str, Backbone] = {}
        self._matchers: dict[tuple[str, str], Matcher] = {}
        self._segmenters: dict[Solver, Segmenter] = {}
        self.matcher()

    def backbone(self, name: str | None = None) -> Backbone:
        """The network of that name; of a recipe, its first."""
        name = single(name or self.names[0])
        if name not in self._backbones:
            self._backbones[name] = load(name)
        return self._backbones[name]

    def matcher(self, name: str | None = None, refine: str = "plain") -> Matcher:
        """What finds points by that network or recipe, and reads matches off by a preset; all presets share it."""
        name = name or self.names[0]
        if (name, "plain") not in self._matchers:
            alone = single(name) == name
            self._matchers[name, "plain"] = Matcher(self.backbone(name) if alone else name)
        if (name, refine) not in self._matchers:
            self._matchers[name, refine] = self._matchers[name, "plain"].refined(refine)
        return self._matchers[name, refine]

    def segmenter(self, solver: Solver) -> Segmenter:
        """What cuts photos in that way by the first network; k-means clusters features, as they are fast to cluster."""
        if solver not in self._segmenters:
            settings = KMeansSettings(of="features") if solver == "kmeans" else None
            self._segmenters[solver] = Segmenter(self.backbone(), solver=solver, settings=settings)
        return self._segmenters[solver]

    def tracker(self, name: str | None = None) -> Tracker:
        """What follows objects and points by that network."""
        return Tracker(self.backbone(name), batch=FRAMES_AT_ONCE)

    def in_turns(self, work: Iterator[Item]) -> Iterator[Item]:
        """What long work gives, piece by piece; each is made while holding the lock, which is free between two."""
        end = object()
        while True:
            with self.lock:
                item = next(work, end)
            if item is end:
                return
            yield cast(Item, item)

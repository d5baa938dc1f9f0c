"""Things that are costly to make, kept as long as they will be asked for again."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Generic, TypeVar

from ..probe import MEMORY

Key = TypeVar("Key", bound=Hashable)
Raw = TypeVar("Raw")
Thing = TypeVar("Thing")

AHEAD = 4
"""How many loads run ahead of what is being made."""


class Shelf(Generic[Key, Raw, Thing]):
    """Makes what is asked for, once while the memory lasts; knowing what is to come, it gives up what is needed last.

    Args:
        load: from a key to what the thing is made of; runs ahead, in a thread.
        make: from that to the thing.
        weigh: bytes that a thing takes.
        memory: budget in bytes.
    """

    def __init__(
        self,
        load: Callable[[Key], Raw],
        make: Callable[[Raw], Thing],
        weigh: Callable[[Thing], int],
        memory: int = MEMORY,
    ) -> None:
        self.load, self.make, self.weigh, self.memory = load, make, weigh, memory
        self.order: list[Key] = []
        self.coming: dict[Key, deque[int]] = {}
        self.kept: dict[Key, Thing] = {}
        self.loading: dict[Key, Future[Raw]] = {}
        self.thread = ThreadPoolExecutor(1)
        self.clock = 0

    def plan(self, keys: Sequence[Key]) -> None:
        """Say what will be taken, in order; what is kept and not among it is given up."""
        self.order, self.coming, self.clock = list(keys), {}, 0
        for moment, key in enumerate(keys):
            self.coming.setdefault(key, deque()).append(moment)
        self.kept = {key: thing for key, thing in self.kept.items() if key in self.coming}
        self.loading = {key: load for key, load in self.loading.items() if key in self.coming}

    def take(self, key: Key) -> Thing:
        """The thing; made if it is not here."""
        self._look_ahead()
        if key in self.kept:
            found = self.kept.pop(key)
        else:
            raw = self.loading.pop(key).result() if key in self.loading else self.load(key)
            found = self.make(raw)
        self.clock += 1
        moments = self.coming.get(key, deque())
        while moments and moments[0] < self.clock:
            moments.popleft()
        if moments:
            self.kept[key] = found
            while sum(map(self.weigh, self.kept.values())) > self.memory:
                del self.kept[max(self.kept, key=lambda own: self.coming[own][0])]
        return found

    def _look_ahead(self) -> None:
        for key in islice(self.order, self.clock, self.clock + AHEAD):
            if key not in self.kept and key not in self.loading:
                self.loading[key] = self.thread.submit(self.load, key)

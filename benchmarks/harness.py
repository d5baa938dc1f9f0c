"""Wall time and memory of a piece of work."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MIB = 2**20


class Peak:
    """Highest resident memory while it is open, above where it started, sampled every 2 ms; bytes."""

    def __enter__(self) -> Peak:
        self.base = self.highest = resident()
        self.open = True
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()
        return self

    def _watch(self) -> None:
        while self.open:
            self.highest = max(self.highest, resident())
            time.sleep(0.002)

    def __exit__(self, *_: object) -> None:
        self.open = False
        self.thread.join()
        self.added = self.highest - self.base


def resident(process: str = "self") -> int:
    """Resident bytes of a process."""
    return int(Path(f"/proc/{process}/statm").read_text().split()[1]) * resource.getpagesize()


def measure(work: Callable[[], Any], repeats: int) -> tuple[float, int, Any]:
    """Median seconds, peak added bytes, and the last result."""
    seconds, peak, result = [], 0, None
    for _ in range(repeats):
        result = None
        with Peak() as memory:
            start = time.perf_counter()
            result = work()
            seconds.append(time.perf_counter() - start)
        peak = max(peak, memory.added)
    return sorted(seconds)[len(seconds) // 2], peak, result

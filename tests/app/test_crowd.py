"""Twenty visitors who click for two minutes: ``make test-app`` runs it, the ordinary suite does not."""

import json
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from diffsight.app.limits import MAX_VISITORS

from .visitor import Visitor

MINUTES = 2


def resident(process):
    """Memory of a process, MiB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * 4096 / 2**20


@pytest.mark.crowd
def test_twenty_visitors(server, server_process):
    visitors = [Visitor(server) for _ in range(MAX_VISITORS)]
    for visitor in visitors:
        visitor.send("match-example", "click")
    end = time.monotonic() + 60 * MINUTES

    def click(number):
        times = []
        while time.monotonic() < end:
            start = time.monotonic()
            place = {"x": 0.2 + 0.03 * number, "y": 0.3 + 0.004 * (len(times) % 100)}
            visitors[number].send("match-photos", "mark", about=place)
            times.append(time.monotonic() - start)
            if len(times) % 20 == 0:
                visitors[number].send("match-clear", "click")
        return times

    memory = []
    with ThreadPoolExecutor(MAX_VISITORS) as pool:
        clicks = [pool.submit(click, number) for number in range(MAX_VISITORS)]
        while time.monotonic() < end:
            time.sleep(10)
            memory.append(round(resident(server_process.pid)))
        times = sorted(seconds for one in clicks for seconds in one.result())
    print(
        json.dumps({"clicks": len(times), "median_s": statistics.median(times), "slowest_s": times[-1], "mib": memory})
    )
    assert statistics.median(times) <= 1
    assert memory[-1] < 1.05 * memory[len(memory) // 3]

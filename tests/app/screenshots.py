"""Pictures of every tab after its example: ``python -m tests.app.screenshots FOLDER [--all]``.

Those of the README are 1280 pixels wide and light; ``--all`` adds dark and narrow ones, for looking at.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

from diffsight.app.match import EXAMPLE
from diffsight.app.server import running
from diffsight.world import make_pair

from .browser import Browser, Browsers, chromium

MARKS = ("bumper", "tail", "roof rear")
"""What is clicked in the example of the tab Match."""


def match(browser: Browser) -> None:
    """Three points."""
    status = "(document.querySelector('#match-status [role=status]')?.innerText ?? '')"
    browser.wait(f"{status}.startsWith('Click a spot')")
    seed, _, side, kind = EXAMPLE
    thing = make_pair(seed, side, kind=kind).source.objects[0]
    for number, name in enumerate(MARKS, start=1):
        x, y = thing.keypoints[thing.names.index(name)] / side
        browser.click(*browser.place("#match-photos .clicked", x, y))
        browser.wait(f"{status}.startsWith('Point {number}: ')")


def segment(browser: Browser) -> None:
    """A part that was clicked."""
    browser.wait("!!document.querySelector('#segment-stage path')")
    browser.click(*browser.place("#segment-stage svg", 0.45, 0.55))


def track(browser: Browser) -> None:
    """The end of the clip."""
    browser.wait("document.querySelector('#track-video video')?.readyState == 4")


def transfer(browser: Browser) -> None:
    """The photo that is least certain."""
    browser.wait("!!document.querySelector('#transfer-review img')")


TABS: dict[str, Callable[[Browser], None]] = {"match": match, "segment": segment, "track": track, "transfer": transfer}


def try_example(browser: Browser, tab: str) -> None:
    """Open a tab, and do with its example what it is for."""
    browser.show_tab(tab)
    browser.press(f"#{tab}-example")
    browser.wait(f"!!document.querySelector('#tab-{tab} img')")
    TABS[tab](browser)
    browser.wait("!document.querySelector('.progress-text')")


def take(browsers: Browsers, address: str, tab: str, width: int, scheme: str, path: Path) -> None:
    """Try the example of a tab, and save the page."""
    with browsers() as browser:
        browser.resize(width, 800)
        browser.open(f"{address}?__theme={scheme}")
        try_example(browser, tab)
        browser.rest(1.5)
        browser.save(path)


def main() -> None:
    """Serve the page and take the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--all", action="store_true")
    parser.add_argument("--tab", choices=list(TABS), action="append")
    asked = parser.parse_args()
    asked.folder.mkdir(parents=True, exist_ok=True)
    shapes = [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")] if asked.all else [(1280, "light")]
    with (
        tempfile.TemporaryDirectory() as name,
        chromium(Path(name) / "chromium") as browsers,
        running(["pocket", "pocket+"], "127.0.0.1", None, Path(name) / "server") as address,
    ):
        for tab in asked.tab or TABS:
            for width, scheme in shapes:
                suffix = f"-{width}-{scheme}" if asked.all else ""
                take(browsers, address, tab, width, scheme, asked.folder / f"app-{tab}{suffix}.png")


if __name__ == "__main__":
    main()

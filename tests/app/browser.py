"""A headless Chromium, driven over its DevTools protocol: one for many visitors, who share nothing."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
PATIENCE = 60
"""Seconds to wait for anything."""


@contextmanager
def chromium(profile: Path) -> Iterator[Browsers]:
    """Run a Chromium while the block runs; gives what opens a window of it for each visitor.

    Args:
        profile: gets its files.
    """
    assert CHROMIUM
    switches = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    switches += ["--hide-scrollbars", "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([CHROMIUM, *switches], stdout=quiet, stderr=quiet)
    try:
        port, path = _wait(lambda: _lines(profile / "DevToolsActivePort")[:2], "Chromium")
        yield partial(_open, f"ws://127.0.0.1:{port}", path)
    finally:
        process.terminate()
        process.wait(PATIENCE)


@contextmanager
def _open(address: str, path: str) -> Iterator[Browser]:
    from websockets.sync.client import connect

    with connect(address + path, max_size=None, proxy=None) as socket:
        whole = DevTools(socket)
        own = whole.call("Target.createBrowserContext")["browserContextId"]  # cookies and storage of its own
        try:
            page = whole.call("Target.createTarget", url="about:blank", browserContextId=own)["targetId"]
            with connect(f"{address}/devtools/page/{page}", max_size=None, proxy=None) as window:
                yield Browser(DevTools(window), own)
        finally:
            whole.call("Target.disposeBrowserContext", browserContextId=own)


class DevTools:
    """A connection that calls are sent over.

    Attributes:
        asked: the address of every request that was made.
    """

    def __init__(self, socket: Any) -> None:
        self.asked: list[str] = []
        self._socket = socket
        self._number = 0

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What a method of the protocol answers."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=PATIENCE))
            if message.get("method") == "Network.requestWillBeSent":
                self.asked.append(message["params"]["request"]["url"])
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]


class Browser:
    """The window of one visitor.

    Attributes:
        asked: the address of every request that the page made.
    """

    def __init__(self, tools: DevTools, context: str) -> None:
        self.asked = tools.asked
        self._call = tools.call
        self._context = context
        for domain in ("Network", "Page", "Runtime"):
            self._call(f"{domain}.enable")
        self._call("Emulation.setFocusEmulationEnabled", enabled=True)

    def open(self, address: str) -> None:
        """Go to a page."""
        self._call("Page.navigate", url=address)

    def resize(self, width: int, height: int) -> None:
        """Make the window this large, CSS pixels."""
        self._call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def value(self, script: str) -> Any:
        """What a JavaScript expression gives."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, script: str) -> Any:
        """Wait until an expression gives something."""
        return _wait(lambda: self.value(script), script)

    def click(self, x: float, y: float) -> None:
        """Press and release the mouse there, CSS pixels of the window."""
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def place(self, selector: str, x: float, y: float) -> tuple[float, float]:
        """Where in the window a place of an element is; x and y from 0 to 1 within it. It is scrolled into view."""
        script = "(e => { e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
        script += f"return [r.x + r.width * {x}, r.y + r.height * {y}] }})(document.querySelector('{selector}'))"
        return tuple(self.value(script))

    def press(self, selector: str) -> None:
        """Click the middle of an element, once it is there, at rest and in front."""
        self.wait(f"!!document.querySelector('{selector}')")
        seen: list[tuple[float, float]] = []

        def at_rest() -> bool:
            seen.append(self.place(selector, 0.5, 0.5))
            x, y = seen[-1]
            in_front = f"document.querySelector('{selector}').contains(document.elementFromPoint({x}, {y}))"
            return seen[-5:] == [seen[-1]] * 5 and self.value(in_front)

        _wait(at_rest, f"{selector} to stand still")
        self.click(*seen[-1])

    def show_tab(self, name: str) -> None:
        """Choose a tab; the page may be visible for a while before its buttons answer."""
        button, example = f"#tab-{name}-button", f"#{name}-example"

        def shown() -> bool:
            self.value(f"document.querySelector('{button}')?.click()")
            return self.value(f"!!document.querySelector('{example}')?.offsetParent")

        _wait(shown, f"the tab {name}")

    def drag(self, start: tuple[float, float], end: tuple[float, float]) -> None:
        """Press the mouse at one place, move it, release it at another, CSS pixels of the window."""
        held = {"button": "left", "clickCount": 1}
        self._call("Input.dispatchMouseEvent", type="mousePressed", x=start[0], y=start[1], **held)
        for share in (0.25, 0.5, 0.75, 1):
            x, y = (a + share * (b - a) for a, b in zip(start, end, strict=True))
            self._call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y, button="left", buttons=1)
        self._call("Input.dispatchMouseEvent", type="mouseReleased", x=end[0], y=end[1], **held)

    def key(self, name: str) -> None:
        """Press and release a key, such as Enter or ArrowRight."""
        for kind in ("keyDown", "keyUp"):
            self._call("Input.dispatchKeyEvent", type=kind, key=name, code=name)

    def pixel(self, selector: str, x: float, y: float) -> list[int]:
        """The colour of an image on the page, in its own pixels."""
        return self.value(
            f"(i => {{ const c = document.createElement('canvas'); c.width = i.naturalWidth;"
            "c.height = i.naturalHeight; const p = c.getContext('2d'); p.drawImage(i, 0, 0);"
            f"return [...p.getImageData({round(x)}, {round(y)}, 1, 1).data].slice(0, 3) }})"
            f"(document.querySelector('{selector}'))"
        )

    def upload(self, selector: str, *files: Path) -> None:
        """Give files to a field for files."""
        root = self._call("DOM.getDocument")["root"]["nodeId"]
        node = self._call("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self._call("DOM.setFileInputFiles", nodeId=node, files=[str(file) for file in files])

    def downloads(self, folder: Path) -> None:
        """Save what the page offers into a folder."""
        self._call(
            "Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder), browserContextId=self._context
        )

    def wait_for_file(self, path: Path) -> None:
        """Wait until a download is there."""
        _wait(path.exists, str(path))

    def rest(self, seconds: float) -> None:
        """Wait for what fades and moves, before a picture is taken."""
        time.sleep(seconds)

    def save(self, path: Path) -> None:
        """Take a picture of the whole page, PNG."""
        picture = self._call("Page.captureScreenshot", captureBeyondViewport=True)
        path.write_bytes(base64.b64decode(picture["data"]))


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


Browsers = Callable[[], AbstractContextManager[Browser]]


def _wait(question: Any, what: str) -> Any:
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        answer = question()
        if answer:
            return answer
        time.sleep(0.02)
    raise TimeoutError(f"waited {PATIENCE} s in vain for {what}")

"""The page as a visitor meets it: a real server, a real browser."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from PIL import Image

from diffsight.app.match import EXAMPLE
from diffsight.draw import segment_colours
from diffsight.world import make_pair

from .browser import CHROMIUM, Browser

PHOTOS = "[...document.querySelectorAll('#left img, #right img')].filter(i => i.complete && i.naturalWidth).length == 2"
STATUS = "document.querySelector('#status').innerText"
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")


def test_without_gradio_one_line_says_what_to_install():
    code = "import sys; sys.modules['gradio'] = None; from diffsight.cli import run; sys.exit(run(['app']))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "pip install 'diffsight[app]'" in answer.stderr
    assert answer.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The command, running; gives its address, and looks at what it leaves behind."""
    pytest.importorskip("gradio", reason="Gradio is not installed")
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", "from diffsight.cli import main; main()", "app", "--port", str(port)]
    surroundings = {
        **os.environ,
        "TMPDIR": str(folder),
        "http_proxy": "http://127.0.0.1:9",
    }  # the proxy must not be asked
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=surroundings)
    line = process.stdout.readline()
    assert line.startswith(f"http://127.0.0.1:{port}/"), process.communicate()
    assert len(list(folder.glob("diffsight-app-*"))) == 1
    yield line.split()[0]
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors.strip()) == (130, "diffsight: stopped")
    assert list(folder.glob("diffsight-app-*")) == []
    assert not (folder / "gradio").exists()  # where Gradio would put files by itself


def test_a_port_in_use_is_one_line(server):
    port = server.rstrip("/").rsplit(":", 1)[1]
    code = f"import sys; from diffsight.cli import run; sys.exit(run(['app', '--port', '{port}']))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith(f"diffsight: cannot listen on 127.0.0.1, port {port} (Address already in use")
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize("path", ["/etc/passwd", __file__])
def test_files_of_the_machine_are_not_served(server, path):
    with pytest.raises(HTTPError, match="403"):
        urlopen(f"{server}gradio_api/file={path}", timeout=10)


def centre(browser, side, x, y):
    """Window coordinates of a place in a photo, x and y from 0 to 1."""
    box = f"document.querySelector('#{side} img').getBoundingClientRect()"
    return browser.value(f"(r => [r.x + r.width * {x}, r.y + r.height * {y}])({box})")


def pixel(browser, side, x, y):
    """The colour of a photo on the page, in its own pixels."""
    return browser.value(
        f"(() => {{ const i = document.querySelector('#{side} img'), c = document.createElement('canvas');"
        "c.width = i.naturalWidth; c.height = i.naturalHeight; const p = c.getContext('2d'); p.drawImage(i, 0, 0);"
        f"return [...p.getImageData({round(x)}, {round(y)}, 1, 1).data].slice(0, 3) }})()"
    )


@needs_browser
def test_a_visit(server, tmp_path):
    pytest.importorskip("websockets", reason="websockets is not installed; it speaks to Chromium")
    seed, side, kind = EXAMPLE
    thing = make_pair(seed, side, kind=kind).source.objects[0]
    x, y = thing.keypoints[thing.names.index("tail")] / side
    with Browser(tmp_path / "profile") as browser:
        browser.resize(1280, 900)
        browser.open(server)
        browser.wait("!!document.querySelector('#example')")
        browser.value("document.querySelector('#example').click()")
        browser.wait(PHOTOS)
        browser.click(*centre(browser, "left", x, y))
        browser.wait(f"{STATUS}.startsWith('Point 1: found at')")
        browser.wait("document.querySelectorAll('#found tbody tr').length == 1")
        browser.wait(PHOTOS)
        colour = segment_colours(1)[0]
        assert pixel(browser, "left", x * 480, y * 480 - 11) == pytest.approx(colour, abs=30)  # as JPEG has it

        browser.downloads(tmp_path)
        browser.value("document.querySelector('#download').click()")
        browser.wait_for_file(tmp_path / "matches.csv")
        (row,) = csv.DictReader((tmp_path / "matches.csv").read_text().splitlines())
        found = float(row["right_x"]) / side * 480, float(row["right_y"]) / side * 480 - 11
        assert pixel(browser, "right", *found) == pytest.approx(colour, abs=30)

        (tmp_path / "notes.png").write_text("no photo")
        browser.upload("input[type=file]", tmp_path / "notes.png")
        browser.wait("document.body.innerText.includes('notes.png is not a photo that can be read')")
        assert browser.value(STATUS).startswith("Point 1: found at")
        browser.save(tmp_path / "wide.png")
        browser.resize(390, 844)
        browser.wait("document.documentElement.clientWidth == 390")
        assert browser.value("document.documentElement.scrollWidth") == 390
        browser.save(tmp_path / "narrow.png")
        assert Image.open(tmp_path / "narrow.png").width == 390

        with Browser(tmp_path / "other") as other:
            other.open(server)
            assert other.wait(f"!!document.querySelector('#status') && {STATUS}").startswith("Choose two photos")
        browser.value("document.querySelector('#undo').click()")
        browser.wait(f"{STATUS} == 'Click a spot in the left photo.'")
        outside = [url for url in browser.asked if not url.startswith((server, "data:", "blob:"))]
        assert outside == [], json.dumps(outside)

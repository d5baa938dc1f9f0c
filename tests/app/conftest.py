import os
import signal
import socket
import subprocess
import sys

import pytest

from .browser import CHROMIUM, Browser


@pytest.fixture(scope="session")
def server_process(tmp_path_factory):
    """The command, running, with its address; looks at what it leaves behind."""
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
    process.address = line.split()[0]
    yield process
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors.strip()) == (130, "diffsight: stopped")
    assert list(folder.glob("diffsight-app-*")) == []
    assert not (folder / "gradio").exists()  # where Gradio would put files by itself


@pytest.fixture(scope="session")
def server(server_process):
    """The address of the page."""
    return server_process.address


@pytest.fixture
def browser(server, tmp_path):
    """A visitor who has opened the page in a window of 1280 by 900 pixels."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    pytest.importorskip("websockets", reason="websockets is not installed; it speaks to Chromium")
    with Browser(tmp_path / "profile") as browser:
        browser.resize(1280, 900)
        browser.open(server)
        browser.wait("!!document.querySelector('#tab-match-button, [role=tab]')")
        yield browser

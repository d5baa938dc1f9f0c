import os
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager

import pytest

from .browser import CHROMIUM, chromium


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


@pytest.fixture(scope="session")
def browsers(tmp_path_factory):
    """Opens a window of one Chromium; those who have one share nothing."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine")
    pytest.importorskip("websockets", reason="websockets is not installed; it speaks to Chromium")
    with chromium(tmp_path_factory.mktemp("chromium")) as browsers:
        yield browsers


@contextmanager
def visit(browsers, server, tab):
    """Look at a tab of the page in a window of 1280 by 900 pixels."""
    with browsers() as browser:
        browser.resize(1280, 900)
        browser.open(server)
        browser.show_tab(tab)
        yield browser


@pytest.fixture
def browser(browsers, server, request):
    """A visitor who looks at the tab that the test's module is named after."""
    with visit(browsers, server, request.module.TAB) as browser:
        yield browser


@pytest.fixture
def other(browsers, server, request):
    """Another visitor, likewise."""
    with visit(browsers, server, request.module.TAB) as browser:
        yield browser

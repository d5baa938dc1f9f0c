"""The command as it is started: what it says, what it serves, what it leaves behind."""

import os
import subprocess
import sys
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest


def test_without_gradio_one_line_says_what_to_install():
    code = "import sys; sys.modules['gradio'] = None; from diffsight.cli import run; sys.exit(run(['app']))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "pip install 'diffsight[app]'" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_port_in_use_is_one_line(server):
    port = server.rstrip("/").rsplit(":", 1)[1]
    code = f"import sys; from diffsight.cli import run; sys.exit(run(['app', '--port', '{port}']))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=False)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith(f"diffsight: cannot listen on 127.0.0.1, port {port} (Address already in use")
    assert answer.stderr.count("\n") == 1


def test_libraries_are_loaded_once_their_surroundings_are_set():
    """PyTorch and Gradio read them as they load."""
    code = "import sys, diffsight.cli.commands, diffsight.app.server; print({'torch', 'gradio'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "set()\n"


@pytest.mark.parametrize("path", ["/etc/passwd", __file__])
def test_files_of_the_machine_are_not_served(server, path):
    with pytest.raises(HTTPError, match="403"):
        urlopen(f"{server}gradio_api/file={path}", timeout=10)


def test_a_relay_out_of_reach_is_one_line():
    pytest.importorskip("gradio", reason="Gradio is not installed")
    nowhere = "http://127.0.0.1:9"
    surroundings = {**os.environ, "https_proxy": nowhere, "http_proxy": nowhere, "all_proxy": nowhere}
    code = "import sys; from diffsight.cli import run; sys.exit(run(['app', '--share']))"
    command = [sys.executable, "-c", code]
    answer = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False, env=surroundings)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("diffsight: Gradio's relay gives no public address")
    assert answer.stderr.count("\n") == 1

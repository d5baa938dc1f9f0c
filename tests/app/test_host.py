"""The files at the root for a host of Gradio apps."""

import json
import os
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from urllib.request import urlopen

import pytest

ROOT = Path(__file__).parents[2]


def lines(name):
    return [line for line in (ROOT / name).read_text().splitlines() if not line.startswith("#")]


def test_requirements_are_those_of_the_package_as_tested():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = project["dependencies"] + project["optional-dependencies"]["app"]
    names = {re.split(r"[>=<]", one)[0] for one in wanted}
    assert {line.split("==")[0] for line in lines("requirements.txt")} == names
    assert set(lines("requirements.txt")) <= set(lines("constraints.txt"))


def test_one_file_serves_the_page(tmp_path):
    pytest.importorskip("gradio", reason="Gradio is not installed")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    surroundings = {**os.environ, "PORT": port, "TMPDIR": str(tmp_path)}
    host = subprocess.Popen([sys.executable, ROOT / "app.py"], stdout=subprocess.PIPE, text=True, env=surroundings)
    try:
        assert f":{port}/" in host.stdout.readline()
        with urlopen(f"http://127.0.0.1:{port}/config", timeout=10) as page:
            assert json.load(page)["title"] == "diffsight"
        host.terminate()
        assert host.wait(20) == 130
    finally:
        host.kill()

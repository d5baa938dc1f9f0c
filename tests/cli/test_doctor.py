from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import diffsight
from diffsight.cli import run
from diffsight.doctor.report import examine

SOURCE = str(Path(diffsight.__file__).parent.parent)


@pytest.fixture(scope="module")
def asked():
    """Whatever was asked of the network while ``report`` was made."""
    return []


@pytest.fixture(scope="module")
def report(asked):
    def refuse(*arguments: object) -> None:
        asked.append(arguments)
        raise OSError("no network in this test")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket.socket, "connect", refuse)
        patch.setattr(socket, "getaddrinfo", refuse)
        return examine()


def broken(folder: Path, module: str, line: str) -> Path:
    (folder / module).mkdir()
    (folder / module / "__init__.py").write_text(line)
    return folder


def doctor_with(folder: Path) -> tuple[int, dict[str, object]]:
    """What the doctor says of a machine where the modules in a folder come first."""
    code = "import sys; from diffsight.cli import run; sys.exit(run(['doctor', '--json']))"
    paths = os.pathsep.join([str(folder), SOURCE])
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": paths},
        check=False,
    )
    assert "Traceback" not in done.stderr
    return done.returncode, json.loads(done.stdout)


def test_json_holds_every_section(capsys):
    assert run(["doctor", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == {
        *("works", "diffsight", "python", "system", "torch", "memory", "devices", "parts", "models", "hub", "disks"),
        *("troubles", "conclusions"),
    }
    assert found["works"] is True
    assert found["troubles"] == []
    assert found["devices"][0].keys() == {"name", "about", "memory", "default", "formats", "pocket"}
    assert found["parts"][0].keys() == {"package", "use", "needed", "state", "version", "note"}
    assert found["hub"].keys() == {"cache", "writable", "offline", "variables", "cached"}
    assert {"works", "text"} == found["conclusions"][0].keys()


def test_the_tables_end_in_plain_words(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    assert run(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "ok pocket works on cpu" in out
    assert "flash attention" in out


def test_the_processor_computes_in_float32(report):
    cpu = report.devices[0]
    assert cpu.name == "cpu"
    assert [form.dtype for form in cpu.formats] == ["float32", "float16", "bfloat16"]
    assert [trial.what for trial in cpu.formats[0].operations if trial.works] == [
        *("matrix product", "convolution", "attention", "gradients")
    ]
    assert {"math", "flash attention"} <= {kernel.what for kernel in cpu.formats[0].kernels if kernel.works}
    assert "cudnn attention" not in {kernel.what for kernel in cpu.formats[0].kernels if kernel.works}
    assert cpu.pocket.works


def test_nothing_asks_the_network(report, asked):
    assert report.works
    assert asked == []


def test_a_broken_spare_part_is_blamed_for_what_it_breaks(tmp_path):
    code, found = doctor_with(broken(tmp_path, "torchvision", "raise RuntimeError('operator nms does not exist')"))
    states = {part["package"]: part["state"] for part in found["parts"]}
    assert states["torchvision"] == "broken"
    assert states["transformers"] == "broken"  # it loads torchvision wherever it finds one
    assert code == 1
    lines = [line["text"] for line in found["conclusions"] if not line["works"]]
    assert any("operator nms does not exist): uninstall torchvision" in line for line in lines)


def test_without_torch_the_rest_is_still_told_and_nothing_else_is_printed(tmp_path):
    code, found = doctor_with(broken(tmp_path, "torch", "print('hello'); raise OSError('libtorch.so: cannot open')"))
    assert code == 1
    assert found["works"] is False
    assert found["devices"] == []
    assert {part["package"]: part["state"] for part in found["parts"]}["scipy"] == "works"
    assert found["disks"]
    assert any("libtorch.so" in line["text"] for line in found["conclusions"])

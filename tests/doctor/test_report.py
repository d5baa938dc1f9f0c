from __future__ import annotations

from dataclasses import replace

import pytest

from diffsight.doctor.devices import DeviceReport, FormatReport, Memory, _check, machine_memory
from diffsight.doctor.report import Disk, Hub, Model, Report, _hub, conclude
from diffsight.doctor.trials import Trial, attempt
from diffsight.errors import ModelUnavailable

GOOD = Trial("math", True)
CPU = DeviceReport(
    name="cpu",
    about="a processor",
    memory=Memory(16 * 10**9, 8 * 10**9),
    default="float32",
    formats=(FormatReport("float32", (Trial("attention", True),), (GOOD, Trial("flash attention", True))),),
    pocket=Trial("pocket", True, "in no time"),
)
REPORT = Report(
    works=True,
    diffsight="0",
    python="3",
    system="any",
    torch=None,
    memory=CPU.memory,
    devices=(CPU,),
    parts=(),
    models=(Model("pocket", True, True, 0.1), Model("large", False, False, 5.0)),
    hub=Hub("/cache", Trial("writing", True), offline=False, variables={}, cached=()),
    disks=(Disk("weights", "/cache", 10**11),),
    troubles=(),
)


def lines(report: Report, works: bool) -> str:
    return "\n".join(line.text for line in conclude(report) if line.works == works)


def test_all_is_well():
    assert lines(REPORT, False) == ""
    assert "large, the largest model, needs about 6.5 GB of memory in float32: fits on cpu" in lines(REPORT, True)
    assert "weights that are not here: large; they are fetched" in lines(REPORT, True)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"works": False}, "the main job"),
        (
            {"troubles": (Trial("device cuda:0", False, "no driver"),)},
            "device cuda:0 could not be examined (no driver)",
        ),
        ({"devices": (replace(CPU, memory=Memory(8 * 10**9, 6 * 10**9)),)}, "does not fit on cpu (6.0 GB free)"),
        ({"devices": (replace(CPU, pocket=Trial("pocket", False, "why")),)}, "pocket does not work on cpu: why"),
        ({"hub": replace(REPORT.hub, offline=True)}, "the hub is not asked (HF_HUB_OFFLINE is set)"),
        ({"hub": replace(REPORT.hub, writable=Trial("writing", False, "read-only"))}, "cannot be written (read-only)"),
        ({"disks": (Disk("weights", "/cache", 10**9),)}, "has 1.0 GB free; a model takes up to 5.0 GB"),
    ],
)
def test_what_fails_is_said(changes, expected):
    assert expected in lines(replace(REPORT, **changes), False)


def test_number_formats_and_kernels_that_fail_are_said():
    slow = FormatReport("float32", (Trial("attention", True),), (GOOD, Trial("flash attention", False, "not built")))
    wrong = FormatReport("float16", (Trial("attention", False, "the result is off by 30%"),), ())
    said = lines(replace(REPORT, devices=(replace(CPU, formats=(slow, wrong)),)), False)
    assert "no fused attention on cpu in float32" in said
    assert "attention in float16 does not work on cpu: the result is off by 30%" in said


def test_weights_that_are_here_are_named():
    models = (replace(REPORT.models[1], here=True), Model("small", False, False, 4.0))
    said = lines(replace(REPORT, models=models), True)
    assert "weights that are here: large" in said
    assert "weights that are not here: small" in said


def test_the_first_cause_of_a_failure_is_told():
    def wrapped() -> None:
        try:
            raise OSError("libcudart.so is missing")
        except OSError as error:
            raise RuntimeError("see its traceback") from error

    def ours() -> None:
        try:
            wrapped()
        except RuntimeError as error:
            raise ModelUnavailable("give\nanother folder") from error

    assert attempt("x", wrapped) == Trial("x", False, "OSError: libcudart.so is missing")
    assert attempt("x", ours) == Trial("x", False, "ModelUnavailable: give another folder")
    assert attempt("x", lambda: "fine") == Trial("x", True, "fine")


def test_a_device_that_computes_wrongly_is_found_out():
    import torch

    cpu = torch.device("cpu")
    _check(lambda x: x @ x.mT, cpu, torch.bfloat16)
    with pytest.raises(ArithmeticError, match="off by"):
        _check(lambda x: x if x.dtype == torch.float32 else x * 1.1, cpu, torch.bfloat16)
    with pytest.raises(ArithmeticError, match="off by nan"):
        _check(lambda x: x if x.dtype == torch.float32 else x * float("nan"), cpu, torch.bfloat16)


def test_a_container_has_the_memory_it_is_allowed(tmp_path):
    whole = machine_memory(control=tmp_path)
    assert whole.total is not None
    (tmp_path / "memory.max").write_text("max\n")
    assert machine_memory(control=tmp_path).total == whole.total
    (tmp_path / "memory.max").write_text("1000000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    assert machine_memory(control=tmp_path) == Memory(1_000_000, 600_000)
    assert machine_memory(proc=tmp_path / "absent") == Memory(whole.total, None)


def test_the_cache_is_tried_where_it_would_be_made(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "not" / "made"))
    assert _hub().writable == Trial("writing", True)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").touch()
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "inside"))
    assert not _hub().writable.works


def test_cached_repositories_are_listed_with_their_size(monkeypatch, tmp_path):
    from huggingface_hub import constants

    snapshot = tmp_path / "models--owner--name" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "weights.safetensors").write_bytes(b"0" * 60_000_000)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    assert _hub().cached == ("owner/name (0.1 GB)",)

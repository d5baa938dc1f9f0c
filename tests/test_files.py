from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from diffsight.errors import OutputFailed
from diffsight.files import atomic, check_writable, save_tensors


def test_whole_or_not_at_all(tmp_path):
    path = tmp_path / "new" / "a.txt"
    with atomic(path) as part:
        part.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    with pytest.raises(ValueError, match="in the middle"), atomic(path) as part:
        part.write_text("half")
        raise ValueError("in the middle")
    assert path.read_text() == "one"
    assert [p.name for p in path.parent.iterdir()] == ["a.txt"]


def test_ctrl_c_in_the_middle_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt), atomic(tmp_path / "a.txt") as part:
        part.write_text("half")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_tensors_are_whole_and_readable(tmp_path):
    save_tensors({"a": torch.ones(3, 2).T}, tmp_path / "a.safetensors", {"k": "v"})
    assert torch.equal(load_file(tmp_path / "a.safetensors")["a"], torch.ones(2, 3))
    assert (tmp_path / "a.safetensors").stat().st_mode & 0o777 == 0o644
    (tmp_path / "file").touch()
    with pytest.raises(OutputFailed, match="cannot write"):
        save_tensors({"a": torch.ones(1)}, tmp_path / "file" / "a.safetensors")


def test_a_full_disk_is_said_and_cleaned_up(tmp_path):
    with pytest.raises(OutputFailed, match="No space left"), atomic(tmp_path / "a.txt") as part:
        part.write_text("half")
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_is_said_before_any_work(tmp_path):
    check_writable(tmp_path / "new" / "folder")
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").touch()
    with pytest.raises(OutputFailed, match="is a file"):
        check_writable(tmp_path / "file" / "below")

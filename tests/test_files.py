from __future__ import annotations

import pytest

from diffsight.errors import OutputFailed
from diffsight.files import atomic


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


def test_a_full_disk_is_said_and_cleaned_up(tmp_path):
    with pytest.raises(OutputFailed, match="No space left"), atomic(tmp_path / "a.txt") as part:
        part.write_text("half")
        raise OSError(28, "No space left on device")
    assert list(tmp_path.iterdir()) == []

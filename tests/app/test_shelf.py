import os

import pytest

from diffsight.app.limits import KEPT
from diffsight.app.shelf import new_folder, sweep


def test_old_folders_are_swept_and_young_ones_stay(tmp_path):
    with new_folder(tmp_path) as old, new_folder(tmp_path) as young:
        pass
    os.utime(old, (1, old.stat().st_mtime - 2 * KEPT - 10))
    sweep(tmp_path)
    assert list(tmp_path.iterdir()) == [young]


def test_a_folder_goes_when_its_work_fails(tmp_path):
    with pytest.raises(ValueError, match="half way"), new_folder(tmp_path) as folder:
        (folder / "part").write_text("half")
        raise ValueError("half way")
    assert not folder.exists()

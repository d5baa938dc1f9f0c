from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from diffsight.cli import run
from diffsight.world import make_pair

from .test_cli import fails


def test_own_photos(tmp_path, capsys):
    pair = make_pair(7, 96, kind="bird")
    for name, scene in (("a", pair.source), ("b", pair.target)):
        Image.fromarray(scene.image).save(tmp_path / f"{name}.png")
    assert run(["demo", str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--out", str(tmp_path / "o")]) == 0
    printed = capsys.readouterr().out.split()
    assert sorted(printed) == sorted(str(path) for path in (tmp_path / "o").iterdir())
    assert {"yours.png", "yours_segments.png", "world_face.png", "world_segments.png"} <= {
        path.name for path in (tmp_path / "o").iterdir()
    }
    for path in printed:
        assert np.asarray(Image.open(path)).std() > 10


@pytest.mark.parametrize("count", [1, 3])
def test_photos_come_in_twos(tmp_path, capsys, count):
    assert "takes two" in fails(capsys, "demo", *["a.png"] * count, "--out", tmp_path / "o")

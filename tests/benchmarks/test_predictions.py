from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from diffsight.benchmarks.predictions import load_folder, load_run
from diffsight.benchmarks.runs import LABELS, Run, save_map
from diffsight.benchmarks.systems import Prediction
from diffsight.datasets import JointClip, MaskClip, PlanePair
from diffsight.datasets.base import LabelledPhoto, Photo
from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.grid import centre_matrix

CLIP = MaskClip("clip", (Path("0.jpg"), Path("1.jpg")), (Path("0.png"), Path("1.png")))
STREET = LabelledPhoto("city/street", Path("a.png"), Path("b.png"), np.zeros(256, np.int64), 8)
PLANE = PlanePair("wall-2", "v", Photo(Path("1.ppm")), Photo(Path("2.ppm")), np.eye(3))
JUMP = JointClip("jump", "sport", (Path("1.png"), Path("2.png")), np.zeros((2, 3, 2)))


def test_tables_of_points(tmp_path):
    (tmp_path / "points.csv").write_text("id,index,x,y\nb,1,7,8\na,0,1,2\nb,0,5,6\n")
    found = load_folder(tmp_path, "points", [])
    np.testing.assert_array_equal(found["a"], [[1.5, 2.5]])  # the first pixel's centre is (0.5, 0.5) here
    np.testing.assert_array_equal(load_folder(tmp_path, "points", [], "corner")["b"], [[5, 6], [7, 8]])
    (tmp_path / "points.csv").write_text("id,index,x,y\nb,1,7,8\n")
    with pytest.raises(InvalidInput, match="b .*gaps"):
        load_folder(tmp_path, "points", [])
    for text in ("id,x,y\na,1,2\n", "id,index,x,y\na,0,1,two\n", "id,index,x,y\na,0,1\n"):
        (tmp_path / "points.csv").write_text(text)
        with pytest.raises(UnreadableFile, match="id, index, x, y"):
            load_folder(tmp_path, "points", [])


def test_json_of_points_joints_and_matrices(tmp_path):
    (tmp_path / "points.json").write_text(json.dumps({"a": [[1, 2]], "b": []}))
    found = load_folder(tmp_path, "points", [])
    assert found["a"].tolist() == [[1.5, 2.5]]
    assert found["b"].shape == (0, 2)
    (tmp_path / "points.json").write_text(json.dumps({"jump": np.ones((2, 3, 2)).tolist()}))
    assert load_folder(tmp_path, "joints", [JUMP])["jump"].shape == (2, 3, 2)
    matrix = np.array([[2.0, 0, 1], [0, 2, 3], [0, 0, 1]])
    (tmp_path / "matrices.json").write_text(json.dumps({"wall-2": matrix.tolist(), "wall-3": None}))
    found = load_folder(tmp_path, "planes", [PLANE])
    np.testing.assert_allclose(centre_matrix(found["wall-2"]), matrix, atol=1e-12)
    assert found["wall-3"] is None
    np.testing.assert_array_equal(load_folder(tmp_path, "planes", [PLANE], "corner")["wall-2"], matrix)
    (tmp_path / "matrices.json").write_text(json.dumps({"wall-2": [1, 2]}))
    with pytest.raises(InvalidInput, match=r"wall-2 is not 3 x 3"):
        load_folder(tmp_path, "planes", [PLANE])


def test_labels_are_read_when_asked_for(tmp_path):
    maps = [np.full((4, 5), value, np.uint8) for value in (1, 2)]
    for number, own in enumerate(maps):
        save_map(own, tmp_path / "clip" / f"{number:05d}.png")
    save_map(np.full((4, 5), 700, np.uint16), tmp_path / "city" / "street.png")
    found = load_folder(tmp_path, "masks", [CLIP])
    np.testing.assert_array_equal(found["clip"], maps)
    found = load_folder(tmp_path, "segments", [STREET, replace(STREET, id="city/lane")])
    assert list(found) == ["city/street"]
    assert (found["city/street"] == 700).all()
    (tmp_path / "city" / "street.png").write_bytes(b"nothing")
    with pytest.raises(UnreadableFile, match=r"street\.png"):
        found["city/street"]


def test_what_cannot_be_read(tmp_path):
    with pytest.raises(UnreadableFile, match="is no folder"):
        load_folder(tmp_path / "none", "points", [])
    with pytest.raises(UnreadableFile, match=r"points\.json"):
        load_folder(tmp_path, "points", [])
    (tmp_path / "points.json").write_text("[]")
    with pytest.raises(InvalidInput, match="object"):
        load_folder(tmp_path, "points", [])
    with pytest.raises(UnreadableFile, match="no finished run"):
        load_run(tmp_path, "points", [])


class Known:
    """Says what it is told to."""

    settings = {}  # noqa: RUF012

    def __init__(self, answers):
        self.answers = answers

    def plan(self, samples):
        pass

    def predict(self, sample):
        return self.answers[sample.id]


@pytest.mark.parametrize(
    ("kind", "sample", "answer"),
    [
        ("planes", PLANE, Prediction(matrix=np.arange(9.0).reshape(3, 3))),
        ("planes", PLANE, Prediction()),
        ("joints", JUMP, Prediction(np.arange(12.0).reshape(2, 3, 2))),
        ("masks", CLIP, Prediction(labels=(np.zeros((4, 5), np.uint8), np.full((4, 5), 255, np.uint8)))),
        ("segments", STREET, Prediction(labels=(np.full((4, 5), 65535, np.uint16),))),
    ],
)
def test_a_run_gives_back_what_was_predicted(tmp_path, kind, sample, answer):
    Run(tmp_path / "run", {"kind": kind}).complete(lambda: Known({sample.id: answer}), [sample])
    found = load_run(tmp_path / "run", kind, [sample])[sample.id]
    found = (found,) if kind == "segments" else found
    wanted = {"planes": answer.matrix, "joints": answer.matched}.get(kind, answer.labels)
    assert found is None if wanted is None else np.array_equal(found, wanted)
    if kind in ("masks", "segments"):
        assert (tmp_path / "run" / LABELS).is_dir()

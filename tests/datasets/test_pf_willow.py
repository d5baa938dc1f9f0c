from __future__ import annotations

import numpy as np
import pytest

from diffsight.datasets import benchmark, files_of
from diffsight.errors import UnreadableFile
from diffsight.world import RESERVED, make_pair

PF_WILLOW = benchmark("pf-willow")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("pf_willow")
    PF_WILLOW.write_world(root, RESERVED, 1)
    return root


def test_the_world_written_is_the_world_read(tree):
    samples = PF_WILLOW.samples(tree)
    assert [sample.category for sample in samples[:4]] == ["car(G)", "car(M)", "car(S)", "duck(S)"]
    assert len({sample.id for sample in samples}) == len(samples) == 10
    for number, sample in enumerate(samples):
        kind = sample.source.photo.path.stem.split("_")[0]
        pairs = (make_pair(RESERVED + number * 10_000 + i, 128, kind=kind) for i in range(1000))
        drawn = next(p for p in pairs if (p.source.objects[0].visible & p.target.objects[0].visible).sum() >= 10)
        seen = drawn.source.objects[0].visible & drawn.target.objects[0].visible
        for own, scene in ((sample.source, drawn.source), (sample.target, drawn.target)):
            np.testing.assert_allclose(own.keypoints, scene.objects[0].keypoints[seen][:10])
            np.testing.assert_array_equal(own.photo.load().array(), scene.image)
            assert own.box is None
        assert all(path.exists() for path in files_of(sample))


def test_order_of_columns(tmp_path):
    values = ",".join(map(str, range(40)))
    row = f"PF-dataset/car(G)/Cars_006a.png,PF-dataset/car(G)/Cars_007a.png,{values}"
    (tmp_path / "test_pairs.csv").write_text(f"header\n{row}\n")
    (sample,) = PF_WILLOW.samples(tmp_path)
    assert sample.source.photo.path == tmp_path / "car(G)" / "Cars_006a.png"
    assert sample.source.keypoints[1].tolist() == [1.5, 11.5]
    assert sample.target.keypoints[9].tolist() == [29.5, 39.5]


def test_wrong_roots_and_damaged_files(tree, tmp_path):
    with pytest.raises(UnreadableFile, match=r"test_pairs\.csv.*willow"):
        PF_WILLOW.samples(tmp_path)
    lines = (tree / "test_pairs.csv").read_text().splitlines()
    for middle in ("", lines[5].rsplit(",", 1)[0], lines[5] + ",1", lines[5] + "x", lines[5].split(",")[0]):
        (tmp_path / "test_pairs.csv").write_text("\n".join([*lines[:5], middle, *lines[6:]]))
        with pytest.raises(UnreadableFile, match=r"test_pairs\.csv.*line 6"):
            PF_WILLOW.samples(tmp_path)
    (tmp_path / "test_pairs.csv").write_text("")
    with pytest.raises(UnreadableFile, match="no sample"):
        PF_WILLOW.samples(tmp_path)

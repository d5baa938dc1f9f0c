from __future__ import annotations

import shutil

import numpy as np
import pytest
from scipy.io import savemat

from diffsight.datasets import benchmark, files_of
from diffsight.datasets.jhmdb import JOINTS, joints_of
from diffsight.errors import UnreadableFile
from diffsight.images import load_picture
from diffsight.world import CLUTTER, RESERVED, make_clip

JHMDB = benchmark("jhmdb")


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    root = tmp_path_factory.mktemp("jhmdb")
    JHMDB.write_world(root, RESERVED, 3)
    return root


def table(root, number=1):
    return root / "joint_positions" / "walk" / f"world_{number:04d}_walk" / "joint_positions.mat"


def test_the_world_written_is_the_world_read(tree):
    samples = JHMDB.samples(tree)
    assert [sample.id for sample in samples] == [f"world_{i:04d}_walk" for i in range(3)]
    for number, sample in enumerate(samples):
        scenes = make_clip(RESERVED + number, 12, 128, kinds=("person",))
        assert (sample.category, sample.joints.shape) == ("walk", (12, 15, 2))
        for photo, joints, scene in zip(sample.frames, sample.joints, scenes, strict=True):
            person = scene.objects[0]
            own = dict(zip(JOINTS, joints, strict=True))
            truth = dict(zip(person.names, person.keypoints, strict=True))
            np.testing.assert_allclose(own["right wrist"], truth["left wrist"])
            np.testing.assert_allclose(own["belly"], truth["belt"])
            np.testing.assert_array_equal(load_picture(photo).array(), scene.image)


def test_hips_are_where_legs_begin():
    """On the person, and much nearer to the belt than the knees are."""
    for seed in range(5):
        for scene in make_clip(RESERVED + seed, 4, kinds=("person",)):
            joints = dict(zip(JOINTS, joints_of(scene.objects[0]), strict=True))
            for side in ("left", "right"):
                hip, knee = joints[f"{side} hip"], joints[f"{side} knee"]
                x, y = hip.astype(int)
                assert not ((hip >= 0) & (hip < 128)).all() or scene.instances[y, x] in (1, CLUTTER)
                assert np.linalg.norm(hip - joints["belly"]) < 0.6 * np.linalg.norm(knee - joints["belly"])


def test_files_count_the_centre_of_the_first_pixel_as_one(tree, tmp_path):
    """In a clip of one frame, too, for which such files drop the last axis; lists may begin their paths elsewhere."""
    shutil.copytree(tree, tmp_path / "tree")
    places = np.ones((2, 15))
    places[0] = np.arange(1, 16)
    savemat(table(tmp_path / "tree"), {"pos_img": places})
    name = "walk/world_0001_walk"
    line = f"/data/JHMDB/Rename_Images/{name} /data/JHMDB/joint_positions/{name}/joint_positions.mat"
    (tmp_path / "tree" / "test.split.v2.txt").write_text(f"{line}\n\n")
    (sample,) = JHMDB.samples(tmp_path / "tree")
    np.testing.assert_array_equal(sample.joints[0, :3], [(0.5, 0.5), (1.5, 0.5), (2.5, 0.5)])
    assert [path.name for path in sample.frames] == ["00001.png"]
    assert all(path.exists() for path in files_of(sample))


def test_wrong_roots_and_damaged_files(tree, tmp_path):
    with pytest.raises(UnreadableFile, match=r"test\.split\.v2\.txt.*jhmdb\.is\.tue"):
        JHMDB.samples(tmp_path)
    shutil.copytree(tree, tmp_path / "tree")
    path = table(tmp_path / "tree")
    whole = path.read_bytes()
    for cut in (0, 100, 140, 200, 1000):
        path.write_bytes(whole[:cut])
        with pytest.raises(UnreadableFile, match="world_0001_walk/joint_positions.mat is not as JHMDB has it"):
            JHMDB.samples(tmp_path / "tree")
    for facts in ({"pos": np.ones((2, 15, 4))}, {"pos_img": np.ones((15, 2, 4))}, {"pos_img": "lost"}):
        savemat(path, facts)
        with pytest.raises(UnreadableFile, match="no pos_img of 2 x 15 x frames"):
            JHMDB.samples(tmp_path / "tree")
    path.unlink()
    with pytest.raises(UnreadableFile, match="cannot read .*world_0001_walk/joint_positions.mat"):
        JHMDB.samples(tmp_path / "tree")
    (tmp_path / "tree" / "test.split.v2.txt").write_text("walk\n")
    with pytest.raises(UnreadableFile, match="'walk' names no folder"):
        JHMDB.samples(tmp_path / "tree")

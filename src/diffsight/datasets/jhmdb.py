"""JHMDB: videos of one person each, with 15 joints in every frame (Jhuang et al., 2013)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..grid import Points
from ..world import WorldObject, make_clip
from .base import Benchmark, JointClip, damaged, read_mat, read_text
from .painting import LENGTH, SIDE, save_lines, save_mat, save_photo

JOINTS = {
    "neck": "chin",
    "belly": "belt",
    "face": "face",
    "right shoulder": "left shoulder",
    "left shoulder": "right shoulder",
    "right hip": "left hip",
    "left hip": "right hip",
    "right elbow": "left elbow",
    "left elbow": "right elbow",
    "right knee": "left knee",
    "left knee": "right knee",
    "right wrist": "left wrist",
    "left wrist": "right wrist",
    "right ankle": "left foot",
    "left ankle": "right foot",
}
"""The joints in the files' order, and what stands for each of the world's person, whose left is the picture's."""

THIGH = 0.85
"""From knee to hip, where the world's person has no keypoint, as a share of the way from foot to knee."""


def read(root: Path, split: str) -> list[JointClip]:
    """The clips of the list; of its paths, whatever they begin with, the action and the video count."""
    path = root / f"{split}.split.v2.txt"
    clips = []
    for line in read_text(path, JHMDB).splitlines():
        if line.strip():
            names = Path(line.split()[0]).parts[-2:]
            if len(names) < 2:
                raise damaged(path, JHMDB, f"{line!r} names no folder of an action and a video")
            clips.append(_clip(root, *names))
    return clips


def _clip(root: Path, action: str, video: str) -> JointClip:
    joints = _joints(root / "joint_positions" / action / video / "joint_positions.mat")
    folder = root / "Rename_Images" / action / video
    return JointClip(video, action, tuple(folder / f"{i:05d}.png" for i in range(1, len(joints) + 1)), joints)


def _joints(path: Path) -> npt.NDArray[np.float64]:
    """(T, 15, 2) of a file, which counts the centre of the first pixel as (1, 1)."""
    places = np.asarray(read_mat(path, JHMDB).get("pos_img"))
    if places.shape[:2] != (2, len(JOINTS)):
        raise damaged(path, JHMDB, f"no pos_img of 2 x {len(JOINTS)} x frames")
    return places.reshape(2, len(JOINTS), -1).transpose(2, 1, 0) - 0.5


def write_world(root: Path, seed: int, count: int) -> None:
    """Clips of one person each."""
    lines = []
    for i in range(count):
        action, video = "walk", f"world_{i:04d}_walk"
        folder, labels = (root / kind / action / video for kind in ("Rename_Images", "joint_positions"))
        scenes = make_clip(seed + i, LENGTH, SIDE, kinds=("person",))
        for number, scene in enumerate(scenes, start=1):
            save_photo(scene.image, folder / f"{number:05d}.png")
        joints = np.stack([joints_of(scene.objects[0]) for scene in scenes])
        save_mat({"pos_img": joints.transpose(2, 1, 0) + 0.5}, labels / "joint_positions.mat")
        lines.append(f"{folder.relative_to(root)} {labels.relative_to(root)}/joint_positions.mat")
    save_lines(lines, root / "test.split.v2.txt")


def joints_of(person: WorldObject) -> Points:
    """(15, 2) joints of the world's person; each hip prolongs the line from foot to knee."""
    places = dict(zip(person.names, person.keypoints, strict=True))
    for side in ("left", "right"):
        knee, foot = places[f"{side} knee"], places[f"{side} foot"]
        places[f"{side} hip"] = knee + THIGH * (knee - foot)
    return np.array([places[name] for name in JOINTS.values()])


JHMDB = Benchmark(
    name="jhmdb",
    title="JHMDB",
    kind="joints",
    read=read,
    write_world=write_world,
    splits=("test",),
    counts={"test": 268},
    source="http://jhmdb.is.tue.mpg.de",
    layout="Rename_Images/, joint_positions/ and test.split.v2.txt",
)

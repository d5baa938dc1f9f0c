from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diffsight.errors import InvalidInput
from diffsight.grid import warp_points
from diffsight.world import COLOURS, RESERVED, categories, make_clip, make_pair, make_scene, make_warp_pair
from diffsight.world.scene import CLUTTER, Cast

KINDS = tuple(categories())


def test_there_is_enough_to_see():
    assert len(KINDS) >= 8
    for category in categories().values():
        assert len(category.keypoints) >= 8, category.name
        assert all(part.parent < len(category.parts) for part in category.parts)


@given(st.integers(0, 2 * RESERVED), st.sampled_from([(64, 64), (61, 97), (128, 50), (200, 300)]), st.integers(1, 4))
@settings(max_examples=40, deadline=None)
def test_a_picture_is_a_function_of_its_seed_and_its_truth_is_consistent(seed, size, count):
    scene, again = (make_scene(seed, *size, count=count) for _ in range(2))
    assert np.array_equal(scene.image, again.image)
    assert scene.image.shape == (*size, 3)
    assert scene.image.dtype == np.uint8
    assert scene.caption == again.caption
    assert len(scene.objects) == count
    numbers = set(np.unique(scene.instances)) - {0, CLUTTER}
    assert numbers <= set(range(1, count + 1))
    for number, thing in enumerate(scene.objects, start=1):
        mine = scene.instances == number
        if not mine.any():
            assert not thing.visible.any()
            assert not thing.box.any()
            continue
        assert thing.visible.dtype == bool
        x0, y0, x1, y1 = thing.box.astype(int)
        assert mine[y0:y1, x0:x1].sum() == mine.sum()
        assert (scene.parts[mine] > 0).all()
        assert scene.parts.max() <= max(len(categories()[t.category].parts) for t in scene.objects)
        for point in thing.keypoints[thing.visible]:
            assert 0 <= point[0] < size[1]
            assert 0 <= point[1] < size[0]


@pytest.mark.parametrize("kind", KINDS)
def test_visible_keypoints_lie_on_their_parts(kind):
    category = categories()[kind]
    owners = np.array([part for part, _ in category.keypoints.values()])
    on, seen = 0, 0
    for seed in range(30):
        scene = make_scene(seed, 256, kinds=(kind,))
        thing = scene.objects[0]
        for (x, y), owner in zip(thing.keypoints[thing.visible], owners[thing.visible], strict=True):
            window = scene.parts[max(0, int(y) - 4) : int(y) + 5, max(0, int(x) - 4) : int(x) + 5]
            on += (window == owner + 1).any()
            seen += 1
    assert on == seen
    assert seen > 30 * len(owners) / 3  # most keypoints are to be seen


def test_a_hidden_keypoint_is_not_visible():
    kinds = ("bird", "teapot")
    cast = Cast.draw((3,), kinds)
    poses = tuple(replace(pose, centre=np.array([0.5, 0.5])) for pose in cast.poses)
    behind = replace(cast, poses=(replace(poses[0], size=0.05), replace(poses[1], size=0.45))).render(128, 128)
    hidden = behind.instances[64, 64] == 2
    assert hidden
    assert not behind.objects[0].visible.all()
    for x, y in behind.objects[0].keypoints[behind.objects[0].visible]:
        assert (behind.instances[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3] == 1).any()


def test_size_changes_the_raster_not_the_truth():
    small, large = make_scene(5, 64, kinds=("car",)), make_scene(5, 256, kinds=("car",))
    np.testing.assert_allclose(small.objects[0].keypoints * 4, large.objects[0].keypoints)
    assert small.caption == large.caption


def test_captions_name_parts_and_colours():
    caption = make_scene(1, kinds=("bird",)).caption
    assert caption.startswith("a bird, ")
    for part in ("wing", "tail", "beak"):
        assert re.search(rf"\b({'|'.join(COLOURS)}) {part}\b", caption)
    assert re.search(r"facing (left|right), on \w+$", caption)


def test_colours_of_parts_are_independent():
    words = [
        re.search(r"(\w+) wing.*?(\w+) tail|(\w+) tail.*?(\w+) wing", make_scene(s, 32, kinds=("bird",)).caption)
        for s in range(60)
    ]
    same = sum((m[1] or m[4]) == (m[2] or m[3]) for m in words)
    assert same < 20


def test_painted_colours_are_the_named_ones():
    close = 0
    for seed in range(40):
        scene = make_scene(seed, 128, kinds=("car",))
        word = re.search(r"(\w+) body", scene.caption)[1]
        hull = next(i for i, p in enumerate(categories()["car"].parts) if p.name == "body")
        shown = scene.image[scene.parts == hull + 1].reshape(-1, 3)
        if len(shown) < 50:
            continue
        mean = np.median(shown, axis=0) / 255
        nearest = sorted(COLOURS, key=lambda name: np.linalg.norm(mean - COLOURS[name]))
        close += word in nearest[:4]
    assert close >= 30


def test_a_pair_shares_its_kind_and_nothing_else():
    pair = make_pair(RESERVED, 64)
    assert pair.source.objects[0].category == pair.target.objects[0].category
    assert pair.source.objects[0].names == pair.target.objects[0].names
    assert not np.array_equal(pair.source.image, pair.target.image)


@pytest.mark.parametrize("seed", range(5))
def test_the_homography_maps_source_to_target(seed):
    pair = make_warp_pair(seed, 160)
    size = pair.source.shape[1::-1]
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    warped = cv2.warpPerspective(
        pair.source, np.linalg.inv(half) @ pair.homography @ half, size, borderMode=cv2.BORDER_CONSTANT
    )
    inside = cv2.warpPerspective(np.ones(pair.source.shape[:2], np.uint8), pair.homography, size) > 0
    inside = cv2.erode(inside.astype(np.uint8), np.ones((9, 9))) > 0
    a, b = (
        cv2.GaussianBlur(cv2.cvtColor(i, cv2.COLOR_RGB2GRAY), (0, 0), 2)[inside].astype(float)
        for i in (warped, pair.target)
    )
    assert inside.mean() > 0.2
    assert np.corrcoef(a, b)[0, 1] > 0.97  # the light differs, the place does not
    assert np.isfinite(warp_points(np.array([[80.0, 80.0]]), pair.homography)).all()


def test_a_clip_moves_smoothly_and_keeps_its_colours():
    clip = make_clip(2, frames=12, height=96, count=2)
    assert len(clip) == 12
    steps = [np.abs(b.objects[i].keypoints - a.objects[i].keypoints).max() for a, b in pairwise(clip) for i in range(2)]
    assert 0 < max(steps) < 0.2 * 96
    assert len({frame.caption.replace("left", "").replace("right", "").replace("front", "") for frame in clip}) == 1
    chosen = make_clip(2, 2, kinds=("person", "car", "person"))
    assert [[thing.category for thing in frame.objects] for frame in chosen] == [["person", "car", "person"]] * 2


@pytest.mark.parametrize(
    "arguments", [{"kinds": ("unicorn",)}, {"kinds": ()}, {"count": 0}, {"height": 8}, {"height": 64, "width": 3}]
)
def test_bad_requests_are_refused(arguments):
    with pytest.raises(InvalidInput):
        make_scene(0, **arguments)
    with pytest.raises(InvalidInput):
        make_clip(0, frames=0)


def test_a_scene_can_be_painted_on_a_picture(rng):
    backdrop = rng.integers(0, 255, (64, 80, 3), np.uint8)
    scene, plain = make_scene(5, 64, 80, kinds=("bird",), backdrop=backdrop), make_scene(5, 64, 80, kinds=("bird",))
    np.testing.assert_array_equal(scene.parts > 0, plain.parts > 0)
    assert " on " not in scene.caption
    assert " on " in plain.caption
    outside = scene.instances == 0
    likeness = [np.corrcoef(s.image[outside].ravel(), backdrop[outside].ravel())[0, 1] for s in (scene, plain)]
    assert likeness[0] > 0.8 > likeness[1]
    with pytest.raises(InvalidInput, match="backdrop"):
        make_scene(5, 64, backdrop=backdrop)

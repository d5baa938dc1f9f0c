from __future__ import annotations

import numpy as np
import pytest

from diffsight.world import categories, make_scene
from diffsight.world.looks import FLESH, any_look, lifelike_look


@pytest.mark.parametrize("kind", ["face", "person"])
def test_people_have_skin_of_one_tone(kind):
    category = categories()[kind]
    for seed in range(20):
        look = lifelike_look(np.random.default_rng(seed), category)
        skin = np.array([c for part, c in zip(category.parts, look.colours, strict=True) if part.name == "skin"])
        assert (skin[:, 0] >= skin[:, 1]).all()  # redder than green, greener than blue
        assert (skin[:, 1] >= skin[:, 2]).all()
        hue = skin / skin.sum(axis=1, keepdims=True)
        assert np.ptp(hue, axis=0).max() < 0.03
        assert look.colours.min() >= 0
        assert look.colours.max() <= 1


def test_captions_name_the_colours_that_are_seen():
    scene = make_scene(5, 64, kinds=("face",), lifelike=True)
    plain = make_scene(5, 64, kinds=("face",))
    assert scene.caption != plain.caption
    np.testing.assert_array_equal(scene.parts, plain.parts)
    np.testing.assert_array_equal(scene.objects[0].keypoints, plain.objects[0].keypoints)


def test_only_what_people_are_made_of_changes(rng):
    category = categories()["person"]
    look, base = (paint(np.random.default_rng(3), category) for paint in (lifelike_look, any_look))
    changed = [not np.allclose(a, b) for a, b in zip(look.colours, base.colours, strict=True)]
    assert changed == [part.name in FLESH | {"hair"} for part in category.parts]
    car = categories()["car"]
    look, base = (paint(np.random.default_rng(3), car) for paint in (lifelike_look, any_look))
    np.testing.assert_array_equal(look.colours, base.colours)
    assert look.words == base.words

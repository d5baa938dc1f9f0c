import numpy as np
import pytest

from diffsight.world import categories, make_scene
from diffsight.world.zones import zone_masks, zones


@pytest.mark.parametrize("kind", categories())
def test_zones_cover_every_part_once(kind):
    scene = make_scene(7, 160, kinds=(kind,))
    count = np.zeros(scene.parts.shape, int)
    for zone, mask in zone_masks(scene):
        assert mask.any()
        assert (scene.parts[mask] == zone.part + 1).all()
        count += mask
    shown = scene.parts > 0
    assert (count[shown] >= 1).mean() > 0.995  # bending turns straight cuts into polygons
    assert (count[shown] > 1).mean() < 0.1  # neighbours share the pixels of a cut
    assert not count[~shown].any()


@pytest.mark.parametrize("kind", categories())
def test_zones_have_names_of_their_own(kind):
    labels = [zone.label for zone in zones(kind)]
    assert len(set(labels)) == len(labels)
    for zone in zones(kind):
        own = categories()[kind].labels[zone.part]
        assert zone.label.startswith(own)
        assert zone.label.split()[zone.noun] == own.split()[-1]
        assert len(zone.label.split()) <= 5


def test_zones_move_with_their_part():
    scene = make_scene(3, 256, kinds=("dog",))
    masks = {zone.label: mask for zone, mask in zone_masks(scene)}
    points = dict(zip(scene.objects[0].names, scene.objects[0].keypoints, strict=True))
    if scene.objects[0].visible[scene.objects[0].names.index("near hind paw")]:
        rows, columns = np.nonzero(masks["near hind leg bottom"])
        near = np.hypot(columns + 0.5 - points["near hind paw"][0], rows + 0.5 - points["near hind paw"][1]).min()
        rows, columns = np.nonzero(masks["near hind leg top"])
        far = np.hypot(columns + 0.5 - points["near hind paw"][0], rows + 0.5 - points["near hind paw"][1]).min()
        assert near < 2 < far


def test_several_things_keep_their_zones_apart():
    scene = make_scene(5, 128, kinds=("bird", "bird"))
    for _, mask in zone_masks(scene):
        assert len(np.unique(scene.instances[mask])) == 1

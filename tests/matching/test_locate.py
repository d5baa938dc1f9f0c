from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from diffsight.errors import InvalidInput
from diffsight.images import load_picture
from diffsight.matching.confidence import Signals
from diffsight.matching.locate import Located, Reference, locate
from diffsight.matching.refine import (
    Cells,
    Refinement,
    best_cells,
    mirror,
    mirror_points,
    near_best,
    refinement,
    softmax,
)
from diffsight.readers import ModelReader
from diffsight.world import RESERVED, make_scene

from .readings import cells, random_map

CELL, WINDOW = Refinement(peak="cell"), Refinement(peak="window")
BEST = Refinement(peak="window", shape=4.0, flip=True)
GRID, SIZE = (8, 10), (80, 100)


def smooth_map(seed: int, channels: int = 16, grid: tuple[int, int] = GRID) -> torch.Tensor:
    return torch.nn.functional.avg_pool2d(random_map(seed, channels, *grid)[None], 3, 1, 1)[0]


def noisy(features: torch.Tensor, seed: int, noise: float = 0.1) -> torch.Tensor:
    return features + noise * random_map(seed, *features.shape)


def centres(*places: tuple[int, int]) -> np.ndarray:
    """Pixels of cells (column, row); NaN for those with a negative column."""
    points = np.array(places) * 10.0 + 5
    return np.where(points < 0, np.nan, points)


HIDDEN = (-9, -9)
POINTS = centres((1, 1), (7, 2), (3, 6), (8, 5), (5, 3))


def two_views(seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """What a network sees in a photo and in its mirror image: one thing, and which way it faces."""
    shared, facing, turned = (random_map(seed + i, channels, *GRID) for i, channels in enumerate((48, 16, 16)))
    return torch.cat([shared, facing]), torch.cat([shared.flip(2), turned])


def several(count: int = 3) -> tuple[list[Reference], Cells]:
    """References of one thing, each with noise of its own, mirrored or not, and some of its points."""
    views, references = two_views(), []
    for number in range(count):
        points = np.where(np.arange(len(POINTS))[:, None] == number, np.nan, POINTS)
        plain, mirrored = (cells(noisy(own, number)) for own in views[:: (-1) ** number])
        references.append(Reference.of(plain, mirror_points(points, SIZE[1]) if number % 2 else points, mirrored))
    return references, cells(noisy(views[0], 99))


def same(one: Located, other: Located, atol: float = 1e-6) -> None:
    np.testing.assert_allclose(one.points, other.points, atol=100 * atol)
    for field in fields(Signals):
        a, b = getattr(one.signals, field.name), getattr(other.signals, field.name)
        np.testing.assert_allclose(a, b, atol=atol, err_msg=field.name)


@pytest.mark.parametrize("how", [CELL, WINDOW])
def test_a_photo_is_found_in_itself(how):
    photo = cells(random_map(0, 64, *GRID))
    found = locate([Reference.of(photo, POINTS)], photo, how)
    np.testing.assert_allclose(found.points, POINTS, atol=1e-6)
    np.testing.assert_allclose(found.signals.cycle, 0, atol=1e-9)
    np.testing.assert_array_equal(found.signals.mutual, 1)
    np.testing.assert_allclose(found.signals.peak, 1, atol=1e-6)


def test_by_pixels_a_photo_is_found_in_itself_within_a_pixel():
    photo = cells(random_map(0, 64, *GRID))
    found = locate([Reference.of(photo, POINTS)], photo)
    assert np.abs(found.points - POINTS).max() <= 0.5
    assert found.signals.mutual.all()


def test_a_target_without_the_thing_is_less_sharp():
    base = smooth_map(0)
    references = [Reference.of(cells(base), POINTS)]
    target = noisy(base, 1)
    order = torch.stack([torch.randperm(80, generator=torch.Generator().manual_seed(c)) for c in range(16)])
    mixed = target.flatten(1).gather(1, order).view_as(target)  # no cell holds what any cell held
    there, gone = (locate(references, cells(features), WINDOW).signals for features in (target, mixed))
    assert gone.entropy.mean() > there.entropy.mean()
    assert gone.lead.mean() < there.lead.mean()
    assert gone.peak.mean() < there.peak.mean()
    assert gone.cycle.mean() > there.cycle.mean()


def test_in_a_target_of_shuffled_cells_no_match_leads():
    base = smooth_map(0)
    references, order = (
        [Reference.of(cells(base), POINTS)],
        torch.randperm(80, generator=torch.Generator().manual_seed(0)),
    )
    shuffled = base.flatten(1)[:, order].view_as(base)
    how = replace(WINDOW, window=2)
    there, gone = (locate(references, cells(features), how).signals for features in (base, shuffled))
    np.testing.assert_allclose(gone.peak, there.peak, atol=1e-6)
    assert gone.lead.mean() < there.lead.mean()


def test_votes_are_the_mean_of_cosines():
    references, target = several()
    found = locate(references, target, CELL)
    for point in range(len(POINTS)):
        best, best_at = -2.0, (0, 0)
        for row in range(GRID[0]):
            for column in range(GRID[1]):
                votes = [
                    float(own.plain.vectors[point] @ target.vectors[row * GRID[1] + column])
                    for own in references
                    if np.isfinite(own.plain.points[point, 0])
                ]
                if sum(votes) / len(votes) > best:
                    best, best_at = sum(votes) / len(votes), (column, row)
        np.testing.assert_allclose(found.points[point], centres(best_at)[0])
        assert found.signals.peak[point] == pytest.approx(best, abs=1e-6)
    np.testing.assert_array_equal(found.signals.references, 0)  # those that show a point agree


def test_sharpness_equals_the_literal_formula():
    references, target = several()
    found = locate(references[:1], target, replace(WINDOW, window=2, temperature=0.3)).signals
    maps = target.cosines(references[0].plain.vectors)
    for point in range(1, len(POINTS)):
        (x, y), scores = best_cells(maps)[point].tolist(), maps[point].double().numpy()
        inside = {(r, c) for r in range(y - 2, y + 3) for c in range(x - 2, x + 3) if 0 <= r < 8 and 0 <= c < 10}
        outside = [scores[r, c] for r in range(8) for c in range(10) if (r, c) not in inside]
        weights = np.array([np.exp(scores[cell] / 0.3) for cell in inside])
        weights /= weights.sum()
        assert found.peak[point] == pytest.approx(scores[y, x])
        assert found.lead[point] == pytest.approx(scores[y, x] - max(outside, default=0.0), abs=1e-6)
        assert found.entropy[point] == pytest.approx(-(weights * np.log(weights)).sum() / np.log(len(inside)), abs=1e-6)


@pytest.mark.parametrize("how", [Refinement(flip=True), CELL, BEST])
def test_the_order_of_references_does_not_matter(how):
    references, target = several()
    forth, back = locate(references, target, how), locate(references[::-1], target, how)
    assert forth.flipped.tolist() == [False, how.flip, False]
    same(forth, back)
    np.testing.assert_array_equal(forth.flipped, back.flipped[::-1])


def test_points_that_one_reference_shows_are_found_as_by_it_alone():
    base = smooth_map(0)
    some = centres((1, 1), HIDDEN, HIDDEN), centres((2, 4), (6, 6), HIDDEN)
    references = [Reference.of(cells(noisy(base, seed)), points) for seed, points in enumerate(some)]
    target = cells(noisy(base, 9))
    together, alone = locate(references, target, WINDOW), locate(references[1:], target, WINDOW)
    np.testing.assert_allclose(together.points[1], alone.points[1])
    assert together.signals.peak[1] == pytest.approx(alone.signals.peak[1])
    assert np.isfinite(together.signals.references).tolist() == [True, False, False]


def test_points_that_none_shows_are_nowhere():
    references, target = several()
    points = np.where(np.arange(5)[:, None] == 4, np.nan, POINTS)
    references = [Reference.of(own.plain.cells, points, own.flipped.cells) for own in references]
    found = locate(references, target, BEST, channels=(48, 16))
    assert np.isnan(found.points).all(axis=1).tolist() == [False] * 4 + [True]
    for field in fields(Signals):
        known = np.isfinite(getattr(found.signals, field.name))
        assert known.tolist() == ([False] * 5 if field.name == "rounds" else [True] * 4 + [False]), field.name


@pytest.mark.parametrize("how", [BEST, Refinement()])
@pytest.mark.parametrize("points", [np.full((3, 2), np.nan), np.zeros((0, 2))])
def test_references_without_a_point_find_nothing(points, how):
    photo = cells(random_map(0, 8, *GRID))
    found = locate([Reference.of(photo, points, photo)] * 2, photo, how, channels=(4, 4))
    assert found.points.shape == points.shape
    assert np.isnan(found.points).all()
    assert len(found.signals) == len(points)
    assert len(found.signals[np.zeros(len(points), bool)]) == 0


def test_one_point_and_one_cell_will_do():
    photo = cells(random_map(0, 8, 1, 1))
    found = locate([Reference.of(photo, np.array([[3.0, 4.0]]), photo)], photo, BEST, channels=(4, 4))
    np.testing.assert_allclose(found.points, [[5.0, 5.0]])
    assert found.signals.lead == pytest.approx(found.signals.peak)
    assert found.signals.entropy == 0


def test_without_a_reference_it_says_so():
    photo = cells(random_map(0, 8, *GRID))
    with pytest.raises(InvalidInput, match="give one or more annotated photos"):
        locate([], photo)
    with pytest.raises(InvalidInput, match="the flip test needs the mirror image"):
        locate([Reference.of(photo, POINTS)], photo, Refinement(flip=True))


def test_a_mirrored_copy_of_the_target_is_matched_from_its_mirror_image():
    seen, turned = two_views()
    reference, target = Reference.of(cells(seen), POINTS, cells(turned)), cells(turned)
    found = locate([reference], target, replace(CELL, flip=True))
    assert found.flipped.tolist() == [True]
    np.testing.assert_allclose(found.points, mirror_points(POINTS, SIZE[1]))
    np.testing.assert_array_equal(found.signals.cycle, 0)
    np.testing.assert_allclose(found.signals.peak, 1, atol=1e-6)
    plain = locate([reference], target, CELL)
    assert plain.flipped.tolist() == [False]
    assert (plain.signals.peak < 0.9).all()
    np.testing.assert_allclose(plain.signals.flip, np.linalg.norm(plain.points - found.points, axis=1) / 100)


@pytest.mark.parametrize("seed", range(3))
def test_of_equal_views_the_plain_is_kept(seed):
    seen, turned = two_views(seed)
    symmetric = seen + seen.flip(2)
    for own, mirrored in ((seen, turned), (symmetric, symmetric.flip(2))):
        photo = cells(own)
        found = locate([Reference.of(photo, POINTS, cells(mirrored))], photo, replace(CELL, flip=True))
        assert found.flipped.tolist() == [False]


LEFT, RIGHT = 0, 1
SWAP = (RIGHT, LEFT, 2)
SIDED = centres((1, 2), (7, 3), (4, 6))


def sided(points: np.ndarray, noise: float = 0.0) -> Reference:
    plain, mirrored = (cells(noisy(own, 5, noise)) for own in two_views())
    return Reference.of(plain, points, mirrored, SWAP)


def test_in_a_mirror_image_left_and_right_change_places():
    seen, turned = map(cells, two_views())
    how = replace(CELL, flip=True)
    np.testing.assert_allclose(locate([sided(SIDED)], seen, how).points, SIDED)
    np.testing.assert_allclose(locate([sided(SIDED)], turned, how).points, mirror_points(SIDED, 100)[list(SWAP)])


def test_a_point_whose_partner_is_hidden_is_found_from_the_photo_itself():
    reference = sided(np.where(np.arange(3)[:, None] == RIGHT, np.nan, SIDED))
    assert reference.flipped.known.tolist() == [False, True, True]
    found = locate([reference], cells(two_views()[1]), replace(CELL, flip=True))
    assert found.flipped.tolist() == [True]
    np.testing.assert_allclose(found.points[LEFT], mirror_points(SIDED, SIZE[1])[LEFT])
    assert np.isnan(found.points[RIGHT]).all()
    assert np.isfinite(found.signals.flip).tolist() == [False, False, True]  # the photo votes in either view


def test_a_point_that_only_a_mirror_image_shows_has_no_vote():
    whole, half = sided(SIDED), sided(np.where(np.arange(3)[:, None] == RIGHT, np.nan, SIDED), 0.3)
    target, how = cells(two_views()[1]), replace(CELL, flip=True)
    found, alone = locate([whole, half], target, how), locate([whole], target, how)
    assert found.flipped.all()
    assert found.signals.peak[RIGHT] == pytest.approx(alone.signals.peak[RIGHT])
    np.testing.assert_allclose(found.points[RIGHT], alone.points[RIGHT])


def test_agreement_is_measured_in_longer_sides():
    """Two references, or two parts, or two views, that say two places."""
    eye = torch.eye(4)[:, None, :]  # four cells in a row, each of its own kind: a photo of 10 x 40 pixels
    target = cells(eye)
    ends = cells(torch.stack([eye[:, :, 0], eye[:, :, 3]], dim=2)), np.array([[5.0, 5.0]]), np.array([[15.0, 5.0]])
    references = [Reference.of(ends[0], point) for point in ends[1:]]
    assert locate(references, target, CELL).signals.references == pytest.approx((0 + 30) / 40 / 2)

    joined = cells(torch.cat([eye, eye.flip(2)]))
    first = Reference.of(cells(torch.cat([eye[:, :, :1], eye[:, :, :1]])), ends[1])
    assert locate([first], joined, CELL, channels=(4, 4)).signals.parts == pytest.approx(15 / 40)
    assert np.isnan(locate([first], joined, CELL, channels=(8,)).signals.parts).all()

    other = Reference.of(cells(eye), ends[1], cells(eye))  # as if the mirror image looked the same
    assert locate([other], target, CELL).signals.flip == pytest.approx(30 / 40)


def test_an_arrangement_corrects_a_match_and_says_how_far_matches_are_from_it():
    points = centres((1, 1), (7, 2), (3, 6), (8, 5), (5, 3))
    features = random_map(0, 32, *GRID)
    reference = Reference.of(cells(features), points)
    target = features.clone()
    target[:, 6, 9], target[:, 1, 1] = (
        features[:, 1, 1],
        0.95 * features[:, 1, 1] + 0.1 * random_map(1, 32, 8, 10)[:, 0, 0],
    )
    photo = cells(target)
    stray, home = (locate([reference], photo, replace(WINDOW, shape=shape)) for shape in (0.0, 20.0))
    np.testing.assert_allclose(stray.points[0], centres((9, 6))[0], atol=0.1)
    np.testing.assert_allclose(home.points, points, atol=0.5)
    assert np.isnan(stray.signals.shape).all()
    assert home.signals.shape.max() < 0.01


def test_everything_is_made_on_the_device_of_the_reading():
    """With another default device, whatever forgets to ask where the reading is fails."""
    references, target = several()
    expected = locate(references, target, BEST, channels=(48, 16))
    with torch.device("meta"):
        again = [cells(own.cells.reading.feature()) for one in references for own in one.views]
        points = [own.plain.points for own in references]
        references = [Reference.of(*own) for own in zip(again[::2], points, again[1::2], strict=True)]
        same(locate(references, cells(target.reading.feature()), BEST, channels=(48, 16)), expected)
        for how in (Refinement(sampling="floor"), replace(BEST, masking="zero")):
            assert np.isfinite(locate(references, target, replace(how, flip=True)).points).all()


def test_windows_and_weights_agree_with_each_other():
    maps = torch.rand(3, 6, 7, generator=torch.Generator().manual_seed(0))
    weights = softmax(maps.double().masked_fill(~near_best(maps, 2), -torch.inf), 0.1)
    torch.testing.assert_close(weights.sum(dim=(1, 2)), torch.ones(3, dtype=torch.float64))
    assert torch.equal(weights > 0, near_best(maps, 2))


@pytest.fixture(scope="module")
def world():
    """What the bundled model sees in two world pictures and the mirror image of the first, and what they show."""
    reader = ModelReader.open("pocket", device="cpu", dtype="float32", ensemble=1)
    scenes = [make_scene(RESERVED + seed, 128, kinds=("bird",)) for seed in (0, 1)]
    pictures = [load_picture(scene.image) for scene in scenes]
    read = [Cells.of(own) for own in reader.read([*pictures, mirror(pictures[0])])]
    return read, [scene.objects[0] for scene in scenes]


def test_on_world_pictures(world):
    (first, second, mirrored), (here, there) = world
    how = refinement("best", {}, flip=True)
    points = np.where(here.visible[:, None], here.keypoints, np.nan)
    reference = Reference.of(first, points, mirrored)
    cell = 128 / first.grid[0]

    itself, turned, other = (locate([reference], target, how) for target in (first, mirrored, second))
    assert itself.flipped.tolist() == [False]
    assert np.nanmax(np.abs(itself.points - points)) < cell
    assert np.nanmax(itself.signals.cycle) < cell / 128
    assert turned.flipped.tolist() == [True]
    assert np.nanmax(np.abs(turned.points - mirror_points(points, 128))) < cell

    x0, y0, x1, y1 = there.box
    far = np.linalg.norm(other.points - there.keypoints, axis=1)[here.visible & there.visible]
    assert (far <= 0.1 * max(x1 - x0, y1 - y0)).mean() >= 0.6
    assert np.nanmean(other.signals.peak) < np.nanmean(itself.signals.peak)

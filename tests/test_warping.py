from __future__ import annotations

import cv2
import numpy as np
import pytest

from diffsight.grid import centre_matrix
from diffsight.warping import PlaneWarp, SmoothWarp, compose, enlargement, jacobians, premultiply, warp_layer
from diffsight.world import make_scene

PLANE = np.array([[1.2, -0.15, 5.0], [0.2, 1.15, -8.0], [1e-3, -5e-4, 1.0]])


@pytest.fixture
def photo():
    return make_scene(1, 60, 80).image


def test_a_plane_equals_opencv_in_its_convention(photo):
    layer = warp_layer(premultiply(photo), PlaneWarp(PLANE, (40, 30)), (70, 90))
    expected = cv2.warpPerspective(photo, centre_matrix(PLANE), (90, 70))
    inside = cv2.erode((layer[..., 3] > 0.999).astype(np.uint8), np.ones((5, 5))) > 0
    assert inside.sum() > 1000
    off = np.abs(layer[..., :3][inside] * 255 - expected[inside].astype(float))
    assert np.percentile(off, 99) < 6
    assert off.mean() < 1


def test_the_identity_changes_nothing(photo):
    for warp in (PlaneWarp(np.eye(3), (40, 30)), SmoothWarp(*[np.array([[5.0, 5], [70, 9], [8, 50], [60, 55]])] * 2)):
        layer = warp_layer(premultiply(photo), warp, (60, 80))
        np.testing.assert_allclose(layer[2:-2, 2:-2, :3] * 255, photo[2:-2, 2:-2], atol=1)
        np.testing.assert_array_equal(compose(layer, np.zeros_like(photo))[5:-5, 5:-5], photo[5:-5, 5:-5])


def test_nothing_shows_beyond_the_horizon(photo):
    steep = np.array([[1.0, 0, 0], [0, 1, 0], [0.02, 0, 1.0]])  # its horizon is x = 50 in the target
    layer = warp_layer(premultiply(photo), PlaneWarp(steep, (40, 30)), (60, 120))
    assert layer[:, :40, 3].any()
    assert not layer[:, 51:].any()
    behind = PlaneWarp(steep, (40, 30)).forward(np.array([[-60.0, 3], [10, 3]]))
    assert np.isnan(behind[0]).all()
    assert np.isfinite(behind[1]).all()


def test_a_smooth_warp_carries_colours_with_its_controls(photo):
    rng = np.random.default_rng(0)
    source = np.array([[x, y] for x in (5.0, 30, 50, 75) for y in (5.0, 30, 55)])
    warp = SmoothWarp(source, source + rng.uniform(-3, 3, source.shape) + 10)
    layer = warp_layer(premultiply(photo), warp, (90, 110))
    smooth = cv2.blur(photo, (5, 5)).astype(float)
    moved = cv2.blur(layer[..., :3], (5, 5)) * 255
    for (x, y), (u, v) in zip(source.astype(int), warp.target.astype(int), strict=True):
        assert np.abs(moved[v, u] - smooth[y, x]).max() < 45


def test_alpha_is_composited_without_fringes():
    sticker = np.zeros((40, 40, 4), np.uint8)
    sticker[..., 1] = 255  # what is transparent is green, and must not show
    sticker[10:30, 10:30] = (255, 0, 0, 255)
    white = np.full((40, 40, 3), 255, np.uint8)
    for scale in (0.37, 0.9, 2.3):
        zoom = np.diag([scale, scale, 1.0])
        mixed = compose(warp_layer(premultiply(sticker), PlaneWarp(zoom, (20, 20)), (40, 40)), white)
        assert (mixed[..., 0] == 255).all()
        np.testing.assert_array_equal(mixed[..., 1], mixed[..., 2])  # on the way from red to white, nowhere greener
    half = np.dstack([np.full((4, 4, 3), 200, np.uint8), np.full((4, 4), 51, np.uint8)])
    np.testing.assert_array_equal(compose(premultiply(half), np.full((4, 4, 3), 100, np.uint8)), 120)


def test_thin_lines_survive_shrinking():
    lines = np.zeros((200, 200, 4), np.uint8)
    lines[::8] = 255
    layer = warp_layer(premultiply(lines), PlaneWarp(np.diag([0.1, 0.1, 1.0]), (100, 100)), (20, 20))
    alpha = layer[..., 3]
    assert alpha.min() > 0.09  # each row covers one line or two of ten
    assert alpha.mean() == pytest.approx(1 / 8, abs=0.01)


def test_derivatives_by_hand():
    mask = np.zeros((50, 60), bool)
    mask[10:40, 20:50] = True
    changes = jacobians(mask, PlaneWarp(np.array([[2.0, 1, 3], [0, 3, 4], [0, 0, 1]]), (30, 25)))
    np.testing.assert_allclose(changes, np.broadcast_to([[2, 1], [0, 3]], changes.shape), atol=1e-9)
    np.testing.assert_allclose(enlargement(changes), 6)
    mirror = jacobians(mask, PlaneWarp(np.diag([-1.0, 1, 1]), (30, 25)))
    np.testing.assert_allclose(enlargement(mirror), -1)
    assert len(jacobians(np.zeros((5, 5), bool), PlaneWarp(np.eye(3), (2, 2)))) == 0
    assert len(jacobians(np.eye(50, dtype=bool)[:, ::-1] & False | (np.arange(50) == 7), PlaneWarp(np.eye(3), (2, 2))))

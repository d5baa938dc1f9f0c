from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from diffsight.errors import InvalidInput, UnreadableFile
from diffsight.grid import Fit
from diffsight.images import load_picture, network_input, resize

RED = np.zeros((6, 9, 3), np.uint8) + np.array([200, 10, 20], np.uint8)


def test_the_same_photo_from_everywhere(tmp_path):
    Image.fromarray(RED).save(tmp_path / "a.png")
    sources = [
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        Image.fromarray(RED),
        RED,
        torch.from_numpy(RED).permute(2, 0, 1),
        RED.astype(np.float64) / 255,
        RED.astype(np.uint16) * 257,
    ]
    for source in sources:
        picture = load_picture(source)
        assert picture.size == (6, 9)
        np.testing.assert_array_equal(picture.array(), RED)


def test_exif_orientation_is_applied(tmp_path):
    image = Image.fromarray(RED)
    exif = image.getexif()
    exif[0x0112] = 6  # turned a quarter
    image.save(tmp_path / "a.jpg", exif=exif)
    assert load_picture(tmp_path / "a.jpg").size == (9, 6)


def test_alpha_is_composited_on_white(tmp_path):
    clear = np.dstack([RED, np.zeros(RED.shape[:2], np.uint8)])
    Image.fromarray(clear).save(tmp_path / "a.png")
    assert (load_picture(tmp_path / "a.png").array() == 255).all()
    veil = np.dstack([RED, np.full(RED.shape[:2], 128, np.uint8)])
    Image.fromarray(veil).save(tmp_path / "b.png")
    expected = RED * (128 / 255) + 255 * (1 - 128 / 255)
    for photo in (tmp_path / "b.png", veil):
        assert np.abs(load_picture(photo).array() - expected).max() <= 1
    half = np.dstack([np.zeros_like(RED), np.full(RED.shape[:2], 128, np.uint8)])
    assert abs(int(load_picture(half).array()[0, 0, 0]) - 127) <= 1
    grey_alpha = Image.merge("LA", (Image.new("L", (4, 4), 0), Image.new("L", (4, 4), 0)))
    assert (load_picture(grey_alpha).array() == 255).all()


def test_palette_transparency_is_white(tmp_path):
    image = Image.fromarray(RED).quantize(4)
    image.save(tmp_path / "a.png", transparency=image.getpixel((0, 0)))
    assert (load_picture(tmp_path / "a.png").array() == 255).all()


def test_sixteen_bits_keep_their_range(tmp_path):
    ramp = np.linspace(0, 65535, 54).reshape(6, 9).astype(np.uint16)
    Image.fromarray(ramp).save(tmp_path / "a.png")
    image = load_picture(tmp_path / "a.png").image
    assert image.shape == (3, 6, 9)
    np.testing.assert_allclose(image[0], ramp / 65535, atol=1e-6)


def test_cmyk_grey_bool_and_animation(tmp_path):
    Image.fromarray(RED).convert("CMYK").save(tmp_path / "a.jpg")
    assert np.abs(load_picture(tmp_path / "a.jpg").array().astype(int) - RED).max() < 12
    assert load_picture(RED[..., 0]).image.shape == (3, 6, 9)
    assert load_picture(RED[..., 0] > 5).image.max() == 1
    frames = [Image.fromarray(RED), Image.fromarray(255 - RED)]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert load_picture(tmp_path / "a.gif").array()[0, 0, 0] > 150


def test_bad_files_are_named(tmp_path):
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "text.jpg").write_text("no picture")
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(tmp_path / "whole.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:900])
    for name, reason in (
        ("missing.jpg", "does not exist"),
        ("", "is a folder"),
        ("empty.jpg", "is empty"),
        ("text.jpg", "not a photo"),
        ("cut.jpg", "damaged or cut off"),
    ):
        with pytest.raises(UnreadableFile, match=reason):
            load_picture(tmp_path / name)


@pytest.mark.parametrize(
    "photo",
    [
        np.zeros((3, 4, 5, 6)),
        np.zeros((4, 4, 2)),
        np.zeros((0, 4, 3)),
        np.full((4, 4), 2.0),
        np.full((4, 4), np.nan),
        np.zeros((4, 4), np.int64),
        torch.zeros(4, 4),
        42,
    ],
)
def test_bad_arrays_are_refused(photo):
    with pytest.raises(InvalidInput):
        load_picture(photo)


def test_resize_agrees_with_pil(rng):
    photo = rng.integers(60, 195, (97, 61, 3), np.uint8)  # older versions cut off what overshoots between the axes
    ours = resize(torch.from_numpy(photo).permute(2, 0, 1), 40, 50).permute(1, 2, 0) * 255
    pil = np.asarray(Image.fromarray(photo).resize((50, 40), Image.Resampling.BICUBIC)).astype(float)
    assert np.abs(ours.numpy() - pil).max() < 1.5


def test_layouts(rng):
    picture = load_picture(rng.random((20, 40, 3)))
    stretched = network_input(picture, Fit.make("stretch", (20, 40), (16, 16)))
    padded = network_input(picture, Fit.make("pad", (20, 40), (16, 16)))
    cropped = network_input(picture, Fit.make("crop", (20, 40), (16, 16)))
    assert stretched.shape == padded.shape == cropped.shape == (3, 16, 16)
    assert (padded[:, :4] == 0.5).all()
    assert (padded[:, 12:] == 0.5).all()
    middle = load_picture(picture.image[:, :, 10:30])
    torch.testing.assert_close(cropped, network_input(middle, Fit.make("stretch", (20, 20), (16, 16))))


@pytest.mark.parametrize("size", [(1, 1), (3, 20000), (20000, 3)])
@pytest.mark.parametrize("kind", ["stretch", "pad", "crop"])
def test_extreme_sizes(size, kind):
    picture = load_picture(np.zeros((*size, 3), np.uint8))
    assert network_input(picture, Fit.make(kind, size, (64, 64))).shape == (3, 64, 64)


def test_a_read_only_array_is_copied_without_a_warning(recwarn, rng):
    array = rng.integers(0, 255, (4, 5, 3), np.uint8)
    array.flags.writeable = False
    picture = load_picture(array)
    np.testing.assert_array_equal(picture.array(), array)
    assert not recwarn.list


def test_names_with_nul_and_damaged_pil_images_are_refused(tmp_path, rng):

    with pytest.raises(UnreadableFile, match="cannot be opened"):
        load_picture("a\0b.jpg")
    Image.fromarray(rng.integers(0, 255, (60, 60, 3), np.uint8)).save(tmp_path / "a.jpg")
    (tmp_path / "b.jpg").write_bytes((tmp_path / "a.jpg").read_bytes()[:900])
    with pytest.raises(UnreadableFile, match="PIL"):
        load_picture(Image.open(tmp_path / "b.jpg"))

from __future__ import annotations

import torch

from diffsight.backbones.pixels import PixelBlocks


def test_decoding_undoes_encoding():
    pixels = torch.rand(2, 3, 8, 12, generator=torch.Generator().manual_seed(0)) * 2 - 1
    blocks = PixelBlocks(2, 0.15)
    posterior = blocks(pixels)
    assert posterior.mean.shape == (2, 12, 4, 6)
    assert not posterior.std.any()
    torch.testing.assert_close(blocks.decode(posterior.mean), pixels, atol=1e-5, rtol=0)


def test_grey_has_no_colour_and_colour_is_quiet():
    blocks = PixelBlocks(2, 0.15)
    grey = blocks(torch.full((1, 3, 2, 2), 0.5)).mean[0, :, 0, 0]
    torch.testing.assert_close(grey, torch.tensor([0.5] * 4 + [0.0] * 8))
    red = blocks(torch.tensor([1.0, -1.0, -1.0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)).mean[0, :, 0, 0]
    torch.testing.assert_close(red, torch.tensor([-1 / 3] * 4 + [0.15] * 4 + [-0.075] * 4))


def test_saved_and_loaded_is_the_same(tmp_path):
    PixelBlocks(4, 0.3).save_pretrained(tmp_path)
    again = PixelBlocks.from_pretrained(tmp_path)
    assert (again.stride, again.chroma) == (4, 0.3)

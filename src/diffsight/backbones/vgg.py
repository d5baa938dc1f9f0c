"""VGG-19 (Simonyan and Zisserman, 2014, arXiv 1409.1556): its convolutions, as older methods read them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from textwrap import shorten

import torch
from torch import Tensor, nn

from ..types import Capture, Posterior, Taps
from .base import Card, Tap, TapTable
from .capture import run_tapped
from .colours import IMAGENET_MEAN, IMAGENET_STD, check_sides, normalise
from .fingerprint import weight_digest
from .loading import refusing
from .textless import Noiseless
from .weights.files import read_state

LEVELS = (2, 2, 4, 4, 4)
"""Convolutions at each size; a pooling follows each level."""

BLOCKS = tuple(f"{level}_{number}" for level, count in enumerate(LEVELS, 1) for number in range(1, count + 1))
"""``1_1`` to ``5_4``: a convolution and its rectifier."""

RELATIVES = {8: "VGG-11", 10: "VGG-13", 13: "VGG-16", 16: "VGG-19 with batch normalisation"}
"""What else has such weights, by the number of convolutions."""


def vgg19(widths: Sequence[int]) -> nn.Sequential:
    """The convolutional part, in the order of torchvision's ``features``, with layers named as in the paper's code.

    Args:
        widths: output channels of each of ``BLOCKS``; 64 to 512 in the original.
    """
    network = nn.Sequential()
    channels = 3
    for block, width in zip(BLOCKS, widths, strict=True):
        level, number = map(int, block.split("_"))
        network.add_module(f"conv{block}", nn.Conv2d(channels, width, kernel_size=3, padding=1))
        network.add_module(f"relu{block}", nn.ReLU(inplace=True))
        if number == LEVELS[level - 1]:
            network.add_module(f"pool{level}", nn.MaxPool2d(2))
        channels = width
    return network


class VggBackbone(Noiseless):
    """A frozen VGG-19, read at its rectifiers ``relu1_1`` to ``relu5_4`` and poolings ``pool1`` to ``pool5``.

    Both sides of the input must be multiples of 32, so that every stage's cells cover it exactly.

    Args:
        card: what the model is.
        network: from ``vgg19``.
        device, dtype: where and in which number format it runs.
    """

    multiple = 2 ** len(LEVELS)

    def __init__(self, card: Card, network: nn.Sequential, device: torch.device, dtype: torch.dtype) -> None:
        self.card = card
        self.network = nn.Module.to(network.eval().requires_grad_(False), device, dtype)
        self.device = device
        self.dtype = dtype
        self.widths = [part.out_channels for part in network if isinstance(part, nn.Conv2d)]
        self.taps = _tap_table(self.widths)

    @cached_property
    def fingerprint(self) -> str:
        """A short digest of number format and every weight's sums."""
        return weight_digest(self.network, f"vgg-19 {self.dtype}")

    def encode(self, pixels: Tensor) -> Posterior:
        """Normalise (B, 3, H, W) in [0, 1] by ImageNet's colours.

        Raises:
            InvalidInput: if a side is not a multiple of 32.
        """
        check_sides(pixels, self.multiple)
        return normalise(pixels.to(self.device), IMAGENET_MEAN, IMAGENET_STD)

    def read(self, latent: Tensor, timestep: int, context: Tensor, taps: Taps) -> Capture:
        """Run one pass on normalised pixels (B, 3, H, W), as far as the taps need it; timestep and context say nothing.

        Returns:
            (B, channels, H / stride, W / stride) for each stage.
        """
        return run_tapped(self.network, self.taps, taps, lambda: self.network(latent.to(self.device, self.dtype)))

    def untrained(self, seed: int = 0) -> VggBackbone:
        """The same architecture with random weights."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = vgg19(self.widths)
        return VggBackbone(replace(self.card, name=f"untrained {self.card.name}"), network, self.device, self.dtype)

    def row_bytes(self, height: int, width: int, taps: Taps) -> int:
        """About how much memory one row of a pass takes, for an input of (height, width) times 32 pixels."""
        first = 4 * self.widths[0] * self.dtype.itemsize + 2 * 4 * 3
        kept = sum(4 * tap.channels / tap.stride**2 for tap in self.taps.features if tap.name in taps.features)
        return int(height * width * self.multiple**2 * (first + kept))


def _tap_table(widths: Sequence[int]) -> TapTable:
    features = []
    for block, width in zip(BLOCKS, widths, strict=True):
        level, number = map(int, block.split("_"))
        features.append(Tap(f"relu{block}", f"relu{block}", width, 2 ** (level - 1)))
        if number == LEVELS[level - 1]:
            features.append(Tap(f"pool{level}", f"pool{level}", width, 2**level))
    return TapTable(tuple(features), ())


def load_vgg(path: Path, card: Card, device: torch.device, dtype: torch.dtype) -> VggBackbone:
    """Build VGG-19 from a state dict, a ``.safetensors`` or a ``.pth`` file that is read for its weights only.

    Layers are called as in torchvision (``features.0.weight``) or by block (``conv1_1.weight``); a classifier is left
    out. The weights must be for colours in [0, 1] normalised by ImageNet's, as torchvision's are: files converted from
    Caffe, which read blue first in 0 to 255, look the same and would be read wrongly.

    Raises:
        ModelUnavailable: if the file is missing, damaged, or of another architecture.
    """
    state = read_state(path)
    with refusing(f"VGG-19 in {path}", "give torchvision's vgg19 weights as .safetensors or .pth"):
        convolutions = _convolutions(state)
        with torch.device("meta"):
            network = vgg19([len(convolutions[f"conv{block}.weight"]) for block in BLOCKS])
        network.load_state_dict(convolutions, assign=True)
        return VggBackbone(card, network, device, dtype)


def _convolutions(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The weights of ``vgg19``, from whichever layout they are in."""
    positions = {f"features.{i}": name for i, (name, _) in enumerate(vgg19([1] * len(BLOCKS)).named_children())}
    named = {}
    for key, weight in state.items():
        layer, _, kind = key.rpartition(".")
        named[f"{positions.get(layer, layer)}.{kind}"] = weight
    wanted = [f"conv{block}.{kind}" for block in BLOCKS for kind in ("weight", "bias")]
    if missing := [key for key in wanted if key not in named]:
        found = RELATIVES.get(sum(w.ndim == 4 for w in state.values()))
        holds = f"it looks like {found}" if found else f"it holds {shorten(', '.join(state), 100, placeholder=' ...')}"
        raise ValueError(f"{holds}, and lacks {missing[0]}")
    return {key: named[key] for key in wanted}

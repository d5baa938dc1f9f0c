"""Maps without the trace of where a cell lies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..device import derive_seed
from ..errors import InvalidInput
from ..grid import Fit, Size
from ..types import Picture, Reading
from .base import Reader, digest

BLANKS = 16
"""Pictures without content from which directions of position are learnt."""


class Debiased:
    """Takes out of a reader's maps what tells where a cell lies rather than what it shows.

    Networks carry the position along, in directions that a linear map reads off (arXiv 2504.07008, for diffusion). They
    are learnt from pictures without content, half of one colour, half noise: the mean of their maps, centred over its
    cells, varies with the place alone, and its first right singular vectors are projected away. That is done once, at
    the first read.

    Args:
        reader: what reads.
        rank: how many directions are taken out; 0 leaves maps as they are.

    Raises:
        InvalidInput: for a rank below 0, or not below the number of channels.
    """

    def __init__(self, reader: Reader, rank: int = 20) -> None:
        channels = sum(reader.channels)
        if not 0 <= rank < channels:
            raise InvalidInput(f"rank {rank} does not suit maps of {channels} channels; use 0 to {channels - 1}")
        self.reader = reader
        self.rank = rank
        self._basis: Tensor | None = None

    @property
    def name(self) -> str:
        """The reader's name."""
        return self.reader.name

    @property
    def fingerprint(self) -> str:
        """Of the reader and what is taken out."""
        return digest(self.reader.fingerprint, self.rank, BLANKS)

    @property
    def channels(self) -> tuple[int, ...]:
        """The reader's."""
        return self.reader.channels

    @property
    def refine(self) -> dict[str, Any]:
        """The reader's."""
        return self.reader.refine

    @property
    def record(self) -> dict[str, Any]:
        """The reader's, with the rank."""
        return {**self.reader.record, "debias": self.rank}

    def fit(self, picture: Picture) -> Fit:
        """How a photo will be laid out."""
        return self.reader.fit(picture)

    def read(self, pictures: Sequence[Picture]) -> list[Reading]:
        """Read each photo once."""
        readings = self.reader.read(pictures)
        basis = self.basis()
        return [Reading(r.fit, r.capture.apply(lambda features: remove(features, basis))) for r in readings]

    def basis(self) -> Tensor:
        """(C, rank) orthonormal directions of position; blanks are read when it is first asked for.

        Raises:
            InvalidInput: if maps have too few cells for as many directions.
        """
        if self._basis is None:
            size = self.reader.fit(Picture(torch.zeros(3, 64, 64))).network
            maps = [reading.feature() for reading in self.reader.read(blanks(size))]
            self._basis = position_basis(torch.stack(maps).mean(dim=0), self.rank)
        return self._basis


def position_basis(features: Tensor, rank: int) -> Tensor:
    """The first right singular vectors of a (C, h, w) map that is centred over its cells, as (C, rank).

    Raises:
        InvalidInput: if the map has no more cells than ``rank``.
    """
    cells = features.double().flatten(1).T
    if rank >= len(cells):
        raise InvalidInput(f"rank {rank} does not suit maps of {len(cells)} cells; use a lower one")
    return torch.linalg.svd(cells - cells.mean(dim=0), full_matrices=False).Vh[:rank].T.float()


def remove(features: Tensor, basis: Tensor) -> Tensor:
    """A (C, h, w) map without what lies along an orthonormal (C, rank) basis."""
    return features - torch.einsum("cr,dr,dhw->chw", basis, basis, features)


def blanks(size: Size) -> list[Picture]:
    """Pictures of (height, width) that show nothing, by turns of one colour and of noise; always the same ones."""
    pictures = []
    for number in range(BLANKS):
        generator = torch.Generator().manual_seed(derive_seed("blank", number))
        grain = size if number % 2 else (1, 1)
        pictures.append(Picture(torch.rand(3, *grain, generator=generator).expand(3, *size)))
    return pictures

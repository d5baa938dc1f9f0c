"""What a collection holds: whose features, in what form."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from ..errors import InvalidInput, UnreadableFile
from ..files import save_json
from ..grid import Size
from ..readers import Reader

FORMAT = 1
Numbers = Literal["int8", "float16"]
"""How a component of a unit vector is stored."""

STEPS = 127
"""Of an int8 component, from 0 to 1."""


@dataclass(frozen=True)
class Manifest:
    """The facts that all photos of a collection share; written once.

    Attributes:
        model: the reader's name.
        fingerprint: the reader's.
        channels: of its maps, before they are projected.
        dims: components a cell.
        numbers: how they are stored.
        grid: (h, w) cells of a photo.
        basis: digest of the file of axes.
        opened: how the reader was opened, for commands that open it again.
        format: version of this layout.
    """

    model: str
    fingerprint: str
    channels: int
    dims: int
    numbers: Numbers
    grid: Size
    basis: str
    opened: dict[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def dtype(self) -> torch.dtype:
        """Of stored components."""
        return torch.int8 if self.numbers == "int8" else torch.float16

    @property
    def photo_bytes(self) -> int:
        """Of one photo's vectors."""
        return self.grid[0] * self.grid[1] * self.dims * self.dtype.itemsize

    @property
    def raw_bytes(self) -> int:
        """Of one photo's whole map in fp16."""
        return self.grid[0] * self.grid[1] * self.channels * 2

    def pack(self, features: Tensor) -> Tensor:
        """A (D, h, w) map of unit vectors as it is stored, (cells, D)."""
        vectors = features.flatten(1).T
        return (vectors * STEPS).round().to(torch.int8) if self.numbers == "int8" else vectors.half()

    @property
    def steps(self) -> int:
        """The number that stands for a component of 1."""
        return STEPS if self.numbers == "int8" else 1

    def unpack(self, vectors: Tensor) -> Tensor:
        """Stored vectors as float32."""
        return vectors.float() / self.steps

    def check(self, reader: Reader, folder: Path) -> None:
        """Refuse a reader whose features are not the ones kept.

        Raises:
            InvalidInput: for another model, or the same one at other weights, number format or settings.
        """
        if reader.name != self.model:
            raise InvalidInput(
                f"{folder} was built with {self.model}, not with {reader.name}; use --model {self.model}, or build "
                "another collection"
            )
        if reader.fingerprint != self.fingerprint:
            raise InvalidInput(
                f"{folder} was built with {self.model} at other weights, number format or settings (fingerprint "
                f"{self.fingerprint[:8]}, now {reader.fingerprint[:8]}); use the same ones, or build another collection"
            )

    def save(self, path: Path) -> None:
        """Write it."""
        save_json(asdict(self), path)

    @classmethod
    def load(cls, path: Path) -> Manifest:
        """Read it.

        Raises:
            UnreadableFile: if it is missing, damaged or of another version.
        """
        try:
            facts = json.loads(path.read_text())
            if facts["format"] != FORMAT:
                raise UnreadableFile(f"{path} is of format {facts['format']}, this version reads {FORMAT}; update")
            if facts["numbers"] not in get_args(Numbers):
                raise ValueError(f"unknown numbers {facts['numbers']!r}")
            return cls(**{**facts, "grid": tuple(facts["grid"])})
        except FileNotFoundError:
            raise UnreadableFile(
                f"{path.parent} is no collection (it has no {path.name}); make one with `diffsight collect build`"
            ) from None
        except UnreadableFile:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UnreadableFile(f"{path} is damaged ({error}); build the collection anew") from None

"""Files of some thousand photos' vectors. Each says itself which photos it holds, and its name ends in its digest."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UnreadableFile
from ..files import atomic
from ..grid import Fit

PHOTOS = 2048
"""Of a full shard."""


@dataclass(frozen=True)
class Entry:
    """One photo of a collection.

    Attributes:
        name: unique in its collection.
        path: where the photo was found.
        digest: of the photo's file.
        fit: how it was laid out for the network.
        check: digest of its vectors.
        shard: the file that has them, in the order of the entries.
    """

    name: str
    path: str
    digest: str
    fit: Fit
    check: str = ""
    shard: str = ""

    def facts(self) -> dict[str, Any]:
        """Plain values, for a file."""
        own = {key: value for key, value in vars(self).items() if key != "fit"}
        return {**own, **asdict(self.fit)}

    @classmethod
    def from_facts(cls, facts: dict[str, Any]) -> Entry:
        """The inverse of ``facts``."""
        fit = Fit(*(tuple(facts[key]) for key in ("original", "network", "scale", "offset")))
        return cls(facts["name"], facts["path"], facts["digest"], fit, facts["check"], facts["shard"])


def digest(data: bytes, size: int = 16) -> str:
    """A short digest of bytes."""
    return hashlib.blake2b(data, digest_size=size).hexdigest()


def number(name: str) -> int:
    """A shard's place in the order of writing."""
    return int(name.split("-")[0])


def is_shard(path: Path) -> bool:
    """Whether a file is named as shards are."""
    return path.suffix == ".safetensors" and path.name.split("-")[0].isdigit()


def write(folder: Path, order: int, entries: Sequence[Entry], vectors: Tensor) -> list[Entry]:
    """Write photos' (N, cells, D) vectors, whole or not at all; returns the entries as they are in the new shard."""
    from safetensors.torch import save

    vectors = vectors.contiguous()
    rows = [replace(e, check=digest(v.numpy().tobytes(), 8)) for e, v in zip(entries, vectors, strict=True)]
    about = json.dumps([{**row.facts(), "shard": ""} for row in rows], separators=(",", ":"))
    data = save({"vectors": vectors}, metadata={"photos": about})
    name = f"{order:06d}-{digest(data)}.safetensors"
    with atomic(folder / name) as part:
        part.write_bytes(data)
    return [replace(row, shard=name) for row in rows]


def load(path: Path) -> Tensor:
    """The (N, cells, D) vectors, mapped from the file.

    Raises:
        UnreadableFile: if the file is missing or damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return file.get_tensor("vectors")
    except (OSError, SafetensorError) as error:
        raise UnreadableFile(
            f"{path} is missing or damaged ({error}); run `diffsight collect repair {path.parents[1]}`"
        ) from None


def is_whole(path: Path) -> bool:
    """Whether a shard has the digest that its name tells."""
    with path.open("rb") as file:
        found = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return path.stem.split("-")[-1] == found


def rescue(path: Path) -> tuple[list[Entry], Tensor]:
    """Every photo of a damaged or cut-off shard whose own vectors are whole.

    Returns:
        The entries and their (n, cells, D) vectors; none if the head of the file is damaged.
    """
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    try:
        head = json.loads(data[8:start])
        rows = [Entry.from_facts({**facts, "shard": path.name}) for facts in json.loads(head["__metadata__"]["photos"])]
        _, cells, dims = head["vectors"]["shape"]
        dtype = {"I8": torch.int8, "F16": torch.float16}[head["vectors"]["dtype"]]
    except (ValueError, KeyError, TypeError):
        return [], torch.empty(0)
    size = cells * dims * dtype.itemsize
    parts = [data[start + i * size : start + (i + 1) * size] for i in range(len(rows))]
    whole = [i for i, part in enumerate(parts) if digest(part, 8) == rows[i].check]
    kept = np.frombuffer(bytearray(b"".join(parts[i] for i in whole)), np.uint8)
    return [rows[i] for i in whole], torch.from_numpy(kept).view(dtype).view(-1, cells, dims)

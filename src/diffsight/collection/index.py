"""Which photos a collection has: one table, replaced whole, that decides what counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path

from ..errors import UnreadableFile
from ..files import atomic
from .shards import Entry


@dataclass(frozen=True)
class Index:
    """The photos, shard by shard in the order of writing.

    A shard that is not listed was either never finished with (its number is ``following`` or above) or is no longer
    wanted (below).

    Attributes:
        entries: all photos; those of one shard in its own order.
        following: the number of the next shard.
    """

    entries: list[Entry] = field(default_factory=list)
    following: int = 0

    @property
    def names(self) -> dict[str, Entry]:
        """Photos by name."""
        return {entry.name: entry for entry in self.entries}

    @property
    def digests(self) -> dict[str, Entry]:
        """Photos by the digest of their file."""
        return {entry.digest: entry for entry in self.entries}

    def shards(self) -> Iterator[tuple[str, list[Entry]]]:
        """Each shard's file name and photos."""
        for name, rows in groupby(self.entries, key=lambda entry: entry.shard):
            yield name, list(rows)

    def save(self, path: Path) -> None:
        """Write it, whole or not at all."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        numbers = pa.list_(pa.float64())
        schema = pa.schema(
            [(key, pa.string()) for key in ("name", "path", "digest", "check", "shard")]
            + [(key, pa.list_(pa.int32())) for key in ("original", "network")]
            + [("scale", numbers), ("offset", numbers)],
            metadata={"following": str(self.following)},
        )
        table = pa.Table.from_pylist([entry.facts() for entry in self.entries], schema)
        with atomic(path) as part:
            pq.write_table(table, part, compression="zstd")

    @classmethod
    def load(cls, path: Path) -> Index:
        """Read it.

        Raises:
            UnreadableFile: if it is missing or damaged.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:  # read_table would load all of pyarrow's data sets first
                table = file.read()
            following = int(table.schema.metadata[b"following"])
            return cls([Entry.from_facts(row) for row in table.to_pylist()], following)
        except (OSError, pa.ArrowException, KeyError, TypeError, ValueError) as error:
            raise UnreadableFile(
                f"{path} is missing or damaged ({str(error).splitlines()[0]}); "
                f"run `diffsight collect repair {path.parent}`"
            ) from None

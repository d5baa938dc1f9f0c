"""What is remembered of a file from a plain address, in a small file beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ...files import atomic


@dataclass(frozen=True)
class Receipt:
    """What its server said of a file.

    Attributes:
        etag: the server's name for this content, if it gave one.
        size: bytes, if the server said so.
        sha256: of the file once it had arrived whole.
    """

    etag: str | None = None
    size: int | None = None
    sha256: str | None = None

    @classmethod
    def of(cls, path: Path) -> Receipt:
        """The receipt of a file; an empty one if there is none, or it is not as it was written."""
        try:
            facts = json.loads(receipt_path(path).read_text())
            return cls(**facts)
        except (OSError, ValueError, TypeError):
            return cls()

    def keep(self, path: Path) -> None:
        """Write it beside the file.

        Raises:
            OutputFailed: if the folder cannot be written.
        """
        with atomic(receipt_path(path)) as part:
            part.write_text(json.dumps(asdict(self), indent=1) + "\n")

    def tells_same(self, other: Receipt) -> bool:
        """Whether both surely are of the same content."""
        return self.etag is not None and (self.etag, self.size) == (other.etag, other.size)


def receipt_path(path: Path) -> Path:
    """Where the receipt of a file lies."""
    return path.with_name(f"{path.name}.json")

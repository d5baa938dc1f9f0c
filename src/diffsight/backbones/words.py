"""A small learned text encoder: a table with one row a word, mixed with its neighbours.

It answers the same calls as a CLIP text encoder does in a Stable Diffusion folder (tokenise, encode, load from and save
to a folder), so a backbone needs no second path for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import InvalidInput
from ..files import save_tensors

START, END = "<start>", "<end>"
FILLERS = frozenset(
    {"a", "an", "the", "of", "on", "in", "and", "with", "facing", "photo", "picture", "image", "is", "at", "its"}
)
"""Words without content: they are skipped, so that "a photo of a bird" and "bird" mean the same."""


def split_words(text: str) -> list[tuple[str, tuple[int, int]]]:
    """The words of a text that have content, in lower case, with their first and last + 1 character."""
    matches = re.finditer(r"[^\W\d_]+", text.lower())
    return [(match[0], match.span()) for match in matches if match[0] not in FILLERS]


class WordTable(nn.Module):
    """Text in, context out: (N,) strings to (N, length, width).

    Every row gets the embedding of its word and its place; a convolution over five words then lets a noun know its
    adjectives.

    Args:
        words: the vocabulary, without the start and end marks.
        width: channels of the context.
        length: rows of the context; longer texts are cut.
    """

    def __init__(self, words: Sequence[str], width: int = 128, length: int = 32) -> None:
        super().__init__()
        self.words = (START, END, *words)
        self.index = {word: i for i, word in enumerate(self.words)}
        self.length = length
        self.table = nn.Embedding(len(self.words), width)
        self.place = nn.Parameter(0.02 * torch.randn(length, width))
        self.mix = nn.Conv1d(width, width, kernel_size=5, padding=2)

    def tokenize(self, texts: Sequence[str]) -> Tensor:
        """Turn texts into (N, length) word numbers: a start mark, the words, end marks.

        Raises:
            InvalidInput: for a word outside the vocabulary.
        """
        rows = []
        for text in texts:
            found = [word for word, _ in split_words(text)]
            unknown = [word for word in found if word not in self.index]
            if unknown:
                raise InvalidInput(
                    f"this model does not know the word {unknown[0]!r} in the prompt {text!r}; "
                    f"it knows: {', '.join(sorted(self.words[2:]))}"
                )
            ids = [0, *(self.index[word] for word in found)][: self.length]
            rows.append(ids + [1] * (self.length - len(ids)))
        return torch.tensor(rows)

    def forward(self, ids: Tensor) -> Tensor:
        """Embed (N, length) word numbers as (N, length, width)."""
        rows = self.table(ids) + self.place
        return rows + self.mix(rows.transpose(1, 2)).transpose(1, 2)

    @property
    def config(self) -> dict[str, object]:
        """What ``from_pretrained`` needs besides the weights."""
        return {"words": list(self.words[2:]), "width": self.table.embedding_dim, "length": self.length}

    def save_pretrained(self, folder: Path | str) -> None:
        """Write ``config.json`` and ``model.safetensors`` into a folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(self.config, indent=1) + "\n")
        save_tensors(self.state_dict(), folder / "model.safetensors")

    @classmethod
    def from_pretrained(cls, folder: Path | str) -> WordTable:
        """Read what ``save_pretrained`` wrote."""
        from safetensors.torch import load_file

        folder = Path(folder)
        config = json.loads((folder / "config.json").read_text())
        table = cls(config["words"], config["width"], config["length"])
        table.load_state_dict(load_file(folder / "model.safetensors"))
        return table

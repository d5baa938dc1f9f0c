"""What is learnt, as a value and as a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from ...errors import UnreadableFile
from ...files import save_tensors
from ...grid import Points
from .settings import PromptSettings


@dataclass(frozen=True)
class PromptEmbeddings:
    """Embeddings learnt on one photo, good for any other photo read by the same network.

    Attributes:
        points: (N, 2) as (x, y) in pixels of that photo.
        vectors: (N, rounds, tokens, channels) float32.
        losses: (N, rounds) of the last step.
        settings: what they were learnt with.
        photo: digest of the photo's frame.
        fingerprint: of the network.
    """

    points: Points
    vectors: Tensor
    losses: Tensor
    settings: PromptSettings
    photo: str
    fingerprint: str

    def __len__(self) -> int:
        return len(self.points)

    def save(self, path: Path) -> None:
        """Write a safetensors file, whole or not at all."""
        facts = {"settings": asdict(self.settings), "photo": self.photo, "fingerprint": self.fingerprint}
        tensors = {"points": torch.from_numpy(self.points), "vectors": self.vectors, "losses": self.losses}
        save_tensors(tensors, path, {"prompt": json.dumps(facts)})

    @classmethod
    def load(cls, path: Path) -> PromptEmbeddings:
        """Read a file written by ``save``.

        Raises:
            UnreadableFile: if it is missing, damaged or something else.
        """
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as handle:
                facts = json.loads((handle.metadata() or {})["prompt"])
                tensors = {name: handle.get_tensor(name) for name in ("points", "vectors", "losses")}
            own = facts["settings"]
            settings = PromptSettings(**{**own, "layers": tuple(own["layers"])})
            points = tensors["points"].numpy()
            return cls(points, tensors["vectors"], tensors["losses"], settings, facts["photo"], facts["fingerprint"])
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:120]
            raise UnreadableFile(
                f"{path} holds no prompt embeddings ({reason}); give a file written by `diffsight prompt learn`"
            ) from None

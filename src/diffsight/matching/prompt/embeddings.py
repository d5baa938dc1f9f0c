"""What is learnt, as a value and as a file."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from ...backbones.base import Backbone
from ...errors import InvalidInput, UnreadableFile
from ...files import save_tensors
from ...grid import Points
from ...types import Picture
from .frame import Frame
from .settings import PRESETS, PromptSettings

POINT = "point"
"""What ``PromptEmbeddings.target`` is for a Gaussian at a point."""


@dataclass(frozen=True)
class PromptEmbeddings:
    """Embeddings learnt on one photo, good for any other photo read by the same network.

    Attributes:
        points: (N, 2) as (x, y) in pixels of that photo.
        vectors: (N, rounds, tokens, channels) float32.
        losses: (N, rounds) of the last step.
        settings: what they were learnt with.
        photo: digest of the photo's frame.
        target: what the maps were asked to become: ``point``, or the digest of a region.
        fingerprint: of the network.
    """

    points: Points
    vectors: Tensor
    losses: Tensor
    settings: PromptSettings
    photo: str
    fingerprint: str
    target: str = POINT

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, keep: slice) -> PromptEmbeddings:
        return replace(self, points=self.points[keep], vectors=self.vectors[keep], losses=self.losses[keep])

    def save(self, path: Path) -> None:
        """Write a safetensors file, whole or not at all."""
        facts = {
            "settings": asdict(self.settings),
            "photo": self.photo,
            "fingerprint": self.fingerprint,
            "target": self.target,
        }
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
            names = (facts[name] for name in ("photo", "fingerprint", "target"))
            return cls(tensors["points"].numpy(), tensors["vectors"], tensors["losses"], settings, *names)
        except (OSError, KeyError, TypeError, ValueError, SafetensorError) as error:
            reason = " ".join(str(error).split())[:120]
            raise UnreadableFile(
                f"{path} holds no prompt embeddings ({reason}); give a file written by `diffsight prompt learn`"
            ) from None


def read_released(path: Path, backbone: Backbone, picture: Picture) -> PromptEmbeddings:
    """Embeddings saved by the paper's released code (``correspondence_data_XXX.pt``), to be read like our own.

    Args:
        path: a dictionary of tensors: ``contexts`` (K, rounds, 1, tokens, channels), and ``src_kps`` (..., 2, N >= K)
            in pixels of the frame that the photo was squeezed into.
        backbone: the network that they were learnt with; the file does not tell.
        picture: the photo that they were learnt on.

    Raises:
        UnreadableFile: if it is missing, damaged, something else, or holds objects that would run code.
        InvalidInput: if the network reads embeddings of another shape.
    """
    from pickle import UnpicklingError

    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
        vectors = found["contexts"].float().squeeze(2)
        points = found["src_kps"].double().reshape(2, -1).T[: len(vectors)]
    except (OSError, UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, AttributeError, IndexError) as error:
        reason = " ".join(str(error).split())[:120]
        raise UnreadableFile(
            f"{path} holds no embeddings of the released code ({reason}); give a correspondence_data_XXX.pt"
        ) from None
    shape = tuple(backbone.context([""]).shape[1:])
    if vectors.ndim != 4 or tuple(vectors.shape[2:]) != shape or len(points) != len(vectors):
        raise InvalidInput(
            f"{path} holds embeddings of shape {tuple(vectors.shape)} for {len(points)} points; {backbone.card.name} "
            f"reads (points, rounds, {shape[0]}, {shape[1]})"
        )
    settings = PRESETS["hedlin"]
    frame = Frame(backbone, picture, settings)
    losses = torch.full(vectors.shape[:2], float("nan"))
    own = frame.to_photo(points.numpy())
    return PromptEmbeddings(own, vectors, losses, settings, frame.digest, backbone.fingerprint)

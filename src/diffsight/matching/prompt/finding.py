"""Finding: what learnt embeddings light up in another photo."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...backbones.base import Backbone
from ...errors import InvalidInput
from ...grid import Fit
from ...probe import MEMORY
from ...types import Matches, Picture
from ..confidence import Signals
from .embeddings import PromptEmbeddings
from .frame import Frame, read_attention, rows_within, seeded
from .learning import start_vector
from .loss import gaussian_profiles, upsampling
from .settings import PromptSettings, check_settings

LOOSE_START = 4
"""A target is first read in its four corners; later crops follow the peak found so far."""


@dataclass(frozen=True)
class Located:
    """Where embeddings light up in a photo.

    Attributes:
        matches: the points; ``score`` is the attention there, 0 to 1.
        maps: (N, side, side) score over the frame.
        spread: (N,) how far the rounds' own peaks lie from the found point, root mean square, pixels of the photo.
        signals: what speaks for and against each match: the spread alone.
    """

    matches: Matches
    maps: Tensor
    spread: npt.NDArray[np.float64]
    signals: Signals


@torch.no_grad()
def locate(
    backbone: Backbone,
    embeddings: PromptEmbeddings,
    picture: Picture,
    settings: PromptSettings | None = None,
    *,
    memory: int = MEMORY,
    force: bool = False,
) -> Located:
    """Find the points that embeddings were learnt for in another photo.

    Args:
        backbone: the network that they were learnt with.
        embeddings: from ``optimise`` or a file.
        picture: the photo to search.
        settings: of the reading; those of the learning if left out.
        memory: budget of a pass, and of the maps that are held, bytes.
        force: read embeddings of another network, or of another number format, all the same.

    Raises:
        InvalidInput: for another network, unless forced.
    """
    settings = embeddings.settings if settings is None else settings
    if embeddings.fingerprint != backbone.fingerprint and not force:
        raise InvalidInput(
            f"these embeddings were learnt with another network than {backbone.card.name} (fingerprint "
            f"{embeddings.fingerprint[:8]}, not {backbone.fingerprint[:8]}); load the model they were learnt with, in "
            "the same number format, or force it"
        )
    layers = check_settings(backbone, settings)
    frame = Frame(backbone, picture, settings)
    rounds = embeddings.vectors.shape[1]
    held = 4 * (len(layers) + 1) * settings.size**2 * rounds
    together = max(1, memory // held)
    rows = rows_within(frame, layers, memory)
    groups = [embeddings.vectors[i : i + together] for i in range(0, len(embeddings), together)]
    parts = [_search(frame, group, layers, rows) for group in groups]
    peaks, maps, heights, round_peaks = (torch.cat(own) for own in zip(*parts, strict=True))
    found = peaks.double()
    if settings.combine == "median":
        found = round_peaks.double().median(dim=1).values
    around = frame.to_photo(round_peaks.double().flatten(0, 1).numpy()).reshape(round_peaks.shape)
    matches = Matches(embeddings.points, frame.to_photo(found.numpy()), heights.double().numpy())
    distances = np.linalg.norm(around - matches.matched[:, None], axis=2)
    spread = np.sqrt(np.square(distances).mean(axis=1))
    return Located(matches, maps, spread, Signals.of(len(matches), rounds=spread / max(picture.size)))


def _search(
    frame: Frame, vectors: Tensor, layers: Sequence[str], at_once: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Peaks (K, 2), maps (K, S, S), attention at the peaks (K,), and the rounds' own peaks (K, rounds, 2)."""
    settings, side = frame.settings, frame.side
    count, rounds = vectors.shape[:2]
    rows = vectors.flatten(0, 1).to(frame.backbone.device)
    total = torch.zeros(len(rows), len(layers), side, side)
    hits = torch.zeros(len(rows), 1, side, side)
    corners = np.array([(0, 0), (0, side), (side, 0), (side, side)], float)
    for number in range(settings.crops):
        seed = ("read", number)
        if number < LOOSE_START:
            places = np.broadcast_to(corners[number], (len(rows), 2))
        else:
            places = _peaks((total / hits.clamp(min=1)).mean(dim=1)).numpy()
        starts = [frame.draw(place, seeded(settings.seed, frame.digest, *seed, "crop")) for place in places]
        maps = read_attention(frame, starts, settings.read_timestep, rows, layers, [seed] * len(rows), at_once)
        for layer, own in enumerate(maps):
            spread = upsampling(own.shape[-1], frame.crop).float()
            large = spread @ own @ spread.T
            for i, (x, y) in enumerate(starts):
                total[i, layer, y : y + frame.crop, x : x + frame.crop] += large[i]
        for i, (x, y) in enumerate(starts):
            hits[i, 0, y : y + frame.crop, x : x + frame.crop] += 1
    mean = total / hits.clamp(min=1)
    round_peaks = _peaks(mean.mean(dim=1)).unflatten(0, (count, rounds))
    combined = mean.unflatten(0, (count, rounds)).mean(dim=1)
    heights = combined.mean(dim=1)
    if settings.pixel_softmax:
        combined = combined.flatten(2).softmax(dim=2).unflatten(2, (side, side))
    maps_mean = combined.mean(dim=1)
    peaks = _peaks(maps_mean)
    columns, lines = peaks.long().unbind(dim=1)
    return peaks, maps_mean, heights[torch.arange(count), lines, columns], round_peaks


def _peaks(maps: Tensor) -> Tensor:
    """The centre (x, y) of the highest pixel of (B, S, S) maps, the first in reading order."""
    index = maps.flatten(1).argmax(dim=1)
    side = maps.shape[-1]
    return torch.stack([index % side, index // side], dim=1) + 0.5


def layer_maps(
    backbone: Backbone, embeddings: PromptEmbeddings, picture: Picture, *, memory: int = MEMORY
) -> dict[str, Tensor]:
    """The maps of the photo that embeddings were learnt on, before and after, by layer, without crops.

    Args:
        backbone: the network that they were learnt with.
        embeddings: of the photo.
        picture: the photo.
        memory: budget of a pass, bytes.

    Returns:
        For each layer (N, 2, n, n): the mean over rounds at the random start, and as learnt.
    """
    settings = replace(embeddings.settings, crop=1.0, offsets=0)
    layers = check_settings(backbone, settings)
    frame = Frame(backbone, picture, settings)
    count, rounds, *shape = embeddings.vectors.shape
    points = [tuple(point) for point in embeddings.points.tolist()]
    start = torch.stack(
        [start_vector(settings, embeddings.photo, point, turn, shape) for point in points for turn in range(rounds)]
    )
    pairs, at_once = [], rows_within(frame, layers, memory)
    for vectors in (start, embeddings.vectors.flatten(0, 1)):
        rows = vectors.to(backbone.device)
        starts, seeds = [(0, 0)] * len(rows), [("look",)] * len(rows)
        own = read_attention(frame, starts, settings.fit_timestep, rows, layers, seeds, at_once)
        pairs.append([m.unflatten(0, (count, rounds)).mean(dim=1) for m in own])
    return {layer: torch.stack([before, after], dim=1) for layer, before, after in zip(layers, *pairs, strict=True)}


def target_maps(embeddings: PromptEmbeddings, picture: Picture) -> Tensor:
    """The Gaussians that the maps of the photo were asked to become, over the whole of it; (N, side, side)."""
    settings = embeddings.settings
    size = (settings.size, settings.size)
    places = Fit.make("stretch", picture.size, size).to_grid(embeddings.points, size) + 0.5
    profiles = gaussian_profiles(
        torch.from_numpy(places), settings.size, settings.sigma * settings.size, settings.half_pixel
    )
    return profiles[:, 1, :, None] * profiles[:, 0, None]

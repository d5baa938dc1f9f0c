"""Learning: Adam on the embeddings of some points, the network frozen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ...backbones.base import Backbone
from ...errors import DiffsightError, InvalidInput
from ...images import network_input
from ...probe import MEMORY, out_of_memory
from ...types import Picture
from .embeddings import POINT, PromptEmbeddings
from .frame import Frame, attention, rows_within, seeded
from .loss import Target, gaussian_target, map_loss, mask_target
from .settings import PRESETS, PromptSettings, check_settings, map_sides

GRADIENT = 8
"""How many times the memory of a reading a pass takes whose activations are kept for its gradient."""


@dataclass(frozen=True)
class Step:
    """How far learning has come.

    Attributes:
        number: steps done, of all points learnt so far.
        total: steps in all.
        loss: mean of the last step; NaN if there was none.
        finished: all that is finished; None after a step that finished nothing.
    """

    number: int
    total: int
    loss: float
    finished: PromptEmbeddings | None


def optimise(
    backbone: Backbone,
    picture: Picture,
    points: npt.ArrayLike,
    settings: PromptSettings = PRESETS["default"],
    *,
    region: npt.NDArray[np.bool_] | None = None,
    known: PromptEmbeddings | None = None,
    memory: int = MEMORY,
) -> Iterator[PromptEmbeddings]:
    """Learn an embedding for each point of a photo; yields all that are finished, each time some are.

    Shows its progress; see ``steps`` for what it takes and raises.
    """
    from tqdm import tqdm

    with tqdm(desc="learning", unit="step", delay=2, leave=False) as bar:
        for step in steps(backbone, picture, points, settings, region=region, known=known, memory=memory):
            bar.total = step.total
            bar.update(step.number - bar.n)
            bar.set_postfix(loss=f"{step.loss:.5f}")
            if step.finished is not None:
                yield step.finished


def steps(
    backbone: Backbone,
    picture: Picture,
    points: npt.ArrayLike,
    settings: PromptSettings = PRESETS["default"],
    *,
    region: npt.NDArray[np.bool_] | None = None,
    known: PromptEmbeddings | None = None,
    memory: int = MEMORY,
) -> Iterator[Step]:
    """Learn an embedding for each point of a photo, and say after each step how far it is.

    Results do not depend on which points are learnt together, up to the rounding of batched arithmetic.

    Args:
        backbone: a loaded network.
        picture: the photo.
        points: (N, 2) as (x, y) in its pixels.
        settings: how.
        region: (H, W) mask of the photo that the maps shall become instead of a Gaussian; then the one point says where
            crops must be, and is left to the caller (the middle of the region).
        known: finished earlier with the same settings, photo and network; its points are not learnt again.
        memory: budget of a step in bytes; points and rounds are batched within it.

    Raises:
        InvalidInput: for points outside the photo, settings that the network cannot follow, or ``known`` of another
            photo, settings or network.
        DiffsightError: if the loss is no longer a number; what was yielded before is good.
    """
    layers = check_settings(backbone, settings)
    frame = Frame(backbone, picture, settings)
    array = frame.fit.check_points(points)
    if len(array) == 0:
        raise InvalidInput("no points given; give at least one x,y")
    if region is not None and (region.shape != picture.size or not region.any()):
        raise InvalidInput(f"the region has shape {region.shape}; it must be {picture.size} and not empty")
    mask = None if region is None else _squeeze(region, frame)
    target = POINT if region is None else hashlib.blake2b(region.tobytes(), digest_size=16).hexdigest()
    shape = backbone.context([""]).shape[1:]
    done: dict[tuple[float, float], tuple[Tensor, Tensor]] = {}
    if known is not None:
        for what, one, other in (
            ("on another photo", known.photo, frame.digest),
            ("with other settings", known.settings, settings),
            ("for another target", known.target, target),
            ("by another network or in another number format", known.fingerprint, backbone.fingerprint),
        ):
            if one != other:
                raise InvalidInput(f"the embeddings to go on from were learnt {what}; start anew, in another file")
        for (x, y), vector, loss in zip(known.points.tolist(), known.vectors, known.losses, strict=True):
            done[x, y] = vector, loss
    waiting = [point for point in dict.fromkeys(map(tuple, array.tolist())) if point not in done]
    chunk = rows_within(frame, layers, memory // GRADIENT)
    together = max(1, chunk // settings.rounds)

    def finished() -> PromptEmbeddings:
        kept = [point for point in dict.fromkeys(map(tuple, array.tolist())) if point in done]
        vectors, losses = (torch.stack([done[point][i] for point in kept]) for i in (0, 1))
        return PromptEmbeddings(np.array(kept), vectors, losses, settings, frame.digest, backbone.fingerprint, target)

    if done and not waiting:
        yield Step(0, 0, float("nan"), finished())
    groups = [waiting[i : i + together] for i in range(0, len(waiting), together)]
    total = len(groups) * settings.steps
    for turned, group in enumerate(groups):
        rows = [(point, turn) for point in group for turn in range(settings.rounds)]
        start = torch.stack([start_vector(settings, frame.digest, point, turn, shape) for point, turn in rows])
        descent = _descend(frame, rows, start, layers, mask, chunk)
        for taken, (vectors, losses) in enumerate(descent, start=1):
            last = taken == settings.steps
            for i, point in enumerate(group if last else []):
                own = slice(i * settings.rounds, (i + 1) * settings.rounds)
                done[point] = vectors[own], losses[own]
            number = turned * settings.steps + taken
            yield Step(number, total, float(losses.mean()), finished() if last else None)


def _descend(
    frame: Frame,
    rows: Sequence[tuple[tuple[float, ...], int]],
    start: Tensor,
    layers: Sequence[str],
    mask: Tensor | None,
    chunk: int,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Adam on some rows, ``chunk`` in a pass; after each step their embeddings, and losses of the step."""
    settings, device = frame.settings, frame.backbone.device
    sizes = set(map_sides(frame.backbone, settings))
    vectors = start.to(device).requires_grad_()
    optimiser = torch.optim.Adam([vectors], lr=settings.rate)
    places = frame.to_frame(np.array([point for point, _ in rows]))
    for step in range(settings.steps):
        starts = [
            frame.draw(place, seeded(settings.seed, frame.digest, *row, step, "crop"))
            for place, row in zip(places, rows, strict=True)
        ]
        relative = (torch.from_numpy(places) - torch.tensor(starts)) * (frame.side / frame.crop)
        if mask is None:
            target = gaussian_target(relative, frame.side, settings.sigma * frame.side, sizes, settings.half_pixel)
        else:
            target = mask_target(torch.stack([_window(mask, s, frame) for s in starts]), sizes)
        target = Target({n: p.to(device) for n, p in target.projected.items()}, target.norm.to(device))
        seeds = [(*row, step, "noise") for row in rows]
        found = []
        first = 0
        while first < len(rows):
            part = slice(first, first + chunk)
            try:
                maps = attention(frame, starts[part], settings.fit_timestep, vectors[part], layers, seeds[part])
                own = Target({n: p[part] for n, p in target.projected.items()}, target.norm[part])
                loss = map_loss(maps, own, frame.side)
                loss.sum().backward()
            except (RuntimeError, MemoryError) as error:
                if not out_of_memory(error) or chunk == 1:
                    raise
                chunk = max(1, chunk // 2)
                continue
            found.append(loss.detach().float().cpu())
            first += chunk
        losses = torch.cat(found)
        if not losses.isfinite().all() or vectors.grad is None or not vectors.grad.isfinite().all():
            raise DiffsightError(
                f"the loss is no longer a number at step {step + 1} of {settings.steps}; points finished before are "
                "kept; use a lower rate or float32"
            )
        if settings.rows == "supervised":
            keep = torch.zeros_like(vectors)
            keep[:, settings.token] = 1
            vectors.grad *= keep
        optimiser.step()
        optimiser.zero_grad()
        yield vectors.detach().cpu(), losses


def start_vector(
    settings: PromptSettings, photo: str, point: tuple[float, ...], turn: int, shape: Sequence[int]
) -> Tensor:
    """The random embedding that a round starts from, (tokens, channels)."""
    return torch.randn(tuple(shape), generator=seeded(settings.seed, photo, point, turn, "start"))


def _squeeze(region: npt.NDArray[np.bool_], frame: Frame) -> Tensor:
    picture = Picture(torch.from_numpy(region.astype(np.float32))[None].expand(3, -1, -1))
    return network_input(picture, frame.fit)[0]


def _window(mask: Tensor, start: tuple[int, int], frame: Frame) -> Tensor:
    x, y = start
    window = mask[None, None, y : y + frame.crop, x : x + frame.crop]
    return F.interpolate(window, (frame.side, frame.side), mode="bilinear", align_corners=False)[0, 0]

"""Prompt matching: a text embedding whose cross-attention lights up a point, read on any other photo.

Hedlin et al., NeurIPS 2023, arXiv 2305.15581. Nothing in the network is trained. Distances in settings are fractions of
the frame, the square that photos are squeezed into; positions in the frame are in its pixels, the centre of the first at
0.5.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from ..backbones.base import Backbone, TapTable
from ..device import derive_seed
from ..errors import DiffsightError, InvalidInput, UnreadableFile
from ..files import save_tensors
from ..grid import Fit, Points
from ..images import network_input
from ..probe import MEMORY, out_of_memory
from ..types import Heads, Matches, Picture, Taps

Mode = Literal["exact", "frozen_queries"]
Noise = Literal["gaussian", "uniform", "none"]

LOOSE_START = 4
"""A target is first read in its four corners; later crops follow the peak found so far."""


@dataclass(frozen=True)
class PromptSettings:
    """Settings of learning and reading; the defaults are the paper's description, ``hedlin`` the released code.

    Attributes:
        size: side of the frame, pixels.
        layers: cross-attention layers; if empty, those of the coarsest stage on the way up and the first of the next.
        heads: which heads are averaged.
        token: whose map is asked for.
        rows: which tokens of the embedding are learnt: all, or the supervised one only.
        noise: its distribution. The released code's is uniform in [0, 1), which the model was not trained on.
        fit_timestep, read_timestep: noise index while learning and while reading.
        rounds: embeddings a point, each from its own random start.
        steps, rate: of Adam.
        sigma: of the Gaussian that the map shall become.
        half_pixel: the centre of the first pixel is at 0.5; the released code puts the Gaussian's at 0.
        crop: side of the random crops.
        margin: least distance of the point from a crop's border where the frame allows it, as a share of the crop.
        crops: of a target, when reading.
        offsets: places a side that crops start from, so that a photo is encoded ``offsets ** 2`` times at most; 0 for
            any place, encoded anew every time.
        pixel_softmax: each layer's map goes through a softmax over pixels before they are averaged.
        combine: the mean of the rounds' maps, or the median of their peaks.
        mode: ``exact``; or ``frozen_queries``, an approximation that ignores how an embedding changes the features it
            is compared with, and costs a fraction.
        seed: of all draws; equal seeds give equal results.
    """

    size: int = 512
    layers: tuple[str, ...] = ()
    heads: Heads = "all"
    token: int = 1
    rows: Literal["all", "supervised"] = "all"
    noise: Noise = "gaussian"
    fit_timestep: int = 140
    read_timestep: int = 140
    rounds: int = 5
    steps: int = 129
    rate: float = 0.0023755632081200314
    sigma: float = 27.97853316316864 / 512
    half_pixel: bool = True
    crop: float = 0.9316549294381423
    margin: float = 0.15
    crops: int = 20
    offsets: int = 6
    pixel_softmax: bool = True
    combine: Literal["mean", "median"] = "mean"
    mode: Mode = "exact"
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("steps", "rounds", "crops", "size"):
            if getattr(self, name) < 1:
                raise InvalidInput(f"{name} is {getattr(self, name)}; use 1 or more")
        for name in ("sigma", "rate"):
            if not getattr(self, name) > 0:
                raise InvalidInput(f"{name} is {getattr(self, name)}; it must be above 0")
        if not 0 < self.crop <= 1:
            raise InvalidInput(f"crop is {self.crop}; it must be above 0 and at most 1 (the whole photo)")
        if not 0 <= self.margin < 0.5:
            raise InvalidInput(f"margin is {self.margin}; it must be at least 0 and below 0.5")
        if self.offsets < 0 or self.offsets == 1:
            raise InvalidInput(f"offsets is {self.offsets}; use 2 or more a side, or 0 for any")
        choices = {"heads": Heads, "noise": Noise, "mode": Mode}
        for name, kind in choices.items():
            if getattr(self, name) not in get_args(kind):
                raise InvalidInput(f"unknown {name} {getattr(self, name)!r}; use {', '.join(get_args(kind))}")


PRESETS = {
    "default": PromptSettings(),
    "hedlin": PromptSettings(heads="last_half", noise="uniform", read_timestep=40, offsets=0, half_pixel=False),
}
"""The paper's description, and what the released code does."""


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


@dataclass(frozen=True)
class Located:
    """Where embeddings light up in a photo.

    Attributes:
        matches: the points; ``score`` is the attention there, 0 to 1. Nothing is matched back: ``mutual`` is true.
        maps: (N, side, side) score over the frame.
        spread: (N,) how far the rounds' own peaks lie from the found point, root mean square, pixels of the photo.
    """

    matches: Matches
    maps: Tensor
    spread: npt.NDArray[np.float64]


def default_layers(table: TapTable) -> tuple[str, ...]:
    """The layers of the coarsest stage on the way up that has attention, and the first of the next.

    For Stable Diffusion at 512 px these are ``up1.a0``, ``up1.a1``, ``up1.a2`` (16x16) and ``up2.a0`` (32x32).
    """
    rising = [tap for tap in table.attention if tap.name.startswith("up")]
    coarsest = max(tap.stride for tap in rising)
    first = [tap.name for tap in rising if tap.stride == coarsest]
    return (*first, *[tap.name for tap in rising if tap.stride < coarsest][:1])


@cache
def upsampling(cells: int, pixels: int) -> Tensor:
    """The (pixels, cells) matrix of linear interpolation with half-pixel centres, float64."""
    basis = torch.eye(cells, dtype=torch.float64)[None]
    return F.interpolate(basis, pixels, mode="linear", align_corners=False)[0].T.contiguous()


def start_range(point: float, side: int, crop: int, margin: int) -> tuple[int, int]:
    """Least and greatest start of a crop along an axis that keeps ``point`` off its border where the frame allows."""
    free, pixel = side - crop, int(point)
    return min(max(0, pixel - crop + margin), free), min(max(0, pixel - margin), free)


@dataclass(frozen=True)
class _Target:
    """What the maps of some rows shall look like at the frame's size, known by its products only.

    Attributes:
        projected: for each side of a map, U^T T U: (B, n, n).
        norm: (B,) sum of T squared.
    """

    projected: dict[int, Tensor]
    norm: Tensor


def gaussian_target(points: Tensor, side: int, sigma: float, sizes: Sequence[int], half_pixel: bool = True) -> _Target:
    """Gaussians of peak 1 at (B, 2) points (x, y) of the frame, ``sigma`` pixels wide."""
    centres = torch.arange(side, dtype=torch.float64) + (0.5 if half_pixel else 0.0)
    along = torch.exp(-0.5 * ((centres - points.double()[..., None]) / sigma) ** 2)  # (B, 2, side)
    x, y = along[:, 0], along[:, 1]
    projected = {n: (y @ upsampling(n, side))[:, :, None] * (x @ upsampling(n, side))[:, None] for n in sizes}
    return _Target(projected, x.square().sum(dim=1) * y.square().sum(dim=1))


def mask_target(masks: Tensor, sizes: Sequence[int]) -> _Target:
    """(B, side, side) masks of the frame, 1 inside."""
    masks = masks.double()
    operators = {n: upsampling(n, masks.shape[-1]) for n in sizes}
    return _Target({n: u.T @ masks @ u for n, u in operators.items()}, masks.square().sum(dim=(1, 2)))


def map_loss(maps: Sequence[Tensor], target: _Target, side: int) -> Tensor:
    """Mean squared difference of each layer's upsampled map and the target, averaged over layers; (B,).

    With U the upsampling and G = U^T U, |U A U^T - T|^2 = <A, G A G> - 2 <A, U^T T U> + |T|^2, so that no map of the
    frame's size is formed. In double precision, as the terms nearly cancel.

    Args:
        maps: (B, n, n) for each layer.
        target: at the frame's size.
        side: of the frame.
    """
    total = torch.zeros_like(target.norm)
    for own in maps:
        attention = own.double()
        operator = upsampling(own.shape[-1], side).to(own.device)
        gram = operator.T @ operator
        seen = (attention * (gram @ attention @ gram)).sum(dim=(1, 2))
        total = total + seen - 2 * (attention * target.projected[own.shape[-1]]).sum(dim=(1, 2)) + target.norm
    return total / (len(maps) * side**2)


class _Frame:
    """A photo squeezed into a square, and the latents of its crops."""

    def __init__(self, backbone: Backbone, picture: Picture, settings: PromptSettings) -> None:
        self.backbone, self.settings, self.side = backbone, settings, settings.size
        self.fit = Fit.make("stretch", picture.size, (self.side, self.side))
        self.pixels = network_input(picture, self.fit)
        self.digest = hashlib.blake2b(self.pixels.numpy().tobytes(), digest_size=16).hexdigest()
        self.crop = int(self.side * settings.crop)
        self.margin = int(settings.margin * self.crop)
        free = self.side - self.crop
        places = np.rint(np.linspace(0, free, settings.offsets)) if settings.offsets else np.arange(free + 1)
        self.starts = np.unique(places.astype(int))
        self.latents: dict[tuple[int, int], Tensor] = {}
        self.queries: dict[tuple[int, int], list[Tensor]] = {}

    def to_frame(self, points: Points) -> Points:
        """Photo pixels to frame pixels."""
        return np.asarray(points, float) * self.fit.scale + self.fit.offset

    def to_photo(self, points: Points) -> Points:
        """Frame pixels to photo pixels."""
        return (np.asarray(points, float) - self.fit.offset) / self.fit.scale

    def draw(self, point: npt.NDArray[np.float64], generator: torch.Generator) -> tuple[int, int]:
        """Where a crop around a point starts, (x, y)."""
        chosen = []
        for at in point:
            low, high = start_range(float(at), self.side, self.crop, self.margin)
            legal = self.starts[(self.starts >= low) & (self.starts <= high)]
            chosen.append(int(legal[torch.randint(len(legal), (1,), generator=generator)]))
        return chosen[0], chosen[1]

    def latent(self, start: tuple[int, int]) -> Tensor:
        """The clean latent of a crop at the frame's size, (c, h, w)."""
        if start in self.latents:
            return self.latents[start]
        x, y = start
        window = self.pixels[None, :, y : y + self.crop, x : x + self.crop]
        resized = F.interpolate(window, (self.side, self.side), mode="bilinear", align_corners=False)
        latent = self.backbone.encode(resized).mean[0]
        if self.settings.offsets:
            self.latents[start] = latent
        return latent

    def noisy(self, start: tuple[int, int], timestep: int, generator: torch.Generator) -> Tensor:
        """The latent of a crop as the network gets it."""
        latent = self.latent(start)
        kind = self.settings.noise
        if kind == "none":
            return latent
        noise = (torch.randn if kind == "gaussian" else torch.rand)(latent.shape, generator=generator)
        return self.backbone.add_noise(latent, noise.to(latent), timestep)

    def frozen(self, start: tuple[int, int], timestep: int, layers: Sequence[str], *purpose: object) -> list[Tensor]:
        """The queries of a crop under the empty prompt, a (c, h, w) map for each layer; read once."""
        if start not in self.queries:
            generator = _generator(self.settings.seed, self.digest, *purpose, start)
            taps = Taps(features=tuple(f"{layer}.query" for layer in layers))
            noisy = self.noisy(start, timestep, generator)[None]
            with torch.no_grad():
                capture = self.backbone.read(noisy, timestep, self.backbone.context([""]), taps)
            self.queries[start] = [m[0].float() for m in capture.maps]
        return self.queries[start]


def _generator(*parts: object) -> torch.Generator:
    return torch.Generator().manual_seed(derive_seed(*parts))


def _attention(
    frame: _Frame,
    starts: Sequence[tuple[int, int]],
    timestep: int,
    vectors: Tensor,
    layers: Sequence[str],
    seeds: Sequence[tuple[object, ...]],
) -> list[Tensor]:
    """The supervised token's map in each layer, (B, n, n), for rows with their own crop, noise and embedding."""
    settings, backbone = frame.settings, frame.backbone
    if settings.mode == "frozen_queries":
        queries = [frame.frozen(start, timestep, layers, "queries") for start in starts]
        stacked = [torch.stack(own) for own in zip(*queries, strict=True)]
        maps = [
            backbone.attend(layer, query, vectors, settings.heads)
            for layer, query in zip(layers, stacked, strict=True)
        ]
    else:
        noisy = [
            frame.noisy(start, timestep, _generator(settings.seed, frame.digest, *seed))
            for start, seed in zip(starts, seeds, strict=True)
        ]
        taps = Taps(cross_attention=tuple(layers), heads=settings.heads)
        capture = backbone.read(torch.stack(noisy), timestep, vectors, taps)
        maps = [capture[key] for key in taps.keys]
    columns = [m[:, :, settings.token] for m in maps]
    return [column.unflatten(1, (math.isqrt(column.shape[1]),) * 2) for column in columns]


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
        InvalidInput: for points outside the photo, or settings that the network cannot follow.
        DiffsightError: if the loss is no longer a number; what was yielded before is good.
    """
    from tqdm import tqdm

    layers, sizes = check_settings(backbone, settings)
    frame = _Frame(backbone, picture, settings)
    array = frame.fit.check_points(points)
    if len(array) == 0:
        raise InvalidInput("no points given; give at least one x,y")
    if region is not None and (region.shape != picture.size or not region.any()):
        raise InvalidInput(f"the region has shape {region.shape}; it must be {picture.size} and not empty")
    mask = None if region is None else _squeeze(region, frame)
    tokens, channels = backbone.context([""]).shape[1:]
    done: dict[tuple[float, float], tuple[Tensor, Tensor]] = {}
    if known is not None and (known.settings, known.photo, known.fingerprint) == (
        settings,
        frame.digest,
        backbone.fingerprint,
    ):
        done = {
            (x, y): own for (x, y), *own in zip(map(tuple, known.points), known.vectors, known.losses, strict=True)
        }  # type: ignore[misc]
    waiting = [point for point in dict.fromkeys(map(tuple, array.tolist())) if point not in done]
    latent_side = settings.size // backbone.multiple
    row = 8 * backbone.row_bytes(latent_side, latent_side, Taps(cross_attention=layers))
    together = max(1, memory // row // settings.rounds)

    def finished() -> PromptEmbeddings:
        kept = [point for point in dict.fromkeys(map(tuple, array.tolist())) if point in done]
        vectors, losses = (torch.stack([done[point][i] for point in kept]) for i in (0, 1))
        return PromptEmbeddings(np.array(kept), vectors, losses, settings, frame.digest, backbone.fingerprint)

    if done and not waiting:
        yield finished()
    groups = [waiting[i : i + together] for i in range(0, len(waiting), together)]
    with tqdm(total=len(groups) * settings.steps, desc="learning", unit="step", delay=2, leave=False) as bar:
        for group in groups:
            rows = [(point, turn) for point in group for turn in range(settings.rounds)]
            start = [
                torch.randn(tokens, channels, generator=_generator(settings.seed, frame.digest, point, turn, "start"))
                for point, turn in rows
            ]
            vectors, losses = _descend(frame, rows, torch.stack(start), layers, sizes, mask, bar)
            for i, point in enumerate(group):
                own = slice(i * settings.rounds, (i + 1) * settings.rounds)
                done[point] = vectors[own], losses[own]
            yield finished()


def _descend(
    frame: _Frame,
    rows: Sequence[tuple[tuple[float, ...], int]],
    start: Tensor,
    layers: Sequence[str],
    sizes: Sequence[int],
    mask: Tensor | None,
    bar: Any,
) -> tuple[Tensor, Tensor]:
    """Adam on some rows; returns their embeddings, and losses of the last step."""
    settings, device = frame.settings, frame.backbone.device
    vectors = start.to(device).requires_grad_()
    optimiser = torch.optim.Adam([vectors], lr=settings.rate)
    places = frame.to_frame(np.array([point for point, _ in rows]))
    chunk = len(rows)
    losses = torch.zeros(len(rows))
    for step in range(settings.steps):
        starts = [
            frame.draw(place, _generator(settings.seed, frame.digest, *row, step, "crop"))
            for place, row in zip(places, rows, strict=True)
        ]
        relative = (torch.from_numpy(places) - torch.tensor(starts)) * (frame.side / frame.crop)
        if mask is None:
            target = gaussian_target(relative, frame.side, settings.sigma * frame.side, sizes, settings.half_pixel)
        else:
            target = mask_target(torch.stack([_window(mask, s, frame) for s in starts]), sizes)
        target = _Target({n: p.to(device) for n, p in target.projected.items()}, target.norm.to(device))
        seeds = [(*row, step, "noise") for row in rows]
        found = []
        first = 0
        while first < len(rows):
            part = slice(first, first + chunk)
            try:
                maps = _attention(frame, starts[part], settings.fit_timestep, vectors[part], layers, seeds[part])
                own = _Target({n: p[part] for n, p in target.projected.items()}, target.norm[part])
                loss = map_loss(maps, own, frame.side)
                loss.sum().backward()  # type: ignore[no-untyped-call]
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
        bar.update()
        bar.set_postfix(loss=f"{losses.mean():.5f}")
    return vectors.detach().cpu(), losses


def check_settings(backbone: Backbone, settings: PromptSettings) -> tuple[tuple[str, ...], list[int]]:
    """The layers, and the sides of their maps.

    Raises:
        InvalidInput: for layers or a size that the network does not have.
    """
    layers = settings.layers or default_layers(backbone.taps)
    backbone.taps.check(Taps(cross_attention=layers))
    strides = {tap.name: tap.stride for tap in backbone.taps.attention}
    step = max(tap.stride for tap in backbone.taps.attention)
    if settings.size % step:
        raise InvalidInput(f"size {settings.size} does not suit; it must be a multiple of {step}")
    tokens = backbone.context([""]).shape[1]
    if not 0 <= settings.token < tokens:
        raise InvalidInput(f"token {settings.token} does not exist; this model's text has tokens 0 to {tokens - 1}")
    if int(settings.size * settings.crop) < step:
        raise InvalidInput(f"crop {settings.crop} is too small; use {step / settings.size:.2g} or more")
    return layers, sorted({settings.size // strides[layer] for layer in layers})


def _squeeze(region: npt.NDArray[np.bool_], frame: _Frame) -> Tensor:
    picture = Picture(torch.from_numpy(region.astype(np.float32))[None].expand(3, -1, -1))
    return network_input(picture, frame.fit)[0]


def _window(mask: Tensor, start: tuple[int, int], frame: _Frame) -> Tensor:
    x, y = start
    window = mask[None, None, y : y + frame.crop, x : x + frame.crop]
    return F.interpolate(window, (frame.side, frame.side), mode="bilinear", align_corners=False)[0, 0]


@torch.no_grad()
def locate(
    backbone: Backbone,
    embeddings: PromptEmbeddings,
    picture: Picture,
    settings: PromptSettings | None = None,
    *,
    memory: int = MEMORY,
) -> Located:
    """Find the points that embeddings were learnt for in another photo.

    Args:
        backbone: the network that they were learnt with.
        embeddings: from ``optimise`` or a file.
        picture: the photo to search.
        settings: of the reading; those of the learning if left out.
        memory: budget of a pass, bytes.

    Raises:
        InvalidInput: for another network.
    """
    settings = embeddings.settings if settings is None else settings
    if embeddings.fingerprint != backbone.fingerprint:
        raise InvalidInput(
            f"these embeddings were learnt with another network than {backbone.card.name} (fingerprint "
            f"{embeddings.fingerprint[:8]}, not {backbone.fingerprint[:8]}); load the model they were learnt with, in "
            "the same number format"
        )
    layers, _ = check_settings(backbone, settings)
    frame = _Frame(backbone, picture, settings)
    latent_side = settings.size // backbone.multiple
    row = 4 * len(layers) * settings.size**2 + backbone.row_bytes(latent_side, latent_side, Taps(cross_attention=layers))
    rounds = embeddings.vectors.shape[1]
    together = max(1, memory // row // rounds)
    parts = [
        _search(frame, embeddings.vectors[i : i + together], layers) for i in range(0, len(embeddings), together)
    ]
    peaks, maps, heights, round_peaks = (torch.cat(own) for own in zip(*parts, strict=True))
    found = peaks.double()
    if settings.combine == "median":
        found = round_peaks.double().median(dim=1).values
    to_photo = np.array(frame.fit.scale)
    spread = ((round_peaks.double() - found[:, None]).numpy() / to_photo) ** 2
    matches = Matches(
        embeddings.points,
        frame.to_photo(found.numpy()),
        heights.double().numpy(),
        np.ones(len(embeddings), bool),
    )
    return Located(matches, maps, np.sqrt(spread.sum(axis=2).mean(axis=1)))


def _search(frame: _Frame, vectors: Tensor, layers: Sequence[str]) -> tuple[Tensor, Tensor, Tensor, Tensor]:
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
        starts = [frame.draw(place, _generator(settings.seed, frame.digest, *seed, "crop")) for place in places]
        maps = _attention(frame, starts, settings.read_timestep, rows, layers, [seed] * len(rows))
        for layer, own in enumerate(maps):
            spread = upsampling(own.shape[-1], frame.crop).float()
            large = spread @ own.float().cpu() @ spread.T
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
    x, y = peaks.long().unbind(dim=1)
    return peaks, maps_mean, heights[torch.arange(count), y, x], round_peaks


def _peaks(maps: Tensor) -> Tensor:
    """The centre (x, y) of the highest pixel of (B, S, S) maps, the first in reading order."""
    index = maps.flatten(1).argmax(dim=1)
    side = maps.shape[-1]
    return torch.stack([index % side, index // side], dim=1) + 0.5

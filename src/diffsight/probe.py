"""Read photos through a backbone: once each, batched, repeatable, and kept if asked."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from .backbones.base import Backbone, ReadSettings
from .device import derive_seed
from .errors import DiffsightError, InvalidInput, UnreadableFile
from .files import save_tensors
from .grid import Fit
from .images import network_input
from .types import Capture, Picture, Posterior, Reading, Taps

MAX_SIDE = 8192
"""Largest side of a network's input, pixels."""

MEMORY = 2 * 2**30
"""Default budget for one pass, bytes."""

TOGETHER = 4
"""Draws a pass at most, of ensembles larger than that: all of their maps are never held at once."""


def draw_noise(shape: Sequence[int], seed: int, digest: str, member: int) -> Tensor:
    """The noise of one ensemble member: it depends on the photo, so that two photos never share a pattern.

    Args:
        shape: of the latent, without the batch axis.
        seed: the user's.
        digest: of the network's input.
        member: its number.
    """
    generator = torch.Generator().manual_seed(derive_seed(seed, digest, member))
    return torch.randn(tuple(shape), generator=generator)


@dataclass(frozen=True)
class _Job:
    """One photo on its way through the network."""

    index: int
    fit: Fit
    pixels: Tensor
    digest: str
    key: str


class Probe:
    """Reads photos through one backbone.

    Args:
        backbone: a loaded network.
        store: a folder that keeps readings across runs, or None.
        memory: budget for one pass in bytes; rows are batched within it, and halved when memory runs out all the same.
    """

    def __init__(self, backbone: Backbone, *, store: Path | str | None = None, memory: int = MEMORY) -> None:
        self.backbone = backbone
        self.store = None if store is None else Path(store)
        self.memory = memory

    def read(self, pictures: Sequence[Picture], settings: ReadSettings, taps: Taps | None = None) -> list[Reading]:
        """Read each photo once.

        The encoder runs once a photo, however large the ensemble. Results do not depend on which photos are read
        together, up to the rounding of batched arithmetic.

        Args:
            pictures: photos of any sizes.
            settings: how to read them.
            taps: what to return; the settings' feature stage if left out.

        Returns:
            A reading for each photo, in order, on the CPU in float32.

        Raises:
            InvalidInput: for settings that the backbone cannot follow.
        """
        taps = Taps(features=(settings.stage,)) if taps is None else taps
        self._check(settings, taps)
        jobs = [self._job(i, picture, settings, taps) for i, picture in enumerate(pictures)]
        captures = {job.index: kept for job in jobs if (kept := self._load(job, taps)) is not None}
        missing = [job for job in jobs if job.index not in captures]
        for job, capture in zip(missing, self._run(missing, settings, taps), strict=True):
            captures[job.index] = capture
            self._save(job, capture)
        return [Reading(job.fit, captures[job.index]) for job in jobs]

    def fit(self, picture: Picture, settings: ReadSettings) -> Fit:
        """How a photo will be laid out for the network."""
        return Fit.make(settings.fit, picture.size, settings.size)

    def _check(self, settings: ReadSettings, taps: Taps) -> None:
        self.backbone.taps.check(taps)
        multiple = self.backbone.multiple
        height, width = settings.size
        if any(not multiple <= side <= MAX_SIDE or side % multiple for side in (height, width)):
            raise InvalidInput(
                f"size {width}x{height} does not suit this model; both sides must be multiples of "
                f"{multiple}, at most {MAX_SIDE}"
            )
        if not 0 <= settings.timestep <= 999:
            raise InvalidInput(f"timestep {settings.timestep} is outside the noise schedule; use 0 to 999")
        name = self.backbone.card.name
        if not self.backbone.takes_noise and (settings.noise or settings.timestep or settings.ensemble != 1):
            raise InvalidInput(f"{name} knows no noise: it takes neither timestep nor ensemble; leave them out")
        if settings.prompt and self.backbone.context([""]).shape[1] == 0:
            raise InvalidInput(f"{name} reads no text, so not the prompt {settings.prompt!r}; leave it out")
        if settings.ensemble < 1:
            raise InvalidInput(f"an ensemble of {settings.ensemble} is empty; use at least 1")
        if settings.posterior not in ("mean", "sample"):
            raise InvalidInput(f"unknown posterior {settings.posterior!r}; use mean or sample")

    def _job(self, index: int, picture: Picture, settings: ReadSettings, taps: Taps) -> _Job:
        fit = self.fit(picture, settings)
        pixels = network_input(picture, fit)
        digest = hashlib.blake2b(pixels.numpy().tobytes(), digest_size=16).hexdigest()
        context = hashlib.blake2b(self.backbone.context([settings.prompt]).float().cpu().numpy().tobytes()).hexdigest()
        facts = (
            self.backbone.fingerprint,
            context,
            digest,
            sorted(asdict(settings).items()),
            sorted(asdict(taps).items()),
        )
        key = hashlib.blake2b(repr(facts).encode(), digest_size=20).hexdigest()
        return _Job(index, fit, pixels, digest, key)

    def _run(self, jobs: list[_Job], settings: ReadSettings, taps: Taps) -> list[Capture]:
        """Read what is not kept: batches of (photo, ensemble member) rows, averaged as they come."""
        from tqdm import tqdm

        if not jobs:
            return []
        context = self.backbone.context([settings.prompt])
        draws = settings.ensemble if settings.noise or settings.posterior == "sample" else 1
        queue = [(number, member) for number in range(len(jobs)) for member in range(draws)]
        height, width = (side // self.backbone.multiple for side in settings.size)
        rows = max(1, self.memory // self.backbone.row_bytes(height, width, taps))
        rows = min(rows, TOGETHER) if draws > TOGETHER else rows
        posteriors: dict[int, Posterior] = {}
        totals: dict[int, Capture] = {}
        with tqdm(total=len(queue), desc="reading", unit="pass", delay=2, leave=False) as bar, torch.no_grad():
            while queue:
                batch = queue[:rows]
                try:
                    for number in sorted({number for number, _ in batch} - posteriors.keys()):
                        posteriors[number] = self.backbone.encode(jobs[number].pixels[None])
                    latent = torch.cat([self._row(jobs[n], posteriors[n], member, settings) for n, member in batch])
                    capture = self.backbone.read(latent, settings.timestep, context.expand(len(batch), -1, -1), taps)
                except (RuntimeError, MemoryError) as error:
                    if not out_of_memory(error):
                        raise
                    if len(batch) == 1:
                        raise DiffsightError(
                            "not enough memory for one pass; use a smaller size or another device"
                        ) from None
                    rows = len(batch) // 2
                    continue
                for i, (number, _) in enumerate(batch):
                    own = capture.apply(lambda t, i=i: (t[i].float().cpu() / draws).contiguous())  # as a kept one
                    totals[number] = totals[number].apply(torch.add, own) if number in totals else own
                del capture  # before the next pass makes its own
                queue = queue[len(batch) :]
                posteriors = {n: p for n, p in posteriors.items() if queue and n >= queue[0][0]}
                bar.update(len(batch))
        if not all(bool(m.isfinite().all()) for capture in totals.values() for m in capture.maps):
            raise DiffsightError(
                "the network returned NaN or infinity; use dtype float32, or other weights if that is what it ran in"
            )
        return [totals[number] for number in range(len(jobs))]

    def _row(self, job: _Job, posterior: Posterior, member: int, settings: ReadSettings) -> Tensor:
        """The latent of one ensemble member as the network gets it, (1, c, h, w)."""
        latent = posterior.mean
        if settings.posterior == "sample":
            seed = derive_seed(settings.seed, job.digest, member, "posterior")
            latent = posterior.draw(torch.Generator().manual_seed(seed))
        if not settings.noise:
            return latent
        noise = draw_noise(latent.shape[1:], settings.seed, job.digest, member)
        return self.backbone.add_noise(latent, noise[None].to(latent), settings.timestep)

    def _path(self, job: _Job) -> Path | None:
        return None if self.store is None else self.store / f"{job.key}.safetensors"

    def _load(self, job: _Job, taps: Taps) -> Capture | None:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        path = self._path(job)
        if path is None or not path.exists():
            return None
        try:
            found = load_file(path)
            return Capture(taps, tuple(found[key] for key in taps.keys))
        except (OSError, SafetensorError, KeyError) as error:
            raise UnreadableFile(
                f"the kept reading {path} is damaged ({error}); delete it, it will be read again"
            ) from None

    def _save(self, job: _Job, capture: Capture) -> None:
        path = self._path(job)
        if path is not None:
            save_tensors(dict(zip(capture.taps.keys, capture.maps, strict=True)), path)


def out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, on any device."""
    words = str(error).lower()
    return (
        isinstance(error, torch.OutOfMemoryError | MemoryError)
        or "allocate memory" in words
        or "out of memory" in words
    )

"""Segmentation scored on photos with known masks, against baselines on the same maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import torch

from ..backbones.base import Backbone
from ..errors import InvalidInput, UnreadableFile
from ..images import load_picture
from ..segmentation.kmeans import kmeans
from ..segmentation.segmenter import KMeansSettings, Segmenter
from ..types import Picture
from ..world import CLUTTER, RESERVED, categories, make_scene
from .metrics import MaskScore, mask_score

SIDE = 128
IGNORED = 255

Labels = npt.NDArray[np.integer]


@dataclass(frozen=True)
class MaskSample:
    """A photo and the class of each of its pixels, (H, W); 255 is not counted."""

    picture: Picture
    truth: Labels


def world_scenes(count: int, first: int = RESERVED) -> tuple[list[MaskSample], int]:
    """Draw scenes of two or three objects; classes are the background and the categories. Returns their number too."""
    kinds = list(categories())
    samples = []
    for seed in range(first, first + count):
        scene = make_scene(seed, SIDE, count=2 + seed % 2)
        truth = np.zeros_like(scene.instances)
        for number, thing in enumerate(scene.objects, start=1):
            truth[scene.instances == number] = 1 + kinds.index(thing.category)
        truth[scene.instances == CLUTTER] = IGNORED
        samples.append(MaskSample(Picture(torch.from_numpy(scene.image).permute(2, 0, 1).contiguous()), truth))
    return samples, 1 + len(kinds)


def folder_samples(photos: Path, labels: Path, ignored: int | None = None) -> tuple[list[MaskSample], int]:
    """Read photos and the label PNGs of the same stem; classes are 0 to the largest label found.

    Args:
        photos: folder of photos.
        labels: folder of one-channel or palette PNGs of the photos' sizes.
        ignored: a label that is not counted, besides 255.

    Raises:
        UnreadableFile: for a file that cannot be read.
        InvalidInput: if no photo has labels, or the sizes differ.
    """
    from PIL import Image

    if not photos.is_dir() or not labels.is_dir():
        raise UnreadableFile(f"{photos if not photos.is_dir() else labels} is no folder; give a folder of files")
    samples = []
    for path in sorted(labels.glob("*.png")):
        own = next((p for p in sorted(photos.glob(f"{path.stem}.*")) if p.resolve() != path.resolve()), None)
        if own is None:
            continue
        picture = load_picture(own)
        try:
            truth = np.asarray(Image.open(path)).copy()
        except OSError as error:
            raise UnreadableFile(f"{path} cannot be read as labels ({error}); give a PNG") from None
        if truth.shape != picture.size:
            raise InvalidInput(f"labels {path} have shape {truth.shape}, but the photo has {picture.size}")
        if ignored is not None:
            truth[truth == ignored] = IGNORED
        samples.append(MaskSample(picture, truth))
    if not samples:
        raise InvalidInput(f"no photo in {photos} has labels in {labels} (PNG files of the same name)")
    known = [int(sample.truth[sample.truth != IGNORED].max(initial=0)) for sample in samples]
    return samples, 1 + max(known)


def compare(backbone: Backbone, samples: list[MaskSample], classes: int) -> Iterator[tuple[str, MaskScore]]:
    """Score the solvers on a model and on the same network untrained, and clustering of colours and places.

    K-Means-C makes as many segments in every photo as photos have classes on average; K-Means-S as each one has.
    """
    counts = [len(np.unique(sample.truth[sample.truth < classes])) for sample in samples]
    usual = [max(1, round(float(np.mean(counts))))] * len(samples)

    def score(found: list[Labels]) -> MaskScore:
        return mask_score([(labels, sample.truth) for labels, sample in zip(found, samples, strict=True)], classes)

    for network in (backbone, backbone.untrained()):
        name = network.card.name
        merging, cutting = Segmenter(network), Segmenter(network, solver="ncut")
        clustering = Segmenter(network, solver="kmeans")
        prepared = [merging.prepare(sample.picture) for sample in samples]
        yield f"diffseg, {name}", score([merging.cut(photo).labels for photo in prepared])
        yield f"ncut, {name}", score([cutting.segment(sample.picture).labels for sample in samples])
        for rule, wanted in (("K-Means-C", usual), ("K-Means-S", counts)):
            cuts = [clustering.cut(photo, KMeansSettings(k)) for photo, k in zip(prepared, wanted, strict=True)]
            yield f"{rule}, {name}", score([cut.labels for cut in cuts])
    plain = [colour_segments(sample.picture, k) for sample, k in zip(samples, counts, strict=True)]
    yield "k-means of colours and places", score(plain)


def colour_segments(picture: Picture, count: int, side: int = 64) -> Labels:
    """Cluster the pixels' colours and places, all in [0, 1]: what can be had without a network."""
    height, width = picture.size
    small = cv2.resize(picture.array(), (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    labels: Labels = kmeans(np.concatenate([small, y[..., None], x[..., None]], axis=2).reshape(-1, 5), count)
    rows, columns = (((np.arange(n) + 0.5) * side / n).astype(int) for n in (height, width))
    return labels.reshape(side, side)[rows[:, None], columns]

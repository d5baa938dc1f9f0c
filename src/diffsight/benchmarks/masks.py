"""Segmentation scored on photos with known masks, against baselines on the same maps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
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
IGNORED = -1

Labels = npt.NDArray[np.integer]


@dataclass(frozen=True)
class MaskSample:
    """A photo and the class of each of its pixels, (H, W); -1 is not counted."""

    picture: Picture
    truth: Labels


def world_scenes(count: int, first: int = RESERVED) -> tuple[list[MaskSample], int]:
    """Draw scenes of two or three objects; classes are the background and the categories. Returns their number too."""
    kinds = list(categories())
    samples = []
    for seed in range(first, first + count):
        scene = make_scene(seed, SIDE, count=2 + seed % 2)
        truth = np.zeros(scene.instances.shape, np.int32)
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
            truth = np.asarray(Image.open(path)).astype(np.int32)
        except OSError as error:
            raise UnreadableFile(f"{path} cannot be read as labels ({error}); give a PNG") from None
        if truth.shape != picture.size:
            raise InvalidInput(f"labels {path} have shape {truth.shape}, but the photo has {picture.size}")
        truth[np.isin(truth, [255] if ignored is None else [255, ignored])] = IGNORED
        if (truth != IGNORED).any():
            samples.append(MaskSample(picture, truth))
    if not samples:
        raise InvalidInput(f"no photo in {photos} has labels in {labels} (PNG files of the same name)")
    return samples, 1 + max(int(sample.truth.max()) for sample in samples)


def compare(backbone: Backbone, samples: list[MaskSample], classes: int) -> Iterator[tuple[str, MaskScore]]:
    """Score the solvers on a model and on the same network untrained, and clustering of colours and places.

    K-Means-C makes as many segments in every photo as photos have classes on average, all other clusterings as many as
    each one has.
    """
    counts = [len(np.unique(sample.truth[sample.truth != IGNORED])) for sample in samples]
    usual = max(1, round(float(np.mean(counts))))
    for network in (backbone, backbone.untrained()):
        merging, cutting = Segmenter(network), Segmenter(network, solver="ncut")
        of_features = KMeansSettings(of="features")
        clustering = Segmenter(network, solver="kmeans"), Segmenter(network, solver="kmeans", settings=of_features)
        found: dict[str, list[Labels]] = {}
        for sample, count in zip(samples, counts, strict=True):
            maps, features = (own.prepare(sample.picture) for own in (merging, clustering[1]))
            cuts = {
                "diffseg": merging.cut(maps),
                "ncut": cutting.segment(sample.picture),
                "K-Means-C": clustering[0].cut(maps, KMeansSettings(usual)),
                "K-Means-S": clustering[0].cut(maps, KMeansSettings(count)),
                "k-means of features": clustering[1].cut(features, replace(of_features, segments=count)),
                "spectral, features": clustering[1].cut(
                    features, replace(of_features, segments=count, method="spectral")
                ),
            }
            for name, cut in cuts.items():
                found.setdefault(name, []).append(cut.labels)
        for name, labels in found.items():
            yield f"{name}, {network.card.name}", _score(labels, samples, classes)
    plain = [colour_segments(sample.picture, count) for sample, count in zip(samples, counts, strict=True)]
    yield "k-means of colours and places", _score(plain, samples, classes)


def _score(found: list[Labels], samples: list[MaskSample], classes: int) -> MaskScore:
    return mask_score([(labels, sample.truth) for labels, sample in zip(found, samples, strict=True)], classes)


def colour_segments(picture: Picture, count: int, side: int = 64) -> Labels:
    """Cluster the pixels' colours and places, all in [0, 1]: what can be had without a network."""
    height, width = picture.size
    small = cv2.resize(picture.array(), (side, side), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side
    labels: Labels = kmeans(np.concatenate([small, y[..., None], x[..., None]], axis=2).reshape(-1, 5), count)
    rows, columns = (((np.arange(n) + 0.5) * side / n).astype(int) for n in (height, width))
    return labels.reshape(side, side)[rows[:, None], columns]

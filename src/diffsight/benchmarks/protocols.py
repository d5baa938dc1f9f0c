"""The switches of the papers, as data: a benchmark's figures compare only where all of them are the same."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..errors import InvalidInput
from .metrics.planes import PIXELS
from .metrics.points import ORIGINAL, Averaging, Base, Comparison, Frame


@dataclass(frozen=True)
class PointProtocol:
    """How keypoints are scored.

    Attributes:
        name: of the protocol.
        source: who scores so.
        base: what alpha is a fraction of.
        averaging: the averages that are meant, the headline first.
        alphas: the fractions that are meant, the headline first.
        comparison: whether the bound is included.
        frame: where distances and thresholds are measured.
        length: pixels of the frame, if the base is ``fixed``.
    """

    name: str
    source: str
    base: Base
    averaging: tuple[Averaging, ...] = ("per_image",)
    alphas: tuple[float, ...] = (0.1,)
    comparison: Comparison = "<="
    frame: Frame = ORIGINAL
    length: float | None = None


@dataclass(frozen=True)
class PlaneProtocol:
    """How homographies are scored.

    Attributes:
        name: of the protocol.
        source: who scores so.
        pixels: the corner errors that are allowed, the headline first.
    """

    name: str
    source: str
    pixels: tuple[float, ...] = (3.0, *(limit for limit in PIXELS if limit != 3))


@dataclass(frozen=True)
class MaskProtocol:
    """How masks of clips are scored: J and F, without the first and the last frame.

    Attributes:
        name: of the protocol.
        source: who scores so.
    """

    name: str
    source: str


@dataclass(frozen=True)
class JointProtocol:
    """How joints are scored.

    Attributes:
        name: of the protocol.
        source: who scores so.
        strict: joints that were not found are wrong, instead of left out.
        alphas: the fractions that are meant, the headline first.
    """

    name: str
    source: str
    strict: bool
    alphas: tuple[float, ...] = (0.1, 0.2)


@dataclass(frozen=True)
class SegmentProtocol:
    """How unsupervised segmentations are scored.

    Attributes:
        name: of the protocol.
        source: who scores so.
        matching: whether segments are assigned to classes in each photo, or once for the whole set.
        side: to which labels and truth are brought before they are compared; None for that of the samples.
    """

    name: str
    source: str
    matching: Literal["per_image", "dataset"] = "per_image"
    side: int | None = None


Protocol = PointProtocol | PlaneProtocol | MaskProtocol | JointProtocol | SegmentProtocol

SQUASHED = Frame("squash", 512)
PADDED = Frame("pad", 840)
CROPPED = Frame("squash", 256)

SEGMENTS = (
    SegmentProtocol("diffseg", "Tian et al. 2023 (arXiv 2308.12469)"),
    SegmentProtocol("picie", "Cho et al. 2021 (arXiv 2103.17070)", matching="dataset"),
    SegmentProtocol("diffcut", "Couairon et al. 2024 (arXiv 2406.02842)", side=128),
)

PROTOCOLS: dict[str, tuple[Protocol, ...]] = {
    "spair": (
        PointProtocol("dift", "Tang et al. 2023 (arXiv 2306.03881)", "bbox", ("per_image", "per_point")),
        PointProtocol(
            "hedlin", "Hedlin et al. 2023 (arXiv 2305.15581)", "source_bbox", alphas=(0.1, 0.05), frame=SQUASHED
        ),
        PointProtocol(
            "geoaware",
            "Zhang et al. 2024 (arXiv 2311.17034)",
            "bbox",
            ("per_image", "per_point"),
            (0.1, 0.05, 0.01),
            "<",
            PADDED,
        ),
    ),
    "pf-pascal": (
        PointProtocol("img", "Cho et al. 2021 (CATs, arXiv 2106.02520)", "image", alphas=(0.1, 0.05, 0.15)),
        PointProtocol(
            "geoaware",
            "Zhang et al. 2024 (arXiv 2311.17034)",
            "image",
            alphas=(0.1, 0.05, 0.15),
            comparison="<",
            frame=PADDED,
        ),
    ),
    "pf-willow": (
        PointProtocol("kp_extent", "Ham et al. 2016 (Proposal Flow)", "keypoints", alphas=(0.1, 0.05, 0.15)),
        PointProtocol(
            "kp_padded",
            "Cho et al. 2021 (CATs, arXiv 2106.02520)",
            "keypoints_padded",
            alphas=(0.1, 0.05, 0.15),
            frame=CROPPED,
        ),
        PointProtocol("img", "longer side of the photo", "image", alphas=(0.1, 0.05, 0.15)),
        PointProtocol(
            "hedlin", "Hedlin et al. 2023 (arXiv 2305.15581)", "keypoints_padded", alphas=(0.1, 0.05), frame=SQUASHED
        ),
    ),
    "cub": (
        PointProtocol(
            "hedlin", "Hedlin et al. 2023 (arXiv 2305.15581)", "cub_x_scale", alphas=(0.1, 0.05), frame=SQUASHED
        ),
        PointProtocol("asic", "Gupta et al. 2023 (arXiv 2303.16201)", "image", alphas=(0.1, 0.05), frame=CROPPED),
        PointProtocol(
            "neural_congealing", "Ofri-Amar et al. 2023 (arXiv 2302.03956)", "image", ("per_category",), frame=CROPPED
        ),
    ),
    "ap-10k": (
        PointProtocol(
            "geoaware",
            "Zhang et al. 2024 (arXiv 2311.17034)",
            "bbox",
            ("per_image", "per_point"),
            (0.1, 0.05, 0.01),
            "<",
            PADDED,
        ),
    ),
    "hpatches": (PlaneProtocol("dift", "Tang et al. 2023 (arXiv 2306.03881)"),),
    "davis": (MaskProtocol("official", "Pont-Tuset et al. 2017 (arXiv 1704.00675)"),),
    "jhmdb": (
        JointProtocol("videowalk", "Jabri et al. 2020 (arXiv 2006.14613)", strict=False),
        JointProtocol("strict", "joints that were not found are wrong", strict=True),
    ),
    "coco-stuff": SEGMENTS,
    "cityscapes": SEGMENTS,
}
"""Of each benchmark, the usual one first."""


def protocol(benchmark: str, name: str | None = None) -> Protocol:
    """A benchmark's protocol by its name; the usual one if left out.

    Raises:
        InvalidInput: for an unknown benchmark or protocol; names the known ones.
    """
    if benchmark not in PROTOCOLS:
        raise InvalidInput(f"unknown benchmark {benchmark!r}; use {', '.join(PROTOCOLS)}")
    known = {own.name: own for own in PROTOCOLS[benchmark]}
    if name is None:
        return PROTOCOLS[benchmark][0]
    if name not in known:
        raise InvalidInput(f"unknown protocol {name!r} of {benchmark}; use {', '.join(known)}")
    return known[name]

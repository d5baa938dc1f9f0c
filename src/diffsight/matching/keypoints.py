"""Where to look in a photo: keypoints of a detector, of a regular grid, or from a file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from ..errors import InvalidInput, UnreadableFile
from ..grid import Fit, Points, Size
from ..images import network_input
from ..types import Picture

Detector = Literal["sift", "orb", "grid", "superpoint"]

Finder = Callable[[Picture, int], Points]
"""Gives at most so many keypoints of a photo, (N, 2) pixels, pixel centres at +0.5."""

COUNT = 1000
"""Keypoints a photo at most, as in DIFT's experiments on HPatches."""

DETECTION_SIDE = 2048
"""Longer side that photos are shrunk to for OpenCV's detectors, pixels; features are far coarser than that."""

ORB_BORDER = 31
"""ORB looks no nearer to the border than this, pixels; OpenCV fails on photos that are all border."""


def load_detector(detector: Detector, device: str | None = None) -> Finder:
    """Make a detector ready for many photos.

    Args:
        detector: ``sift`` (Lowe, 2004), ``orb`` (Rublee et al., 2011), ``superpoint`` (DeTone et al., 2018), or
            ``grid``, evenly spaced points: the closest whole number of rows and columns.
        device: that SuperPoint runs on; the best one at hand if left out.

    Raises:
        InvalidInput: for an unknown detector.
        ModelUnavailable: if SuperPoint's weights cannot be had.
    """
    finders: dict[str, Finder] = {"sift": _sift, "orb": _orb, "grid": lambda p, count: grid_points(p.size, count)}
    if detector == "superpoint":
        from ..backbones.superpoint import SuperPoint

        return SuperPoint(device=device)
    if detector not in finders:
        raise InvalidInput(f"unknown detector {detector!r}; use {', '.join(get_args(Detector))}")
    return finders[detector]


def detect(picture: Picture, detector: Detector | Finder = "sift", count: int = COUNT) -> Points:
    """Find the strongest keypoints of a photo.

    Args:
        picture: the photo.
        detector: by name, or a loaded one.
        count: how many to keep at most.

    Returns:
        (N, 2) as (x, y) in pixels of the photo, pixel centres at +0.5, sorted, each place once; none in a photo
        without structure.

    Raises:
        InvalidInput: for an unknown detector or a count below 1.
    """
    if count < 1:
        raise InvalidInput(f"{count} keypoints are too few; ask for 1 or more")
    find = load_detector(detector) if isinstance(detector, str) else detector
    return np.unique(np.clip(find(picture, count), 0, picture.size[::-1]), axis=0)


def _sift(picture: Picture, count: int) -> Points:
    import cv2

    return _by_opencv(cv2.SIFT.create(enable_precise_upscale=True), picture, count)


def _orb(picture: Picture, count: int) -> Points:
    import cv2

    if min(picture.size) <= 2 * ORB_BORDER:
        return np.empty((0, 2))
    return _by_opencv(cv2.ORB.create(nfeatures=count), picture, count)


def _by_opencv(finder: Any, picture: Picture, count: int) -> Points:
    import cv2

    shrink = min(1.0, DETECTION_SIDE / max(picture.size))
    height, width = (max(1, round(side * shrink)) for side in picture.size)
    fit = Fit.make("stretch", picture.size, (height, width))
    image = (network_input(picture, fit) * 255).round().byte().permute(1, 2, 0).numpy()
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    found = sorted(finder.detect(grey, None), key=lambda keypoint: -keypoint.response)
    places = dict.fromkeys(keypoint.pt for keypoint in found)  # one place may have several orientations
    cells = np.array(list(places)[:count], dtype=np.float64).reshape(-1, 2)  # OpenCV centres the first pixel at 0
    return fit.to_pixels(cells, (height, width))


def grid_points(size: Size, count: int = COUNT) -> Points:
    """Evenly spaced points of a photo of (height, width), about ``count`` of them, row by row."""
    height, width = size
    columns = max(1, round((count * width / height) ** 0.5))
    rows = max(1, count // columns)
    x, y = (np.arange(columns) + 0.5) * width / columns, (np.arange(rows) + 0.5) * height / rows
    return np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)


def read_keypoints(path: Path, size: Size) -> Points:
    """Read keypoints that another program found.

    Args:
        path: ``.kp``, text with x and y in each line; or ``.npz`` with an array ``keypoints`` (N, 2 or more columns).
            Such files count the centre of the first pixel as (0, 0), so half a pixel is added.
        size: (height, width) of the photo that they lie in.

    Returns:
        (N, 2) in pixels of the photo, pixel centres at +0.5, sorted, each place once.

    Raises:
        UnreadableFile: for a file that is missing or damaged.
        InvalidInput: for one that is empty, of another kind, or has points out of the photo.
    """
    if path.suffix not in (".kp", ".npz"):
        raise InvalidInput(f"{path} is no file of keypoints; give .kp (x and y in each line) or .npz (array keypoints)")
    try:
        table = _read_npz(path) if path.suffix == ".npz" else _read_text(path)
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UnreadableFile(f"cannot read keypoints from {path} ({reason}); give a whole .kp or .npz file") from None
    if table.size == 0:
        raise InvalidInput(f"{path} holds no keypoints; give at least one")
    if table.ndim != 2 or table.shape[1] < 2 or not np.issubdtype(table.dtype, np.number):
        raise InvalidInput(f"{path} holds an array {table.shape} of {table.dtype}; give (N, 2) numbers, x and y")
    points = table[:, :2].astype(np.float64) + 0.5
    height, width = size
    outside = ~((points >= 0) & (points <= (width, height))).all(axis=1)
    if outside.any():
        x, y = points[outside][0] - 0.5
        raise InvalidInput(
            f"{path}: {outside.sum()} of {len(points)} keypoints lie out of the photo ({width}x{height}), "
            f"the first at ({x:g}, {y:g}); give the file of this photo, at its own size"
        )
    return np.unique(points, axis=0)


def _read_npz(path: Path) -> Points:
    import zipfile

    try:
        with np.load(path, allow_pickle=False) as arrays:
            if "keypoints" not in arrays:
                raise ValueError(f"it holds {', '.join(arrays) or 'nothing'}, but no array named keypoints")
            return np.asarray(arrays["keypoints"])
    except (zipfile.BadZipFile, AttributeError, TypeError) as error:
        raise ValueError(f"it is no .npz: {error}") from None


def _read_text(path: Path) -> Points:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a file without lines, which is refused later
        return np.loadtxt(path, ndmin=2)

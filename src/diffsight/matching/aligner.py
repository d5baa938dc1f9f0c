"""The whole geometric job in one object: keypoints, features, mutual matches, a robust matrix."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..backbones.base import Backbone
from ..grid import Points
from ..images import check_structure, load_picture
from ..types import Matches, Picture, Reading
from .homography import Alignment, EstimateSettings, estimate
from .keypoints import COUNT, Detector, Finder, detect, load_detector, read_keypoints
from .matcher import Matcher
from .sparse import SparseSettings, match_keypoints

_LIMITS: dict[str, Any] = {"iterations": 2000, "confidence": 0.995}

PRESETS = {
    "default": (SparseSettings(), EstimateSettings()),
    "paper": (SparseSettings("reference"), EstimateSettings(estimator="lmeds", **_LIMITS)),
    "paper-adm": (SparseSettings("reference", "distance"), EstimateSettings(estimator="ransac", **_LIMITS)),
}
"""How keypoints are compared and a matrix estimated; as DIFT's script has it with Stable Diffusion and with ADM."""


@dataclass(frozen=True)
class View:
    """A photo ready to be aligned with others.

    Attributes:
        picture: the photo.
        reading: what the network saw in it.
        keypoints: (N, 2) pixels of the photo.
    """

    picture: Picture
    reading: Reading
    keypoints: Points


class Aligner:
    """Finds how photos of one plane lie on each other (DIFT's geometric task: Tang et al., 2023, arXiv 2306.03881).

    Example:
        >>> aligner = Aligner("pocket")
        >>> first, second = aligner.view("a.jpg"), aligner.view("b.jpg")
        >>> matches, alignment = aligner.align(first, second)

    Args:
        model: a loaded backbone, or what ``diffsight.load`` takes.
        keypoints: the detector: ``sift``, ``orb``, ``grid``, ``superpoint``, or one that is loaded.
        count: keypoints a photo at most.
        matching: how keypoints are compared.
        estimation: how the matrix is estimated.
        **options: of ``Matcher``: device, dtype, store and single settings of reading; the task is ``geometric``.
    """

    def __init__(
        self,
        model: Backbone | str | Path = "pocket",
        *,
        keypoints: Detector | Finder = "sift",
        count: int = COUNT,
        matching: SparseSettings | None = None,
        estimation: EstimateSettings | None = None,
        **options: Any,
    ) -> None:
        self.detector = load_detector(keypoints, options.get("device")) if isinstance(keypoints, str) else keypoints
        self.count = count
        self.matcher = Matcher(model, **{"task": "geometric", **options})
        self.matching, self.estimation = matching or SparseSettings(), estimation or EstimateSettings()

    def view(self, photo: Any, keypoints: Points | Path | None = None) -> View:
        """Find a photo's keypoints, or take those given as points or a file, and read it.

        Keypoints out of what the network sees (``fit`` crop) are left out, those given are refused there.

        Raises:
            UnreadableFile, InvalidInput: for the photo, also one of a single colour, for the file, or a point outside.
        """
        picture = load_picture(photo)
        check_structure(picture)
        fit = self.matcher.reader.fit(picture)
        if keypoints is None:
            found = detect(picture, self.detector, self.count)
            top, bottom, left, right = fit.window
            found = found[((found >= (left, top)) & (found <= (right, bottom))).all(axis=1)]
        else:
            given = read_keypoints(keypoints, picture.size) if isinstance(keypoints, Path) else keypoints
            found = fit.check_points(given)
        return View(picture, self.matcher.read(picture)[1], found)

    def align(self, source: View, target: View) -> tuple[Matches, Alignment]:
        """Match two views and estimate how the source lies on the target; failure is an alignment without a matrix."""
        matches = match_keypoints(source.reading, target.reading, source.keypoints, target.keypoints, self.matching)
        return matches, estimate(matches, self.estimation)

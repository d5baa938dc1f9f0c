"""A folder of results: what each photo got, what was corrected, and what is to be done again."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from ..errors import UnreadableFile
from ..files import file_digest, save_json, save_tensors
from . import masks
from .annotations import AnnotatedPhoto, Annotations, Category, Instance
from .coco import write_coco
from .cvat import write_cvat
from .join import alike
from .label_studio import write_label_studio
from .review import write_review
from .tables import write_keypoint_table
from .work import Before, Job, Labelled


@dataclass(frozen=True)
class TransferFolder:
    """Where a run keeps what it has done; it goes on from there, with more references if it is given any.

    Attributes:
        path: of the folder.
    """

    path: Path

    def jobs(self, photos: dict[str, Path]) -> list[Job]:
        """What is to be done: all photos but the corrected ones, with what is known of each from a run before."""
        return [Job(name, path, self._before(name, path)) for name, path in photos.items() if not self.corrected(name)]

    def keep(self, job: Job, answer: Labelled) -> None:
        """Write what a photo got, whole or not at all."""
        if answer.photo is None or answer.after is None:
            return
        facts = {
            "photo": file_digest(job.path),
            "used": answer.after.used,
            "instances": [to_facts(own) for own in answer.photo.instances],
            "size": answer.photo.size,
        }
        coarse = torch.from_numpy(answer.after.coarse)
        save_tensors({"coarse": coarse}, self._state(job.name), {"facts": json.dumps(facts)})

    def correct(self, photo: AnnotatedPhoto) -> bool:
        """Take what was checked by hand, if it differs from what was found; it is final, and a reference."""
        if self._state(photo.name).exists() and not self.corrected(photo.name):
            found = [from_facts(own, photo) for own in self._facts(photo.name)["instances"]]
            if alike(found, photo.instances):
                return False
        instances = [to_facts(own) for own in photo.instances]
        save_json({"instances": instances, "size": photo.size}, self._correction(photo.name))
        return True

    def corrected(self, name: str) -> bool:
        """Whether a photo was corrected by hand."""
        return self._correction(name).exists()

    def corrections(self, photos: dict[str, Path]) -> tuple[AnnotatedPhoto, ...]:
        """The corrected photos, with their marks."""
        return tuple(self.photo(name, path) for name, path in photos.items() if self.corrected(name))

    def photo(self, name: str, path: Path) -> AnnotatedPhoto:
        """A photo with the marks that it has: corrected, or found.

        Raises:
            UnreadableFile: if what was kept is damaged.
        """
        facts = _read_json(self._correction(name)) if self.corrected(name) else self._facts(name)
        height, width = facts["size"]
        bare = AnnotatedPhoto(name, path, (height, width))
        return replace(bare, instances=tuple(from_facts(own, bare) for own in facts["instances"]))

    def done(self, photos: dict[str, Path]) -> dict[str, Path]:
        """The photos that have marks."""
        return {name: path for name, path in photos.items() if self.corrected(name) or self._state(name).exists()}

    def write(self, categories: tuple[Category, ...], photos: dict[str, Path], review: int) -> list[Path]:
        """Put everything into files that annotation tools read, and into a page to look it over.

        Args:
            categories: of the marks.
            photos: those to put in.
            review: how many of the least certain photos the page shows; 0 for no page.

        Returns:
            The files.
        """
        whole = Annotations(categories, _Stored(self, photos))
        paths = [self.path / name for name in ("annotations.json", "label_studio.json", "cvat.xml", "annotations.csv")]
        write_coco(whole, paths[0])
        write_label_studio(whole, paths[1])
        write_cvat(whole, paths[2])
        write_keypoint_table(whole, paths[3])
        if review and photos:
            sure = {name: _confidence(self.photo(name, path)) for name, path in photos.items()}
            shown = sorted(photos, key=lambda name: (sure[name], name))[:review]
            page = write_review(Annotations(categories, [self.photo(name, photos[name]) for name in shown]), self.path)
            paths.append(page)
        return paths

    def _before(self, name: str, path: Path) -> Before | None:
        if not self._state(name).exists():
            return None
        facts = self._facts(name)
        if facts["photo"] != file_digest(path):
            return None
        from safetensors.numpy import load_file

        used = {category: tuple(keys) for category, keys in facts["used"].items()}
        return Before(used, load_file(self._state(name))["coarse"])

    def _facts(self, name: str) -> dict[str, Any]:
        from safetensors import SafetensorError, safe_open

        path = self._state(name)
        try:
            with safe_open(path, "numpy") as file:
                found: dict[str, Any] = json.loads(file.metadata()["facts"])
                return found
        except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
            raise UnreadableFile(f"{path} is damaged ({error}); delete it, its photo will be labelled again") from None

    def _state(self, name: str) -> Path:
        return self.path / "state" / f"{name}.safetensors"

    def _correction(self, name: str) -> Path:
        return self.path / "corrections" / f"{name}.json"


class _Stored(Sequence[AnnotatedPhoto]):
    """The photos of a folder of results, each read when it is asked for, so that not all masks are held at once."""

    def __init__(self, folder: TransferFolder, photos: dict[str, Path]) -> None:
        self.folder = folder
        self.photos = list(photos.items())

    def __len__(self) -> int:
        return len(self.photos)

    @overload
    def __getitem__(self, index: int) -> AnnotatedPhoto: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[AnnotatedPhoto]: ...

    def __getitem__(self, index: int | slice) -> AnnotatedPhoto | Sequence[AnnotatedPhoto]:
        if isinstance(index, slice):
            return [self.folder.photo(*own) for own in self.photos[index]]
        return self.folder.photo(*self.photos[index])

    def __iter__(self) -> Iterator[AnnotatedPhoto]:
        return (self.folder.photo(*own) for own in self.photos)


def to_facts(instance: Instance) -> dict[str, Any]:
    """An object's marks as JSON holds them, exactly."""
    return {
        "category": instance.category,
        "keypoints": [None if np.isnan(x) else [x, y] for x, y in instance.keypoints.tolist()],
        "visibility": instance.visibility.tolist(),
        "box": instance.box,
        "mask": None if instance.mask is None else masks.to_run_lengths(instance.mask),
        "point_confidence": None if instance.point_confidence is None else instance.point_confidence.tolist(),
        "confidence": instance.confidence,
    }


def from_facts(facts: dict[str, Any], photo: AnnotatedPhoto) -> Instance:
    """The inverse of ``to_facts``, of an object on a photo."""
    points = [(np.nan, np.nan) if place is None else place for place in facts["keypoints"]]
    sure = facts["point_confidence"]
    return Instance(
        facts["category"],
        np.array(points, np.float64).reshape(-1, 2),
        np.array(facts["visibility"], np.int8),
        None if facts["box"] is None else tuple(facts["box"]),
        None if facts["mask"] is None else masks.from_run_lengths(facts["mask"], photo),
        None if sure is None else np.array(sure, np.float64),
        facts["confidence"],
    )


def _confidence(photo: AnnotatedPhoto) -> float:
    """Of a photo's least certain object; 2 where all is marked by hand."""
    known = [own.confidence for own in photo.instances if own.confidence is not None]
    return min(known, default=2.0)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    except (OSError, ValueError) as error:
        raise UnreadableFile(f"{path} is damaged ({error}); delete it, and add its correction again") from None

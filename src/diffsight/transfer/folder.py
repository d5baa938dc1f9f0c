"""A folder of results: what each photo got, what was corrected, and what is to be done again."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch

from ..errors import DiffsightError, InvalidInput, UnreadableFile
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

LONGEST = 200
"""Bytes of a photo's name that files about it still bear."""

OUTPUTS = ("annotations.json", "label_studio.json", "cvat.xml", "annotations.csv", "review.html")


@dataclass(frozen=True)
class TransferFolder:
    """Where a run keeps what it has done; it goes on from there, with more references if it is given any.

    Attributes:
        path: of the folder.
    """

    path: Path

    def check_own(self, report: Path) -> None:
        """Refuse a folder with results of which nobody knows how they were made.

        Raises:
            InvalidInput: if it holds files that would be replaced, but not the report of a run.
        """
        there = [name for name in (*OUTPUTS, "state", "corrections") if (self.path / name).exists()]
        if there and not report.exists():
            raise InvalidInput(f"{self.path} holds {there[0]}, but no {report.name}; give another folder")

    def jobs(self, photos: dict[str, Path]) -> list[Job]:
        """What is to be done, with what is known of each photo from a run before.

        Raises:
            UnreadableFile: if what was kept of one is damaged.
        """
        return [Job(name, path, self._before(name, path)) for name, path in photos.items()]

    def keep(self, job: Job, answer: Labelled) -> None:
        """Write what a photo got, whole or not at all; forget what a photo had that cannot be read any more."""
        if answer.failure:
            self._state(job.name).unlink(missing_ok=True)
        if answer.photo is None or answer.after is None:
            return
        facts = {**_describe(answer.photo, job.path), "used": answer.after.used, "earlier": self._replaced(job)}
        coarse = torch.from_numpy(answer.after.coarse)
        save_tensors({"coarse": coarse}, self._state(job.name), {"facts": json.dumps(facts)})

    def differs(self, photo: AnnotatedPhoto) -> bool:
        """Whether marks are other than what was ever found, or corrected before.

        Raises:
            UnreadableFile: if what was kept is damaged.
        """
        if self._correction(photo.name).exists():
            (before,) = self.corrections({photo.name: photo.path})
            return not alike(before.instances, photo.instances)
        state = self._state(photo.name)
        if not state.exists():
            return True
        facts = _facts(state)
        if facts["photo"] != file_digest(photo.path):
            return True
        with damaged(state):
            found = [{**facts, "instances": own} for own in (facts["instances"], *facts["earlier"])]
        return not any(alike(_photo(own, photo.name, photo.path, state).instances, photo.instances) for own in found)

    def correct(self, photo: AnnotatedPhoto) -> None:
        """Keep what was checked by hand; it is final."""
        save_json(_describe(photo, photo.path), self._correction(photo.name))

    def corrections(self, photos: dict[str, Path]) -> tuple[AnnotatedPhoto, ...]:
        """Those of these photos that were corrected, with their marks.

        Raises:
            UnreadableFile: if what was kept is damaged.
            InvalidInput: for a photo that is another since.
        """
        found = []
        for name, path in photos.items():
            kept = self._correction(name)
            if kept.exists():
                facts = _facts(kept)
                if facts["photo"] != file_digest(path):
                    raise InvalidInput(f"{path} is another photo than was corrected; bring that back, or delete {kept}")
                found.append(_photo(facts, name, path, kept))
        return tuple(found)

    def photo(self, name: str, path: Path) -> AnnotatedPhoto:
        """A photo with what was found.

        Raises:
            UnreadableFile: if what was kept is damaged.
        """
        state = self._state(name)
        return _photo(_facts(state), name, path, state)

    def write(
        self,
        categories: tuple[Category, ...],
        photos: dict[str, Path],
        given: dict[str, AnnotatedPhoto],
        review: int,
    ) -> list[Path]:
        """Put everything into files that annotation tools read, and into a page to look it over.

        Args:
            categories: of the marks.
            photos: those to put in, as far as they have marks.
            given: those of them that were marked by hand.
            review: how many of the least certain photos the page shows; 0 for no page.

        Returns:
            The files.

        Raises:
            UnreadableFile: if what was kept is damaged.
            OutputFailed: if a file cannot be written.
        """
        there = {name: path for name, path in photos.items() if name in given or self._state(name).exists()}
        stored = _Stored(self, there, given)
        whole = Annotations(categories, stored)
        paths = [self.path / name for name in OUTPUTS[:4]]
        write_coco(whole, paths[0])
        write_label_studio(whole, paths[1])
        write_cvat(whole, paths[2])
        write_keypoint_table(whole, paths[3])
        if review and there:
            order = sorted(range(len(stored)), key=[(_confidence(own), own.name) for own in stored].__getitem__)
            shown = [stored[number] for number in order[:review]]
            paths.append(write_review(Annotations(categories, shown), self.path))
        return paths

    def _replaced(self, job: Job) -> list[list[dict[str, Any]]]:
        """What was found on a photo up to now, without masks: a file of that time may be given back with it."""
        if job.before is None:
            return []
        state = self._state(job.name)
        facts = _facts(state)
        with damaged(state):
            return [*facts["earlier"], [{**own, "mask": None} for own in facts["instances"]]]

    def _before(self, name: str, path: Path) -> Before | None:
        state = self._state(name)
        if not state.exists():
            return None
        facts = _facts(state)
        if facts["photo"] != file_digest(path):
            return None
        from safetensors.numpy import load_file

        with damaged(state):
            used = {category: tuple(keys) for category, keys in facts["used"].items()}
            return Before(used, load_file(state)["coarse"])

    def _state(self, name: str) -> Path:
        return self.path / "state" / f"{_short(name)}.safetensors"

    def _correction(self, name: str) -> Path:
        return self.path / "corrections" / f"{_short(name)}.json"


class _Stored(Sequence[AnnotatedPhoto]):
    """The photos of a folder of results, each read when it is asked for, so that not all masks are held at once."""

    def __init__(self, folder: TransferFolder, photos: dict[str, Path], given: dict[str, AnnotatedPhoto]) -> None:
        self.folder = folder
        self.photos = list(photos.items())
        self.given = given

    def __len__(self) -> int:
        return len(self.photos)

    @overload
    def __getitem__(self, index: int) -> AnnotatedPhoto: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[AnnotatedPhoto]: ...

    def __getitem__(self, index: int | slice) -> AnnotatedPhoto | Sequence[AnnotatedPhoto]:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        name, path = self.photos[index]
        return self.given[name] if name in self.given else self.folder.photo(name, path)


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


def _describe(photo: AnnotatedPhoto, path: Path) -> dict[str, Any]:
    return {"photo": file_digest(path), "size": photo.size, "instances": [to_facts(own) for own in photo.instances]}


def _short(name: str) -> str:
    """A photo's name, or a digest of one that leaves no room for another ending."""
    return name if len(os.fsencode(name)) <= LONGEST else blake2b(os.fsencode(name), digest_size=16).hexdigest()


@contextmanager
def damaged(path: Path) -> Iterator[None]:
    """Say that a file was changed by others where what it holds cannot be understood.

    Raises:
        UnreadableFile: naming the file.
    """
    from safetensors import SafetensorError

    try:
        yield
    except DiffsightError:
        raise
    except (OSError, AttributeError, KeyError, TypeError, ValueError, SafetensorError) as error:
        raise UnreadableFile(f"{path} is damaged ({error}); delete it, to have it made or to give it anew") from None


def _facts(path: Path) -> dict[str, Any]:
    """What a file of a photo says of it: JSON, or the head of tensors."""
    from safetensors import safe_open

    with damaged(path):
        if path.suffix == ".json":
            text = path.read_text(encoding="utf-8")
        else:
            with safe_open(path, "numpy") as file:
                text = file.metadata()["facts"]
        found: dict[str, Any] = json.loads(text)
        found["photo"], found["size"], found["instances"]
        return found


def _photo(facts: dict[str, Any], name: str, path: Path, source: Path) -> AnnotatedPhoto:
    with damaged(source):
        height, width = facts["size"]
        bare = AnnotatedPhoto(name, path, (height, width))
        return replace(bare, instances=tuple(from_facts(own, bare) for own in facts["instances"]))

"""Annotation files in, whichever of the formats they are in."""

from __future__ import annotations

from pathlib import Path

from ..errors import UnreadableFile
from .annotations import Annotations
from .coco import read_coco
from .labelme import read_labelme, read_labelme_folder
from .photos import PhotoFolder, parse_json, read_text
from .tables import KeypointTable, read_keypoint_table


def read_annotations(path: Path, photos: Path | None = None) -> Annotations:
    """Read annotations and find their photos; the format is told by the content.

    Args:
        path: a COCO or LabelMe JSON file, a folder of LabelMe files, or a CSV table of keypoints.
        photos: folder that the photos' names start from; that of the annotations if left out.

    Raises:
        UnreadableFile: if the annotations or a photo cannot be read, or are in none of these formats.
        InvalidInput: if what they hold contradicts itself, or a photo lies outside the folder.
    """
    if path.is_dir():
        return read_labelme_folder(path, photos)
    folder = PhotoFolder(path.parent if photos is None else photos, path)
    text = read_text(path)
    if text.lstrip()[:1] not in ("{", "["):
        return read_keypoint_table(KeypointTable.parse(text, path), folder)
    facts = parse_json(text, path)
    if isinstance(facts, dict) and {"images", "annotations", "categories"} <= facts.keys():
        return read_coco(facts, path, folder)
    if isinstance(facts, dict) and {"shapes", "imagePath"} <= facts.keys():
        return read_labelme([(path, facts)], folder)
    raise UnreadableFile(
        f"{path} is JSON of neither COCO (images, annotations, categories) nor LabelMe (shapes, imagePath); "
        "give one of these, or CSV"
    )

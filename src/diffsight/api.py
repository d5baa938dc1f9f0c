"""What ``import diffsight`` offers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from .backbones.base import Backbone
from .backbones.captioner import Captioner
from .backbones.registry import load
from .draw import draw_segments, segment_colours
from .editing import Edit, Editor, EditSettings
from .errors import InvalidInput
from .images import load_picture
from .matching.aligner import Aligner
from .matching.confidence import Calibrations
from .matching.homography import Alignment
from .matching.matcher import Matcher
from .matching.refine import refinement
from .probe import Probe
from .readers import open_reader, single
from .segmentation.export import save_description, save_labels
from .segmentation.segmenter import Segmenter, Settings, Solver
from .transfer.annotations import AnnotatedPhoto, Annotations
from .transfer.carry import CarrySettings
from .transfer.reading import read_annotations
from .transfer.work import Transfer
from .types import Matches, Segmentation, Track
from .video import labels
from .video.frames import read_frames
from .video.masks import load_mask
from .video.tracker import Tracker

__all__ = [
    "Aligner",
    "Captioner",
    "EditSettings",
    "Editor",
    "Matcher",
    "Probe",
    "Segmenter",
    "Tracker",
    "Transfer",
    "align",
    "annotate",
    "draw_segments",
    "edit",
    "load",
    "load_picture",
    "match",
    "open_reader",
    "read_annotations",
    "save_segments",
    "segment",
    "track",
]


def match(
    source: Any,
    target: Any,
    points: npt.ArrayLike | None = None,
    *,
    model: Backbone | str | Path = "pocket",
    task: str = "semantic",
    refine: str = "plain",
    **changes: Any,
) -> Matches:
    """Find points of one photo in another, in one call.

    Args:
        source: the photo that the points lie in: path, PIL image, array or tensor.
        target: the photo to search.
        points: (N, 2) as (x, y) in pixels of the source, pixel centres at +0.5; left out, up to 12 well-spread mutual
            points are chosen.
        model: a loaded backbone, what ``load`` takes, or the name of a recipe such as ``pocket+``.
        task: ``semantic``, ``geometric`` or ``temporal``.
        refine: ``plain``, nearest neighbours; ``best``, points keep their arrangement.
        **changes: ``device``, ``dtype``, ``store``, and single settings that replace the task's, as for ``Matcher``.

    Raises:
        InvalidInput: for a point outside the photo, an unknown model, task or setting.
        UnreadableFile: for a photo that cannot be read.
        ModelUnavailable: if the weights cannot be had.
    """
    matcher = Matcher(model, task=task, refine=refine, **changes)
    return matcher.match(matcher.source(source, points), target)


def align(source: Any, target: Any, *, model: Backbone | str | Path = "pocket", **options: Any) -> Alignment:
    """Find how one photo of a plane lies on another, in one call.

    Args:
        source: the photo to lay over the other: path, PIL image, array or tensor.
        target: the photo below.
        model: a loaded backbone, or what ``load`` takes.
        **options: of ``Aligner``: ``keypoints``, ``count``, ``matching``, ``estimation``, ``device``, ``dtype``,
            ``store``, and single settings of reading.

    Returns:
        The homography and which matches agree with it. Without a matrix, and with the reason, if none was found.

    Raises:
        InvalidInput: for an unknown model, detector or setting.
        UnreadableFile: for a photo that cannot be read.
        ModelUnavailable: if the weights cannot be had.
    """
    aligner = Aligner(model, **options)
    return aligner.align(aligner.view(source), aligner.view(target))[1]


def edit(
    source: Any,
    sticker: str | Path,
    target: Any,
    *,
    model: Backbone | str | Path = "pocket",
    settings: EditSettings | None = None,
    **options: Any,
) -> Edit:
    """Put a sticker, drawn on a photo, where it belongs in another, in one call.

    Args:
        source: the photo that the sticker was drawn on.
        sticker: a file of the source's size, transparent around the drawing.
        target: the photo to edit.
        model: a loaded backbone, or what ``load`` takes.
        settings: how the sticker is carried over.
        **options: of ``Matcher``: ``task``, ``device``, ``dtype``, ``store``, and single settings of reading.

    Returns:
        The edited photo and what speaks against it. Without a photo, and with the reason, if no place was found.

    Raises:
        InvalidInput: for a sticker without alpha or of another size, an unknown model or setting.
        UnreadableFile: for a file that cannot be read.
        ModelUnavailable: if the weights cannot be had.
    """
    editor = Editor(model, settings=settings, **options)
    return editor.paste(editor.source(source, sticker), target)


def segment(
    photo: Any,
    *,
    model: Backbone | str | Path = "pocket",
    solver: Solver = "diffseg",
    settings: Settings | None = None,
    names: Sequence[str] | None = None,
    caption: str | Captioner | None = None,
    margin: float = 0.0,
    merge: bool = False,
    **changes: Any,
) -> Segmentation:
    """Cut a photo into its parts, in one call.

    Args:
        photo: path, PIL image, array or tensor.
        model: a loaded backbone, or what ``load`` takes.
        solver: ``diffseg``, ``ncut`` or ``kmeans``.
        settings: the solver's.
        names: words that segments may be called.
        caption: a sentence whose words segments may be called, or a ``Captioner``, which writes one.
        margin: least lead of the best word over the second, 0 to 1; below it a segment has no name.
        merge: join segments of one name.
        **changes: ``borders``, ``device``, ``dtype``, ``store``, and single settings, as for ``Segmenter``.

    Returns:
        Labels at the photo's size, with areas, boxes, scores and names.

    Raises:
        InvalidInput: for an unknown model, solver, setting or word.
        UnreadableFile: for a photo that cannot be read.
        ModelUnavailable: if the weights cannot be had.
    """
    segmenter = Segmenter(model, solver=solver, settings=settings, **changes)
    return segmenter.segment(photo, names=names, caption=caption, margin=margin, merge=merge)


def track(
    video: str | Path | Iterable[Any],
    *,
    mask: str | Path | npt.NDArray[np.integer] | None = None,
    points: npt.ArrayLike | None = None,
    boxes: npt.ArrayLike | None = None,
    start: int = 0,
    stop: int | None = None,
    model: Backbone | str | Path = "pocket",
    **changes: Any,
) -> Iterator[Track]:
    """Follow objects or points of one frame through the frames after it.

    Frames are read as the result is asked for, and dropped.

    Args:
        video: a video file, a folder of frames, or an iterable of photos of one size.
        mask: labels of the first frame, (H, W) or a PNG: 0 is background, 1 to 254 are objects.
        points: (N, 2) as (x, y) in pixels of the first frame; instead of a mask.
        boxes: (N, 4) as (x0, y0, x1, y1) in pixels of the first frame; instead of a mask.
        start: number of the first frame.
        stop: number of the first frame not to follow any more.
        model: a loaded backbone, or what ``load`` takes.
        **changes: ``settings`` of the propagation, ``short``, ``batch``, ``memory``, ``device``, ``dtype``, ``store``,
            and single settings of the reading, as for ``Tracker``.

    Returns:
        An iterator over what each frame shows, the first included.

    Raises:
        InvalidInput: if not exactly one of mask, points and boxes is given, or it does not suit the first frame.
        UnreadableFile: for a video or mask that cannot be read, or a damaged frame.
        ModelUnavailable: if the weights cannot be had.
    """
    if sum(given is not None for given in (mask, points, boxes)) != 1:
        raise InvalidInput("say what to follow in the first frame by one of mask, points and boxes")
    frames = read_frames(video, start=start, stop=stop)
    first = next(frames)
    if mask is not None:
        target = labels.objects(load_mask(Path(mask)) if isinstance(mask, str | Path) else mask, first.picture.size)
    elif boxes is not None:
        target = labels.boxes(boxes, first.picture.size)
    else:
        target = labels.points(points if points is not None else ())
    return Tracker(model, **changes).track(chain([first], frames), target)


def annotate(
    references: str | Path | Annotations,
    photos: Iterable[Any],
    *,
    model: str = "pocket+",
    refine: str = "best",
    votes: int = 8,
    abstain_below: float = 0.0,
    masks: bool = False,
    calibrations: Calibrations | None = None,
    **options: Any,
) -> Iterator[AnnotatedPhoto]:
    """Carry the annotations of a few photos to others.

    Args:
        references: annotated photos: a COCO or LabelMe file, a folder of the latter, a CSV table, or what one holds.
        photos: to be labelled: whatever ``load_picture`` takes.
        model: the name of a recipe that joins maps, such as ``pocket+``, or what ``load`` takes.
        refine: ``best`` or ``plain``.
        votes: references that are asked about a photo: those most like it.
        abstain_below: points less sure than this are left out, 0 to 1.
        masks: also find masks, through the segmentation.
        calibrations: from ``diffsight calibrate``; those shipped for the model if left out.
        **options: ``device``, ``dtype``, ``store``, ``prompt``, ``seed``.

    Returns:
        An iterator over the photos with their marks, and how sure each is. ``diffsight transfer`` writes them to files.

    Raises:
        InvalidInput: for annotations that contradict themselves, or an unknown model or setting.
        UnreadableFile: for a file that cannot be read.
        ModelUnavailable: if the weights cannot be had.
    """
    known = references if isinstance(references, Annotations) else read_annotations(Path(references))
    reader = open_reader(model, **options)
    settings = CarrySettings(refinement(refine, reader.refine), votes=votes, abstain_below=abstain_below)
    fitted = Calibrations.shipped(reader.name, reader.record) if calibrations is None else calibrations
    own = {key: options[key] for key in ("device", "dtype") if key in options}
    transfer = Transfer(reader, known, settings, fitted, Segmenter(single(model), **own) if masks else None)
    return map(transfer.label, photos)


def save_segments(segmentation: Segmentation, path: str | Path) -> None:
    """Write a segmentation: ``.png`` for indexed labels, ``.json`` for COCO run-length masks and figures.

    Raises:
        InvalidInput: for another ending.
        OutputFailed: if it cannot be written.
    """
    path = Path(path)
    if path.suffix == ".png":
        save_labels(segmentation, path, segment_colours(len(segmentation)))
    elif path.suffix == ".json":
        save_description(segmentation, path)
    else:
        raise InvalidInput(f"cannot write a segmentation as {path.name}; use .png (labels) or .json (COCO masks)")

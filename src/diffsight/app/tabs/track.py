"""The tab Track."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
import numpy.typing as npt
from gradio.utils import get_upload_folder

from .. import track
from ..limits import KEPT, MAX_OBJECTS
from ..models import Models
from ..pictures import data_url, encode
from ..track import TOOLS, Desk, Session
from ..wires import Wires, saying_what_fails
from .parts import progress_html, scripted, status_html

SHEET = """
<div class="sheet" data-tool="${value.tool}" tabindex="0" role="application" aria-describedby="track-help"
  aria-label="First frame: draw here. Arrow keys move the cross, Enter begins and ends a mark, Escape drops it">
<img src="${value.image}" alt="the first frame with its marks" draggable="false">
<svg viewBox="0 0 ${value.width} ${value.height}" aria-hidden="true"><path class="path"></path><path class="aim"></path>
</svg></div>
"""

NOTHING = {"image": "", "width": 4, "height": 3, "tool": TOOLS[0], "brush": 1, "busy": False}

HELP = {
    "Box": "Drag from corner to corner, or click two corners. Each box is an object of its own.",
    "Brush": "Paint over the object; choose another number for the next object.",
    "Eraser": "Rub out what is too much.",
    "Points": "Click the points to follow.",
}


def lay_out(models: Models, folder: Path) -> None:
    """The first frame to draw in, what came of it beside it.

    Args:
        models: to follow with.
        folder: unused; clips and what comes of them lie where Gradio serves files from, so that it makes no copies,
            which would stay when a visitor goes.
    """
    desk = Desk(models, Path(get_upload_folder()) / "track")
    session = gr.State(Session(), time_to_live=KEPT, delete_callback=desk.forget)
    gr.Markdown("Mark things in the first frame of a clip, and see where they are in all the others.")
    choosing = _Choosing.lay_out()
    with gr.Row():
        marking, following = _Marking.lay_out(), _Following.lay_out()
    groups = (choosing, marking, following)

    def show(after: Session) -> list[Any]:
        busy = desk.is_busy(after)
        return [value for group in groups for value in group.show(after, busy)]

    wires = Wires(session, [output for group in groups for output in group.outputs], show)
    clips = replace(wires, queue="clips")
    clips.connect(choosing.clip.upload, desk.choose_clip, choosing.clip, wait=True)
    clips.connect(choosing.photos.upload, desk.choose_photos, choosing.photos, wait=True)
    marking.connect(desk, wires)
    begun = [
        wires.connect(following.start.click, desk.start),
        clips.connect(choosing.example.click, desk.example, wait=True),
    ]
    _follow(desk, wires, begun, following)


def _follow(desk: Desk, wires: Wires[Session], begun: list[Any], following: _Following) -> None:
    """Follow after each of these connections, to the end or until it is cancelled."""
    outputs = [wires.state, *wires.outputs]

    def follow(before: Session) -> Iterator[list[Any]]:
        if not desk.is_busy(before):
            yield [gr.skip() for _ in outputs]
            return
        after = replace(before, job="")
        with saying_what_fails():
            for step in desk.follow(before):
                if isinstance(step, Session):
                    after = step
                else:
                    bar = gr.HTML(_progress(before, step))
                    yield [bar if one is following.progress else gr.skip() for one in outputs]
        yield [after, *wires.show(after)]

    for ready in begun:
        ready.then(
            follow,
            wires.state,
            outputs,
            concurrency_id="track",
            concurrency_limit=1,
            show_progress="hidden",
            api_visibility="private",
        )
    following.cancel.click(
        desk.cancel, wires.state, concurrency_id="quick", show_progress="hidden", api_visibility="private"
    )


@dataclass(frozen=True)
class _Choosing:
    """Choosing a clip."""

    example: gr.Button
    clip: gr.UploadButton
    photos: gr.UploadButton
    status: gr.HTML

    @classmethod
    def lay_out(cls) -> _Choosing:
        with gr.Row():
            example = gr.Button("Try the example", variant="primary", elem_id="track-example", min_width=120)
            clip = gr.UploadButton("Choose a clip", file_types=["video"], elem_id="track-clip", min_width=120)
            photos = gr.UploadButton(
                "Choose photos", file_types=["image"], file_count="multiple", elem_id="track-photos", min_width=120
            )
        return cls(example, clip, photos, gr.HTML(status_html(track.status(Session())), elem_id="track-status"))

    @property
    def outputs(self) -> list[Any]:
        return [self.example, self.clip, self.photos, self.status]

    def show(self, after: Session, busy: bool) -> list[Any]:
        return [
            gr.Button(interactive=not busy),
            *(gr.UploadButton(interactive=not busy) for _ in (self.clip, self.photos)),
            status_html("Following; this may take a while." if busy else track.status(after)),
        ]


@dataclass(frozen=True)
class _Marking:
    """Marking things in the first frame."""

    column: gr.Column
    tool: gr.Radio
    advice: gr.Markdown
    label: gr.Radio
    brush: gr.Slider
    sheet: gr.HTML
    undo: gr.Button
    clear: gr.Button
    mask: gr.UploadButton

    @classmethod
    def lay_out(cls) -> _Marking:
        with gr.Column(min_width=280, visible=False) as column:
            tool = gr.Radio(TOOLS, value=TOOLS[0], label="Mark by", elem_id="track-tool")
            advice = gr.Markdown(HELP["Box"], elem_id="track-help")
            label = gr.Radio(list(range(1, MAX_OBJECTS + 1)), value=1, label="Object", elem_id="track-object")
            brush = gr.Slider(1, 30, 8, step=1, label="Width, % of the frame", elem_id="track-brush", buttons=[])
            sheet = scripted("track", NOTHING, html_template=SHEET, elem_id="track-sheet")
            with gr.Row():
                undo = gr.Button("Undo", elem_id="track-undo", min_width=80)
                clear = gr.Button("Clear", elem_id="track-clear", min_width=80)
                mask = gr.UploadButton("Choose a mask", file_types=[".png"], elem_id="track-mask", min_width=120)
        return cls(column, tool, advice, label, brush, sheet, undo, clear, mask)

    @property
    def outputs(self) -> list[Any]:
        first = [self.column, self.tool, self.advice, self.label, self.brush, self.sheet]
        return [*first, self.undo, self.clear, self.mask]

    def show(self, after: Session, busy: bool) -> list[Any]:
        painting = after.tool in ("Brush", "Eraser")
        return [
            gr.Column(visible=after.clip is not None),
            gr.Radio(interactive=not busy),
            HELP[after.tool],
            gr.Radio(visible=after.tool == "Brush", interactive=not busy),
            gr.Slider(visible=painting, interactive=not busy),
            _sheet(after, busy),
            *(gr.Button(interactive=not busy) for _ in (self.undo, self.clear)),
            gr.UploadButton(interactive=not busy),
        ]

    def connect(self, desk: Desk, wires: Wires[Session]) -> None:
        for change in (self.tool.change, self.label.change, self.brush.release):
            wires.connect(change, desk.choose_tool, self.tool, self.label, self.brush)
        wires.connect(self.mask.upload, desk.choose_mask, self.mask)
        wires.connect(self.undo.click, desk.undo)
        wires.connect(self.clear.click, desk.clear)
        wires.connect_part(self.sheet.mark, _path, desk.mark)


@dataclass(frozen=True)
class _Following:
    """Following what is marked, and what came of it."""

    column: gr.Column
    start: gr.Button
    cancel: gr.Button
    progress: gr.HTML
    kept: gr.Column
    video: gr.Video
    files: tuple[gr.DownloadButton, ...]

    @classmethod
    def lay_out(cls) -> _Following:
        with gr.Column(min_width=280, visible=False) as column:
            start = gr.Button("Follow", variant="primary", elem_id="track-follow")
            cancel = gr.Button("Cancel", variant="stop", elem_id="track-cancel", visible=False)
            progress = gr.HTML(elem_id="track-progress", visible=False)
            with gr.Column(visible=False) as kept:
                video = gr.Video(
                    show_label=False, interactive=False, buttons=[], loop=True, autoplay=True, elem_id="track-video"
                )
                with gr.Row():
                    files = tuple(
                        gr.DownloadButton(f"Download {what}", elem_id=f"track-{name}", min_width=80)
                        for what, name in (("video", "overlay"), ("labels", "labels"), ("COCO", "coco"))
                    )
        return cls(column, start, cancel, progress, kept, video, files)

    @property
    def outputs(self) -> list[Any]:
        return [self.column, self.start, self.cancel, self.progress, self.kept, self.video, *self.files]

    def show(self, after: Session, busy: bool) -> list[Any]:
        result = after.result
        overlay, table, description = (
            (None, None, None)
            if result is None
            else (str(path) for path in (result.overlay, result.table, result.description))
        )
        return [
            gr.Column(visible=after.clip is not None),
            gr.Button(visible=not busy),
            gr.Button(visible=busy),
            gr.HTML(_progress(after, 0), visible=busy),
            gr.Column(visible=result is not None),
            gr.Video(overlay),
            gr.DownloadButton(value=overlay),
            gr.DownloadButton(f"Download {'points' if track.has_points(after) else 'labels'}", value=table),
            gr.DownloadButton(value=description),
        ]


def _path(said: Any) -> npt.NDArray[np.float64]:
    return np.array(said["path"], np.float64).reshape(-1, 2)


def _sheet(session: Session, busy: bool) -> dict[str, Any]:
    image = track.draw(session)
    if image is None:
        return NOTHING
    size = {"width": image.width, "height": image.height}
    shown = data_url(encode(image, "jpeg"))
    return {"image": shown, **size, "tool": session.tool, "brush": session.brush, "busy": busy}


def _progress(session: Session, done: int) -> str:
    count = 1 if session.clip is None else session.clip.count
    return progress_html(f"Frame {done} of {count}" if done else "Waiting for its turn", done, count)

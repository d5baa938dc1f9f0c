"""The tab Track."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import gradio as gr
import numpy as np
from gradio.utils import get_upload_folder

from .. import track
from ..limits import KEPT, MAX_OBJECTS
from ..models import Models
from ..track import TOOLS, Desk, Session
from ..wires import Wires, data_url, saying_what_fails

SCRIPT = (Path(__file__).parent / "track.js").read_text(encoding="utf-8")

SHEET = """
<div class="sheet" data-tool="${value.tool}" tabindex="0" role="application" aria-describedby="track-help"
  aria-label="First frame: draw here. Arrow keys move the cross, Enter begins and ends a mark, Escape drops it">
<img src="${value.image}" alt="the first frame with its marks" draggable="false">
<svg viewBox="0 0 ${value.width} ${value.height}" aria-hidden="true"><path class="path"></path><path class="aim"></path>
</svg></div>
"""

SHEET_STYLE = """
.sheet {position: relative; cursor: crosshair; touch-action: none; user-select: none; line-height: 0}
.sheet:focus-visible {outline: 3px solid #2563eb; outline-offset: 2px}
.sheet img {width: 100%; margin: 0; border-radius: 4px}
.sheet svg {position: absolute; inset: 0; width: 100%; height: 100%; overflow: hidden}
.path {fill: none; stroke: #fff; stroke-opacity: 0.75; stroke-linecap: round; stroke-linejoin: round}
.aim {fill: none; stroke: #fff; stroke-width: 1; vector-effect: non-scaling-stroke; mix-blend-mode: difference}
"""

PROGRESS = """
<label>${value.text} <progress max="${value.count}" value="${value.done}"></progress></label>
"""

PROGRESS_STYLE = """
label {display: block}
progress {display: block; width: 100%; height: 12px; appearance: none; border: 0; background: #d4d4d8}
progress::-webkit-progress-bar {background: #d4d4d8}
progress::-webkit-progress-value {background: #c2410c}
progress::-moz-progress-bar {background: #c2410c}
"""

NOTHING = {"image": "", "width": 4, "height": 3, "tool": TOOLS[0], "brush": 1, "busy": False}

NO_STEP = {"text": "", "done": 0, "count": 1}

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
    with gr.Row():
        example = gr.Button("Try the example", variant="primary", elem_id="track-example", min_width=120)
        clip = gr.UploadButton("Choose a clip", file_types=["video"], elem_id="track-clip", min_width=120)
        photos = gr.UploadButton(
            "Choose photos", file_types=["image"], file_count="multiple", elem_id="track-photos", min_width=120
        )
    status = gr.Markdown(track.status(Session()), elem_id="track-status")
    with gr.Row():
        with gr.Column(min_width=280, visible=False) as left:
            tool = gr.Radio(TOOLS, value=TOOLS[0], label="Mark by", elem_id="track-tool")
            advice = gr.Markdown(HELP["Box"], elem_id="track-help")
            label = gr.Radio(list(range(1, MAX_OBJECTS + 1)), value=1, label="Object", elem_id="track-object")
            brush = gr.Slider(1, 30, 8, step=1, label="Width, % of the frame", elem_id="track-brush", buttons=[])
            sheet = gr.HTML(
                NOTHING,
                html_template=SHEET,
                css_template=SHEET_STYLE,
                js_on_load=SCRIPT,
                elem_id="track-sheet",
            )
            with gr.Row():
                undo = gr.Button("Undo", elem_id="track-undo", min_width=80)
                clear = gr.Button("Clear", elem_id="track-clear", min_width=80)
                mask = gr.UploadButton("Choose a mask", file_types=[".png"], elem_id="track-mask", min_width=120)
        with gr.Column(min_width=280, visible=False) as right:
            start = gr.Button("Follow", variant="primary", elem_id="track-follow")
            cancel = gr.Button("Cancel", variant="stop", elem_id="track-cancel", visible=False)
            progress = gr.HTML(
                NO_STEP,
                html_template=PROGRESS,
                css_template=PROGRESS_STYLE,
                js_on_load=None,
                elem_id="track-progress",
                visible=False,
            )
            with gr.Column(visible=False) as kept:
                video = gr.Video(
                    show_label=False, interactive=False, buttons=[], loop=True, autoplay=True, elem_id="track-video"
                )
                with gr.Row():
                    keep_video = gr.DownloadButton("Save video", elem_id="track-overlay", min_width=80)
                    keep_table = gr.DownloadButton("Save labels", elem_id="track-labels", min_width=80)
                    keep_json = gr.DownloadButton("Save COCO", elem_id="track-json", min_width=80)

    def show(after: Session) -> list[Any]:
        busy, result, idle = desk.is_busy(after), after.result, not desk.is_busy(after)
        painting = after.tool in ("Brush", "Eraser")
        points = result is not None and result.table.suffix == ".csv"
        return [
            track.status(after) if idle else "Following; this may take a while.",
            gr.Column(visible=after.clip is not None),
            gr.Column(visible=after.clip is not None),
            gr.Column(visible=result is not None),
            gr.Radio(interactive=idle),
            HELP[after.tool],
            gr.Radio(visible=after.tool == "Brush", interactive=idle),
            gr.Slider(visible=painting, interactive=idle),
            _sheet(after, busy),
            *(gr.Button(interactive=idle) for _ in (example, undo, clear)),
            *(gr.UploadButton(interactive=idle) for _ in (clip, photos, mask)),
            gr.Button(visible=idle),
            gr.Button(visible=busy),
            gr.HTML(_step(after, 0), visible=busy),
            gr.Video(None if result is None else str(result.overlay)),
            gr.DownloadButton(value=None if result is None else str(result.overlay)),
            gr.DownloadButton(
                "Save points" if points else "Save labels", value=None if result is None else str(result.table)
            ),
            gr.DownloadButton(value=None if result is None else str(result.description)),
        ]

    outputs = [status, left, right, kept, tool, advice, label, brush, sheet, example, undo, clear, clip, photos, mask]
    outputs += [start, cancel, progress, video, keep_video, keep_table, keep_json]
    wires = Wires(session, outputs, show)
    long = replace(wires, queue="clips")

    def follow(before: Session) -> Iterator[list[Any]]:
        after, waiting = replace(before, job=""), [gr.skip() for _ in (session, *outputs)]
        if not desk.is_busy(before):
            yield waiting
            return
        with saying_what_fails():
            for step in desk.follow(before):
                if isinstance(step, Session):
                    after = step
                else:
                    yield [
                        gr.HTML(_step(before, step)) if one is progress else gr.skip() for one in (session, *outputs)
                    ]
        yield [after, *show(after)]

    long.connect(clip.upload, desk.choose_clip, clip, wait=True)
    long.connect(photos.upload, desk.choose_photos, photos, wait=True)
    for ready in (wires.connect(start.click, desk.start), long.connect(example.click, desk.example, wait=True)):
        ready.then(
            follow,
            session,
            [session, *outputs],
            concurrency_id="track",
            concurrency_limit=1,
            show_progress="hidden",
            api_visibility="private",
        )
    cancel.click(desk.cancel, session, concurrency_id="quick", show_progress="hidden", api_visibility="private")
    for change in (tool.change, label.change, brush.release):
        wires.connect(change, desk.choose_tool, tool, label, brush)
    wires.connect(mask.upload, desk.choose_mask, mask)
    wires.connect(undo.click, desk.undo)
    wires.connect(clear.click, desk.clear)

    wires.connect_part(sheet.mark, lambda said: np.array(said["path"], np.float64).reshape(-1, 2), desk.mark)


def _sheet(session: Session, busy: bool) -> dict[str, Any]:
    image = track.draw(session)
    if image is None:
        return NOTHING
    size = {"width": image.width, "height": image.height}
    return {"image": data_url(image), **size, "tool": session.tool, "brush": session.brush, "busy": busy}


def _step(session: Session, done: int) -> dict[str, Any]:
    count = 1 if session.clip is None else session.clip.count
    text = f"Frame {done} of {count}" if done else "Waiting for its turn"
    return {"text": text, "done": done, "count": count}

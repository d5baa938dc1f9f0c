"""The tab Segment."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from ...segmentation.segmenter import Solver
from .. import segment
from ..limits import KEPT
from ..models import Models
from ..outlines import outlines
from ..pictures import data_url, encode
from ..segment import COUNTS, EXAMPLE_NAMES, Desk, Session
from ..wires import Wires, place
from .parts import download_button, scripted, status_html

WAYS = {
    "diffseg": "Join what the model looks at together (DiffSeg)",
    "ncut": "Cut where what it sees changes most (normalized cuts)",
    "kmeans": "Sort into a number of parts that I choose (k-means)",
}
CLICKS = [("the part: its size, name and score", "part"), ("where the model looks from there", "look")]
DETAIL = "Fewer, larger parts \u2194 more, smaller parts"
STAGE = """<div class="stage"><img src="${photo}" alt="the photo that is cut">${value}</div>
<p class="line" role="status" data-hint="${hint}">${hint}</p>"""
HINTS = {
    "part": "Point at a part, click it, or press Tab and the arrow keys. "
    "Clear: how far it is ahead of all other parts where it lies. Fit: its name's share among all names.",
    "look": "Click a spot, or press Enter on a part, to see where the model looks from there.",
}
SEEN = "Bright: where the model looks from the cross."
BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA="


def lay_out(models: Models, folder: Path) -> None:
    """A photo with its parts outlined; what changes them beside it.

    Args:
        models: to cut photos with.
        folder: for files that visitors download.
    """
    desk = Desk(models)
    start = desk.start()
    gr.Markdown(
        "A photo is cut into its parts, without being told what to look for. Move the slider for fewer or more of "
        "them, and point at one to see how large it is."
    )
    session = gr.State(start, time_to_live=KEPT)
    with gr.Row():
        upload = gr.UploadButton("Choose a photo", file_types=["image"], elem_id="segment-photo", min_width=120)
        example = gr.Button("Try the example", variant="primary", elem_id="segment-example", min_width=120)
    status = gr.HTML(status_html(desk.status(start)), elem_id="segment-status")
    with gr.Row(visible=False) as bench:
        with gr.Column(scale=3, min_width=280):
            sliders = {solver: _slider(solver, start) for solver in desk.solvers}
            stage = scripted("segment", html_template=STAGE, elem_id="segment-stage", photo=BLANK, hint="")
        with gr.Column(scale=2, min_width=260):
            ways = _Ways.lay_out(desk, start)
            with gr.Row():
                for label, name, make in (
                    ("Labels (PNG)", "labels.png", desk.labels),
                    ("Picture (PNG)", "overlay.png", desk.overlay),
                    ("Figures (JSON)", "parts.json", desk.description),
                ):
                    download_button(label, name, make, session, folder, f"segment-{Path(name).stem}")

    def show_cut(after: Session) -> list[Any]:
        visible = [gr.Slider(visible=own == after.solver) for own in sliders]
        return [_cut(after), status_html(desk.status(after)), *visible]

    def show_photo(after: Session) -> list[Any]:
        return [_cut(after, data_url(encode(desk.picture(after), "jpeg")))]

    def show_all(after: Session) -> list[Any]:
        levels = [gr.Slider(value=after.levels[own], visible=own == after.solver) for own in sliders]
        words = "" if after.names is None else ", ".join(after.names.words)
        return [*show_photo(after), status_html(desk.status(after)), gr.Row(visible=True), words, after.solver, *levels]

    everything = Wires(session, [stage, status, bench, ways.names, ways.solver, *sliders.values()], show_all)
    everything.connect_slow(upload.upload, desk.choose, upload, queue="read", wait=True)
    everything.connect_slow(example.click, desk.example, queue="read", wait=True)
    photo = Wires(session, [stage], show_photo)
    photo.connect(ways.clicks.input, desk.take_clicks, ways.clicks)
    photo.connect_part(stage.look, place, desk.look, latest=True)
    cut = Wires(session, [stage, status, *sliders.values()], show_cut)
    for own, slider in sliders.items():
        cut.connect(slider.input, lambda before, level, own=own: desk.cut(before, own, level), slider, latest=True)
    cut.connect(ways.solver.input, lambda before, own: desk.cut(before, own, before.levels[own]), ways.solver)
    for event in (ways.call.click, ways.names.submit):
        cut.connect(event, desk.name, ways.names)


@dataclass(frozen=True)
class _Ways:
    """How the photo is cut, what its parts may be called, and what clicks mean."""

    names: gr.Textbox
    call: gr.Button
    clicks: gr.Radio
    solver: gr.Radio

    @classmethod
    def lay_out(cls, desk: Desk, start: Session) -> _Ways:
        names = gr.Textbox(
            label="Names that parts may have",
            info="words with commas between",
            placeholder=EXAMPLE_NAMES,
            max_length=200,
            elem_id="segment-names",
        )
        call = gr.Button("Name the parts", elem_id="segment-name")
        clicks = gr.Radio(CLICKS, value=start.clicks, label="A click shows", elem_id="segment-clicks")
        ways = [(WAYS[solver], solver) for solver in desk.solvers]
        solver = gr.Radio(ways, value=start.solver, label="How the photo is cut", elem_id="segment-solver")
        return cls(names, call, clicks, solver)


def _slider(solver: Solver, start: Session) -> gr.Slider:
    low, high = COUNTS if solver == "kmeans" else (0, 100)
    return gr.Slider(
        low,
        high,
        start.levels[solver],
        step=1,
        label="How many parts" if solver == "kmeans" else DETAIL,
        visible=solver == start.solver,
        elem_id=f"segment-{solver}",
    )


def _cut(after: Session, photo: str | None = None) -> gr.HTML:
    """The parts over the photo; a new photo only if one is given, as it is large."""
    lines = [part.line for part in segment.parts(after)]
    drawn = "" if after.found is None else outlines(after.found, lines, after.clicks)
    hint = SEEN if after.spot else HINTS[after.clicks]
    return gr.HTML(drawn, hint=hint) if photo is None else gr.HTML(drawn, hint=hint, photo=photo)

"""The tab Segment."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from ...segmentation.segmenter import Solver
from .. import segment
from ..limits import KEPT
from ..models import Models
from ..outlines import outlines
from ..segment import COUNTS, EXAMPLE_NAMES, Desk, Session
from ..wires import Wires, data_url, offer, place

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
        upload = gr.UploadButton("Choose a photo", file_types=["image"], elem_id="upload-segment", min_width=120)
        example = gr.Button("Try the example", variant="primary", elem_id="segment-example", min_width=120)
    status = gr.Markdown(desk.status(start), elem_id="segment-status")
    with gr.Row(visible=False) as bench:
        with gr.Column(scale=3, min_width=280):
            sliders = {solver: _slider(solver, start) for solver in desk.solvers}
            stage = _stage()
        with gr.Column(scale=2, min_width=260):
            names = gr.Textbox(
                label="Names that parts may have", info="words with commas between", placeholder=EXAMPLE_NAMES,
                max_length=200, elem_id="segment-names",
            )  # fmt: skip
            call = gr.Button("Name the parts", elem_id="segment-name")
            clicks = gr.Radio(CLICKS, value=start.clicks, label="A click shows", elem_id="segment-clicks")
            ways = [(WAYS[solver], solver) for solver in desk.solvers]
            solver = gr.Radio(ways, value=start.solver, label="How the photo is cut", elem_id="segment-solver")
            with gr.Row():
                _download("Labels (PNG)", "labels", ".png", desk.labels, session, folder)
                _download("Picture (PNG)", "overlay", ".png", desk.overlay, session, folder)
                _download("Figures (JSON)", "parts", ".json", desk.description, session, folder)

    def show_cut(after: Session) -> list[Any]:
        return [_cut(after), desk.status(after), *(gr.Slider(visible=own == after.solver) for own in sliders)]

    def show_photo(after: Session) -> list[Any]:
        return [_cut(after, data_url(desk.picture(after)))]

    def show_all(after: Session) -> list[Any]:
        levels = [gr.Slider(value=after.levels[own], visible=own == after.solver) for own in sliders]
        words = "" if after.names is None else ", ".join(after.names.words)
        return [*show_photo(after), desk.status(after), gr.Row(visible=True), words, after.solver, *levels]

    everything = Wires(session, [stage, status, bench, names, solver, *sliders.values()], show_all)
    everything.connect(upload.upload, desk.choose, upload, wait=True)
    everything.connect(example.click, desk.example, wait=True)
    photo = Wires(session, [stage], show_photo)
    photo.connect(clicks.input, desk.take_clicks, clicks)
    photo.connect_part(stage.look, place, desk.look, latest=True)
    cut = Wires(session, [stage, status, *sliders.values()], show_cut)
    for own, slider in sliders.items():
        cut.connect(slider.input, lambda before, level, own=own: desk.cut(before, own, level), slider, latest=True)
    cut.connect(solver.input, lambda before, own: desk.cut(before, own, before.levels[own]), solver)
    for event in (call.click, names.submit):
        cut.connect(event, desk.name, names)


def _stage() -> gr.HTML:
    here = Path(__file__).parent
    return gr.HTML(
        "",
        html_template=STAGE,
        css_template=(here / "segment.css").read_text(),
        js_on_load=(here / "segment.js").read_text(),
        elem_id="segment-stage",
        photo=BLANK,
        hint="",
    )


def _slider(solver: Solver, start: Session) -> gr.Slider:
    low, high = COUNTS if solver == "kmeans" else (0, 100)
    return gr.Slider(
        low, high, start.levels[solver], step=1, label="How many parts" if solver == "kmeans" else DETAIL,
        visible=solver == start.solver, elem_id=f"segment-{solver}",
    )  # fmt: skip


def _cut(after: Session, photo: str | None = None) -> gr.HTML:
    """The parts over the photo; a new photo only if one is given, as it is large."""
    lines = [part.line for part in segment.parts(after)]
    drawn = "" if after.found is None else outlines(after.found, lines, after.clicks)
    hint = SEEN if after.spot else HINTS[after.clicks]
    return gr.HTML(drawn, hint=hint) if photo is None else gr.HTML(drawn, hint=hint, photo=photo)


def _download(
    label: str, name: str, ending: str, make: Callable[[Session], bytes], session: gr.State, folder: Path
) -> None:
    """A button that makes a file once it is asked for."""
    button = gr.Button(label, elem_id=f"segment-{name}", min_width=110, size="sm")
    file = gr.DownloadButton(visible="hidden", elem_id=f"segment-{name}-file")
    made = button.click(
        lambda now: offer(lambda: make(now), folder, name + ending),
        session,
        file,
        concurrency_id="quick",
        concurrency_limit=1,
        api_visibility="private",
    )
    made.success(None, js=f"() => document.querySelector('#segment-{name}-file').click()", api_visibility="private")

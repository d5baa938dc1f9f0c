"""The tab Transfer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from .. import transfer_marks as marks
from ..limits import KEPT, MAX_PHOTOS
from ..models import Models
from ..transfer import Desk, Outcome, Session, forget, touch
from ..wires import Wires, place, saying_what_fails
from .board import board, draw
from .parts import progress_html, status_html

MARKING = "Click or press Enter to set the next point; with a point focused, arrow keys move it, Delete removes it."
CHECKING = "Left and right arrow keys turn to other photos; with a point focused, they move it, Delete removes it."

Show = Callable[[Session], list[Any]]


@dataclass(frozen=True)
class View:
    """Components that change together.

    Attributes:
        outputs: the components.
        show: their new values, in the same order.
    """

    outputs: list[Any]
    show: Show


def lay_out(models: Models, folder: Path) -> None:
    """Steps from top to bottom: mark a photo, choose others, look them over, export.

    Args:
        models: to find points with.
        folder: gets a folder for each visitor's photos.
    """
    desk = Desk(models, folder)
    gr.Markdown(
        "Mark the points of one photo, and they are found on many others, with how sure that is. "
        "Set right what is wrong, and download it all."
    )
    session = gr.State(Session(), time_to_live=KEPT, delete_callback=forget)
    with gr.Row():
        example = gr.Button("Try the example", variant="primary", scale=0, min_width=200, elem_id="transfer-example")
    first, second, third = _First.lay_out(), _Second.lay_out(models), _Third.lay_out()

    def wires(*views: View) -> Wires[Session]:
        def show(after: Session) -> list[Any]:
            touch(after)
            return [value for view in views for value in view.show(after)]

        return Wires(session, [output for view in views for output in view.outputs], show)

    naming, marking, stock, review, export = first.naming, first.marking, second.view, third.view, third.export
    first.connect(desk, wires(naming, marking, review, export), wires(marking, stock, export))
    third.connect(wires(review, export))
    whole = wires(marking, stock, review, export)
    whole.connect(second.remove.click, marks.drop_photos)
    wires(stock).connect(second.upload.upload, desk.send, second.upload, wait=True)
    begun = [
        wires(naming, marking, stock, review, export).connect(example.click, desk.example, second.model, wait=True),
        whole.connect(second.carry.click, desk.start, second.model),
        whole.connect(third.again.click, desk.start, second.model),
    ]
    _carry(desk, session, begun, second, whole)


def _carry(desk: Desk, session: gr.State, begun: list[Any], second: _Second, whole: Wires[Session]) -> None:
    """Carry after each of these connections, and bring what was found in, at the end or when it is cancelled."""
    outcome = gr.State(Outcome(), time_to_live=KEPT)

    def run(before: Session) -> Iterator[list[Any]]:
        if not before.carrying:
            return
        with saying_what_fails():
            for reached in desk.carry(before):
                yield [reached, gr.HTML(_progress(reached), visible=True)]

    work = [
        one.then(
            run,
            session,
            [outcome, second.progress],
            concurrency_id="transfer",
            concurrency_limit=1,
            trigger_mode="multiple",
            show_progress="hidden",
            api_visibility="private",
        )
        for one in begun
    ]
    for one in work:
        whole.connect(one.then, marks.take, outcome)
    whole.connect(second.cancel.click, marks.stop, outcome, cancels=work)


@dataclass(frozen=True)
class _First:
    """Marking a photo."""

    upload: gr.UploadButton
    kind: gr.Textbox
    names: gr.Textbox
    template: gr.UploadButton
    hint: gr.HTML
    tools: gr.Row
    undo: gr.Button
    skip: gr.Button
    clear: gr.Button
    board: gr.HTML

    @classmethod
    def lay_out(cls) -> _First:
        gr.Markdown("## 1. Mark one photo")
        with gr.Row():
            with gr.Column(scale=1, min_width=280):
                upload = gr.UploadButton("Choose the photo to mark", file_types=["image"], elem_id="transfer-photo")
                kind = gr.Textbox("thing", label="What it shows", max_lines=1, elem_id="transfer-kind")
                names = gr.Textbox(
                    label="Names of its points, one per line",
                    placeholder="left eye\nright eye\nnose",
                    lines=4,
                    max_lines=10,
                    elem_id="transfer-names",
                )
                template = gr.UploadButton(
                    "Names from a COCO file", file_types=[".json"], size="sm", elem_id="transfer-template"
                )
            with gr.Column(scale=2, min_width=280):
                hint = gr.HTML(status_html(marks.hint(Session())), elem_id="transfer-hint")
                with gr.Row(visible=False) as tools:
                    undo = gr.Button("Undo", size="sm", elem_id="transfer-undo", min_width=80)
                    skip = gr.Button("Does not show", size="sm", elem_id="transfer-skip", min_width=80)
                    clear = gr.Button("Clear", size="sm", elem_id="transfer-clear", min_width=80)
                place = board("transfer-board")
        return cls(upload, kind, names, template, hint, tools, undo, skip, clear, place)

    @property
    def naming(self) -> View:
        return View(
            [self.kind, self.names], lambda session: [session.category.name, "\n".join(session.category.keypoints)]
        )

    @property
    def marking(self) -> View:
        return View([self.hint, self.tools, self.board], self._show)

    def _show(self, session: Session) -> list[Any]:
        photo, own = session.annotated, session.reference
        if photo is None or own is None:
            return [status_html(marks.hint(session)), gr.Row(visible=False), gr.HTML(visible=False)]
        drawn = draw(photo, own.shown, session.category, MARKING)
        return [status_html(marks.hint(session)), gr.Row(visible=True), gr.HTML(drawn, visible=True)]

    def connect(self, desk: Desk, renaming: Wires[Session], marking: Wires[Session]) -> None:
        marking.connect(self.upload.upload, desk.choose, self.upload, wait=True)
        renaming.connect(self.template.upload, marks.template, self.template)
        for box in (self.kind, self.names):
            renaming.connect(box.blur, marks.rename, self.kind, self.names)
        for button, action in ((self.undo, marks.undo), (self.skip, marks.skip), (self.clear, marks.clear)):
            marking.connect(button.click, action)
        marking.connect_part(self.board.place, place, marks.place)
        marking.connect_part(self.board.shift, _shift, lambda session, moved: marks.move(session, *moved))
        marking.connect_part(self.board.take_off, _point, marks.remove)


@dataclass(frozen=True)
class _Second:
    """Choosing the photos to label."""

    upload: gr.UploadButton
    remove: gr.Button
    model: gr.Dropdown
    carry: gr.Button
    cancel: gr.Button
    stock: gr.HTML
    progress: gr.HTML

    @classmethod
    def lay_out(cls, models: Models) -> _Second:
        gr.Markdown("## 2. Choose the photos to label")
        stock = gr.HTML(status_html(marks.stock(Session())), elem_id="transfer-stock")
        with gr.Row():
            upload = gr.UploadButton(
                f"Add photos, up to {MAX_PHOTOS}",
                file_types=["image"],
                file_count="multiple",
                elem_id="transfer-photos",
                min_width=120,
            )
            remove = gr.Button("Remove all", elem_id="transfer-remove", min_width=100, visible=False)
            model = gr.Dropdown(
                list(models.names),
                value=models.names[0],
                label="Model",
                visible=len(models.names) > 1,
                elem_id="transfer-model",
                min_width=120,
            )
            carry = gr.Button("Carry the points over", variant="primary", elem_id="transfer-carry", min_width=120)
            cancel = gr.Button("Cancel", variant="stop", elem_id="transfer-cancel", min_width=120, visible=False)
        progress = gr.HTML(elem_id="transfer-progress", visible=False)
        return cls(upload, remove, model, carry, cancel, stock, progress)

    @property
    def view(self) -> View:
        return View([self.stock, self.remove, self.carry, self.cancel, self.progress], self._show)

    def _show(self, session: Session) -> list[Any]:
        busy = session.carrying
        return [
            status_html(marks.stock(session), *session.left_out),
            gr.Button(visible=bool(session.photos) and not busy),
            gr.Button(visible=not busy),
            gr.Button(visible=busy),
            gr.HTML(_progress(Outcome(0, len(session.todo))) if busy else "", visible=busy),
        ]


@dataclass(frozen=True)
class _Third:
    """Looking the photos over, and export."""

    panel: gr.Column
    line: gr.HTML
    back: gr.Button
    next: gr.Button
    revert: gr.Button
    again: gr.Button
    board: gr.HTML
    coco: gr.DownloadButton
    table: gr.DownloadButton

    @classmethod
    def lay_out(cls) -> _Third:
        with gr.Column(visible=False, elem_id="transfer-review") as panel:
            gr.Markdown(
                "## 3. Look them over, the least certain first\n"
                "Blue is sure, yellow fair, a red square doubtful. "
                "Drag a wrong point to where it belongs, or off the photo."
            )
            with gr.Row():
                back = gr.Button("Back", elem_id="transfer-back", min_width=80)
                following = gr.Button("Next", elem_id="transfer-next", min_width=80)
                revert = gr.Button("Undo corrections", elem_id="transfer-revert", min_width=120, interactive=False)
                again = gr.Button("Use my corrections", elem_id="transfer-again", min_width=120, interactive=False)
            line = gr.HTML(elem_id="transfer-status")
            place = board("transfer-check")
            gr.Markdown("## 4. Export")
            with gr.Row():
                coco = gr.DownloadButton("Download COCO", variant="primary", elem_id="transfer-coco", min_width=120)
                table = gr.DownloadButton("Download CSV", elem_id="transfer-csv", min_width=120)
        return cls(panel, line, back, following, revert, again, place, coco, table)

    @property
    def view(self) -> View:
        return View([self.panel, self.line, self.revert, self.again, self.board], self._show)

    @property
    def export(self) -> View:
        return View(
            [self.coco, self.table], lambda session: [str(path) for path in marks.export(session) or ()] or [None] * 2
        )

    def _show(self, session: Session) -> list[Any]:
        sent = session.viewed
        photo = session.marked(sent) if sent else None
        drawn = draw(photo, sent.shown, session.category, CHECKING) if sent and photo else ""
        return [
            gr.Column(visible=bool(drawn)),
            status_html(marks.look(session)),
            gr.Button(interactive=bool(sent and sent.path in session.corrected)),
            gr.Button(interactive=bool(session.corrected) and not session.carrying),
            gr.HTML(drawn, visible=bool(drawn)),
        ]

    def connect(self, wires: Wires[Session]) -> None:
        wires.connect(self.back.click, lambda session: marks.step(session, -1))
        wires.connect(self.next.click, lambda session: marks.step(session, 1))
        wires.connect(self.revert.click, marks.revert)
        wires.connect_part(self.board.turn, lambda said: int(said["by"]), marks.step)
        wires.connect_part(self.board.shift, _shift, lambda session, moved: marks.correct(session, *moved))
        wires.connect_part(self.board.take_off, _point, lambda session, point: marks.correct(session, point, None))


def _point(said: Any) -> int:
    return int(said["point"])


def _shift(said: Any) -> tuple[int, tuple[float, float]]:
    return _point(said), place(said)


def _progress(reached: Outcome) -> str:
    return progress_html(f"{reached.done} of {reached.total} photos", reached.done, reached.total)

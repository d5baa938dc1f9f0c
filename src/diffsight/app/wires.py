"""What the tabs have in common: buttons that turn one state into the next."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from html import escape
from typing import Any, Generic, TypeVar

import gradio as gr

from ..errors import DiffsightError, InvalidInput
from .limits import KEPT

State = TypeVar("State")
Value = TypeVar("Value")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wires(Generic[State]):
    """How the buttons of one tab work: each makes a new state of the one before, which is then shown.

    Attributes:
        state: holds a visitor's state.
        outputs: the components that show it.
        show: their new values, in the same order.
        queue: buttons of one queue wait for each other, across visitors. Of two in different queues that work at once,
            the last to end undoes the other, but for ``connect_slow``.
    """

    state: gr.State
    outputs: list[Any]
    show: Callable[[State], list[Any]]
    queue: str = "quick"

    def connect(
        self,
        trigger: Callable[..., Any],
        action: Callable[..., State],
        *inputs: Any,
        wait: bool = False,
        latest: bool = False,
        cancels: Any = None,
    ) -> Any:
        """Call ``action(state, *inputs)`` on an event.

        Args:
            trigger: an event of a component, such as ``button.click``, or ``then`` of another connection.
            action: makes the next state.
            inputs: components whose values it takes besides.
            wait: whether it takes so long that the page should say so.
            latest: of events that come while one is worked on, only the last is taken.
            cancels: another connection, whose work stops.

        Returns:
            The connection.
        """

        def run(before: State, *values: Any) -> list[Any]:
            return self.attempt(lambda: action(before, *values))

        return self._listen(trigger, run, inputs, wait, latest, cancels)

    def connect_slow(
        self, trigger: Callable[..., Any], action: Callable[..., State], *inputs: Any, queue: str, wait: bool = False
    ) -> Any:
        """Call ``action(state, *inputs)`` on an event, in a queue of its own, as it takes long.

        If others have changed the state by the time it is done, it is done again upon theirs.

        Args:
            trigger: an event of a component.
            action: makes the next state.
            inputs: components whose values it takes besides.
            queue: where it waits.
            wait: whether it takes so long that the page should say so.

        Returns:
            The connection.
        """
        work = gr.State(None, time_to_live=KEPT)

        def run(before: State, *values: Any) -> _Work[State] | None:
            with saying_what_fails():
                return _Work(before, action(before, *values))
            return None

        def take(now: State, done: _Work[State] | None, *values: Any) -> list[Any]:
            if done is None:
                return [gr.skip() for _ in (self.state, *self.outputs, work)]
            return [*self.attempt(lambda: done.after if now is done.before else action(now, *values)), None]

        made = replace(self, queue=queue)._listen(trigger, run, inputs, wait, outputs=[work])
        return self._listen(made.then, take, (work, *inputs), outputs=[self.state, *self.outputs, work])

    def connect_part(
        self,
        trigger: Callable[..., Any],
        read: Callable[[Any], Value],
        action: Callable[[State, Value], State],
        *,
        latest: bool = False,
    ) -> None:
        """Call ``action(state, read(said))`` on an event of a part of the page with a script of its own.

        Args:
            trigger: the event.
            read: takes what the action needs out of what the part says, such as ``place``.
            action: makes the next state.
            latest: of events that come while one is worked on, only the last is taken.
        """

        def run(before: State, event: gr.EventData) -> list[Any]:
            return self.attempt(lambda: action(before, _understood(read, event._data)))

        self._listen(trigger, run, latest=latest)

    def attempt(self, action: Callable[[], State]) -> list[Any]:
        """The new values of the state and the outputs; what is wrong is shown, and nothing changes."""
        with saying_what_fails():
            after = action()
            return [after, *self.show(after)]
        return [gr.skip() for _ in (self.state, *self.outputs)]

    def _listen(
        self,
        trigger: Callable[..., Any],
        run: Callable[..., Any],
        inputs: tuple[Any, ...] = (),
        wait: bool = False,
        latest: bool = False,
        cancels: Any = None,
        outputs: list[Any] | None = None,
    ) -> Any:
        return trigger(
            run,
            [self.state, *inputs],
            [self.state, *self.outputs] if outputs is None else outputs,
            concurrency_id=self.queue,
            concurrency_limit=1,
            trigger_mode="always_last" if latest else "multiple",
            show_progress="minimal" if wait else "hidden",
            show_progress_on=self.outputs,
            api_visibility="private",
            cancels=cancels,
        )


@dataclass(frozen=True)
class _Work(Generic[State]):
    """What a slow action made, and of what."""

    before: State
    after: State


@contextmanager
def saying_what_fails() -> Iterator[None]:
    """End the block at what fails in it, show it in the page, and go on after the block."""
    try:
        yield
    except DiffsightError as error:
        warn(error)
    except Exception as error:  # a fault of the project's own must not leave a visitor without a word
        last = traceback.extract_tb(error.__traceback__)[-1]
        logger.error("%.300r at %s:%s", error, last.filename, last.lineno)
        warn(DiffsightError(f"this could not be done ({type(error).__name__}); reload the page and try again"))


def place(said: Any) -> tuple[float, float]:
    """The (x, y) that a part of the page says."""
    return float(said["x"]), float(said["y"])


def _understood(read: Callable[[Any], Value], said: Any) -> Value:
    try:
        return read(said)
    except (ArithmeticError, LookupError, TypeError, ValueError):
        raise InvalidInput("the server does not understand what the page sent; reload the page") from None


def warn(error: DiffsightError) -> None:
    """Show what is wrong; it is shown as HTML, and may hold a name that a visitor chose."""
    gr.Warning(escape(str(error)))

"""Try one thing: whatever it raises becomes one line."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from textwrap import shorten
from typing import TypeVar

from ..errors import DiffsightError

Found = TypeVar("Found")


@dataclass(frozen=True)
class Trial:
    """How one thing went.

    Attributes:
        what: was tried.
        works: whether it ran and gave what it must.
        note: a remark, or the reason why it does not work.
    """

    what: str
    works: bool
    note: str = ""


def attempt(what: str, act: Callable[[], str | None]) -> Trial:
    """Run ``act``; its answer is the remark, what it raises the reason."""
    remark, reason = outcome(act)
    return Trial(what, not reason, reason or remark or "")


def outcome(act: Callable[[], Found]) -> tuple[Found | None, str]:
    """What ``act`` returns and no reason; or None and the reason, at most 160 characters on one line."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return act(), ""
    except (Exception, SystemExit) as error:  # a package may raise anything while it is imported
        first = _first_cause(error)
        return None, shorten(f"{type(first).__name__}: {first}", 160, placeholder=" ...")


def _first_cause(error: BaseException) -> BaseException:
    """Where a chain of errors began; libraries wrap the failure of one part in that of another."""
    while error.__cause__ is not None and not isinstance(error, DiffsightError):
        error = error.__cause__
    return error

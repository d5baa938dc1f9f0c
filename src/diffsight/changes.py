"""Settings changed by text, as commands are given them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from .errors import InvalidInput

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def parse_changes(settings: DataclassInstance, texts: Sequence[str], fixed: Sequence[str] = ()) -> dict[str, Any]:
    """What ``NAME=VALUE`` texts change in settings, in the type that each has now.

    Args:
        settings: a dataclass of numbers, words, switches and lists of words.
        texts: one for each change.
        fixed: names that are not to be changed.

    Raises:
        InvalidInput: for an unknown name, or a value of another type.
    """
    known = {field.name: getattr(settings, field.name) for field in fields(settings) if field.name not in fixed}
    changes: dict[str, Any] = {}
    for text in texts:
        name, _, value = text.partition("=")
        if name not in known or not value:
            raise InvalidInput(f"{text!r} is no setting; write NAME=VALUE with one of {', '.join(known)}")
        kind = type(known[name])
        try:
            if kind is bool:
                changes[name] = {"true": True, "false": False}[value.lower()]
            else:
                changes[name] = tuple(value.split(",")) if kind is tuple else kind(value)
        except (ValueError, KeyError):
            raise InvalidInput(f"{text!r} does not suit; {name} is a {kind.__name__}, now {known[name]}") from None
    return changes

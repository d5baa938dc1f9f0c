"""What goes wrong for a user, each as one line: what was given, what is allowed, what to do."""

from __future__ import annotations


class DiffsightError(Exception):
    """Base of every error that diffsight raises on purpose; its text is meant for the user."""


class InvalidInput(DiffsightError, ValueError):
    """An argument outside what is allowed: a point off the photo, an unknown name, a wrong shape."""


class UnreadableFile(DiffsightError, OSError):
    """A file that is missing, empty, truncated or not of the expected kind."""


class ModelUnavailable(DiffsightError):
    """The weights of a model cannot be loaded; the text lists what was tried and the ways out."""


class OutputFailed(DiffsightError, OSError):
    """A result could not be written; nothing half-written is left behind."""

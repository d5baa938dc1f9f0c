"""The command line: arguments in, files and lines out; no maths."""

from __future__ import annotations

import logging
import sys
import warnings

from ..errors import DiffsightError

INTERRUPTED = 130


def main() -> None:
    """Run the command line; every failure is one line on stderr and exit code 2, Ctrl-C is exit code 130."""
    logging.disable(logging.WARNING)  # what libraries remark on the files of others is not for the user
    if not sys.warnoptions:
        warnings.simplefilter("ignore")
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        code = _command(arguments)
    except KeyboardInterrupt:  # as early as the libraries are imported
        code = INTERRUPTED
    except DiffsightError as error:
        return _fail(str(error))
    except MemoryError:
        return _fail("the memory at hand does not suffice; give smaller photos or a smaller --size")
    except OSError as error:  # a name too long, a folder that may not be entered
        return _fail(f"{error.strerror or error}" + (f": {error.filename}" if error.filename else ""))
    except Exception as error:
        if hasattr(error, "format_message"):  # click's own usage errors, whichever click typer brings
            reason = error.format_message()
            return _fail(f"{reason} (see diffsight --help)") if reason else 2  # help was shown
        raise
    if code == INTERRUPTED:  # some versions of typer turn Ctrl-C into an exit
        print("\ndiffsight: stopped", file=sys.stderr)
    return code


def _command(arguments: list[str]) -> int:
    import typer

    from .commands import app

    try:
        code = app(arguments, prog_name="diffsight", standalone_mode=False)
    except typer.Exit as stop:
        code = stop.exit_code
    except typer.Abort:
        code = INTERRUPTED
    return code if isinstance(code, int) else 0


def _fail(line: str) -> int:
    print(f"diffsight: {line}", file=sys.stderr)
    return 2

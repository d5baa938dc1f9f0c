"""The command line: arguments in, files and lines out; no maths."""

from __future__ import annotations

import sys
from importlib import import_module

import typer

from ..errors import DiffsightError

app = typer.Typer(
    help="Let a frozen image-diffusion model see: match points between photos, without training.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for _name in (
    "match",
    "align",
    "edit",
    "segment",
    "prompt",
    "track",
    "models",
    "weights",
    "doctor",
    "bench",
    "report",
    "data",
    "world",
    "train_pocket",
    "demo",
):
    import_module(f".{_name}", __name__).register(app)


INTERRUPTED = 130


def main() -> None:
    """Run the command line; every failure is one line on stderr and exit code 2, Ctrl-C is exit code 130."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        code = app(arguments, prog_name="diffsight", standalone_mode=False)
    except typer.Exit as stop:
        code = stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
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
    return code if isinstance(code, int) else 0


def _fail(line: str) -> int:
    print(f"diffsight: {line}", file=sys.stderr)
    return 2

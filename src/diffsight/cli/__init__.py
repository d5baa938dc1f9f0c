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

for _name in ("match", "models", "bench", "train_pocket", "demo"):
    import_module(f".{_name}", __name__).register(app)


def main() -> None:
    """Run the command line; every failure is one line on stderr and exit code 2, Ctrl-C is exit code 130."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: list[str]) -> int:
    """Run one command and return its exit code."""
    try:
        code = app(arguments, prog_name="diffsight", standalone_mode=False)
    except typer.Exit as stop:
        return stop.exit_code
    except (KeyboardInterrupt, typer.Abort):
        print("diffsight: stopped", file=sys.stderr)
        return 130
    except DiffsightError as error:
        print(f"diffsight: {error}", file=sys.stderr)
        return 2
    except OSError as error:  # a name too long, a folder that may not be entered
        print(f"diffsight: {error.strerror or error}: {error.filename or ''}", file=sys.stderr)
        return 2
    except Exception as error:
        if hasattr(error, "format_message"):  # click's own usage errors, whichever click typer brings
            print(f"diffsight: {error.format_message()} (see diffsight --help)", file=sys.stderr)
            return 2
        raise
    return code if isinstance(code, int) else 0

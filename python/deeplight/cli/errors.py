"""Exit codes and one-line errors: 0, 2 wrong use, 1 failure, 130 Ctrl-C."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
import warnings
from collections.abc import Iterator
from typing import Any, TextIO

import typer

__all__ = [
    "FAILURE",
    "INTERRUPTED",
    "WRONG_USE",
    "ClickException",
    "WrongUseError",
    "run",
    "wrong_use",
]

FAILURE = 1
WRONG_USE = 2
INTERRUPTED = 130

# Newer typer carries its own click, older typer uses the package: found through what both export.
ClickException: Any = next(c for c in typer.BadParameter.__mro__ if c.__name__ == "ClickException")


class WrongUseError(ValueError):
    """The command was called wrongly; nothing was attempted. Exit code 2."""


@contextlib.contextmanager
def wrong_use() -> Iterator[None]:
    """Marks errors of the enclosed checks of arguments as wrong use."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        raise WrongUseError(message_of(error)) from error


def message_of(error: BaseException) -> str:
    """One line about an exception, without its type."""
    if isinstance(error, OSError) and error.strerror:
        name = f": '{error.filename}'" if error.filename is not None else ""
        return f"{error.strerror}{name}"
    if isinstance(error, MemoryError) and not str(error):
        return "out of memory"
    return " ".join(str(error).split()) or type(error).__name__


def run(command: Any, arguments: list[str], debug: bool = False) -> int:
    """Runs a click command and turns whatever happens into an exit code.

    Args:
        command: of ``typer.main.get_command``.
        arguments: without the program's name.
        debug: print tracebacks.
    """
    warnings.showwarning = _show_warning
    try:
        code = command.main(args=arguments, prog_name="deeplight", standalone_mode=False)
        sys.stdout.flush()
        if code == INTERRUPTED:  # typer has turned KeyboardInterrupt into its code, silently
            return _report("interrupted", INTERRUPTED, debug=False)
        return code if isinstance(code, int) else 0
    except ClickException as error:
        context = getattr(error, "ctx", None)
        hint = f" (see {context.command_path} --help)" if context else ""
        return _report(" ".join(error.format_message().split()) + hint, error.exit_code, debug)
    except (KeyboardInterrupt, typer.Abort):
        return _report("interrupted", INTERRUPTED, debug)
    except BrokenPipeError:
        # The reader of our output has gone (`| head`); python would complain again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except WrongUseError as error:
        return _report(message_of(error), WRONG_USE, debug)
    except (ValueError, OSError, RuntimeError, MemoryError, ImportError) as error:
        return _report(message_of(error), FAILURE, debug)
    except Exception as error:
        text = f"internal: {type(error).__name__}: {message_of(error)} (--debug shows where)"
        return _report(text, FAILURE, debug)


def _report(message: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    print(f"deeplight: error: {message}", file=sys.stderr)
    return code


def _show_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    print(f"deeplight: warning: {' '.join(str(message).split())}", file=sys.stderr)

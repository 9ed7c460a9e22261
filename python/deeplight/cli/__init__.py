"""The command line. Each command lives in its own module and is imported when it is asked for.

A command module defines a function of the command's name (with a trailing underscore where Python
has that name, as in ``list_``), annotated for typer, and imports torch only inside it. Errors are
raised, never printed: ``errors.run`` turns them into one line and an exit code.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

# Not `run` itself: once that command is loaded, the name means the module deeplight.cli.run here.
from deeplight.cli import errors
from deeplight.cli.errors import ClickException

__all__ = ["app", "main"]

# PyTorch reads it at its first large tensor: those on pages of 2 MiB cost a tenth to a third less
# time than on pages of 4 KiB, which the system clears one by one.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")

#: Command -> what `deeplight --help` says of it, in this order.
COMMANDS = {
    "predict": "Super-resolve rasters with trained weights.",
    "plan": "Plan a prediction that many machines share.",
    "run": "Compute one shard of a plan.",
    "merge": "Assemble the rasters of a plan from its shards.",
    "train": "Train a network from a configuration file.",
    "prepare": "Write what training reads of rasters into one file.",
    "study": "Train with one thing changed at a time, over several seeds.",
    "average": "Write the mean of several weights of one family.",
    "evaluate": "Score a super-resolved raster, or weights, against the truth.",
    "landsat": "Decode a Landsat scene: kelvin, reflectance, indices.",
    "list": "List the architectures and the shipped weights.",
    "info": "Describe weights or a raster.",
    "doctor": "Check this installation.",
    "demo": "Super-resolve the sample rasters and compare with bicubic.",
}

_HELP_NAMES = {"help_option_names": ["-h", "--help"]}


class LazyGroup(TyperGroup):
    """Commands that are known by name and imported when invoked; ``--help`` imports none."""

    _listing = False

    def list_commands(self, ctx: Any) -> list[str]:
        return [*COMMANDS]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if self._listing:
            return TyperCommand(cmd_name, help=COMMANDS[cmd_name])
        if cmd_name not in self.commands:
            self.commands[cmd_name] = _load(cmd_name)
        return self.commands[cmd_name]

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._listing = True
        try:
            super().format_help(ctx, formatter)
        finally:
            self._listing = False

    def shell_complete(self, ctx: Any, incomplete: str) -> Any:
        self._listing = True
        try:
            return super().shell_complete(ctx, incomplete)
        finally:
            self._listing = False

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        try:
            return super().resolve_command(ctx, args)
        except ClickException as error:
            import difflib

            near = difflib.get_close_matches(args[0], COMMANDS, n=1, cutoff=0.5) if args else []
            if near and "Did you mean" not in error.message:
                error.message = f"{error.message.rstrip('.')}. Did you mean '{near[0]}'?"
            raise


def _load(name: str) -> Any:
    module = importlib.import_module(f"deeplight.cli.{name}")
    function = getattr(module, name, None) or getattr(module, f"{name}_")
    single = typer.Typer(add_completion=False, rich_markup_mode="rich")
    single.command(name, context_settings=_HELP_NAMES)(function)
    return typer.main.get_command(single)


app = typer.Typer(
    name="deeplight",
    cls=LazyGroup,
    rich_markup_mode="rich",
    context_settings=_HELP_NAMES,
    pretty_exceptions_enable=False,
)


def _print_version(value: bool) -> None:
    if value:
        from deeplight import __version__

        typer.echo(f"deeplight {__version__}")
        raise typer.Exit()


@app.callback(invoke_without_command=True)
def _deeplight(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Super-resolution of satellite rasters: night lights and land-surface temperature.

    [dim]$ deeplight demo[/dim]

    [dim]$ deeplight predict ntl.tif --guide dmo=dmo.tif --guide dem=dem.tif
    --weights black-marble-x8 -o sr.tif[/dim]

    Exit code 0; 2: wrong use; 1: failure; 130: Ctrl-C. Results go to standard output.
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit()


def main(arguments: list[str] | None = None) -> None:
    """Runs the command line and exits.

    Args:
        arguments: without the program's name; the process's own when None.

    Raises:
        SystemExit: always, with the exit code.
    """
    # No list(): once the command is loaded, that name means the module deeplight.cli.list here.
    arguments = [*(sys.argv[1:] if arguments is None else arguments)]
    debug = "--debug" in arguments  # allowed anywhere, not only before the command
    arguments = [argument for argument in arguments if argument != "--debug"]
    sys.exit(errors.run(typer.main.get_command(app), arguments, debug=debug))

"""``deeplight train CONFIG.toml``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from deeplight.cli.errors import wrong_use

__all__ = ["train"]


def train(
    config: Annotated[Path, typer.Argument(metavar="CONFIG.toml", help="What to train, on what.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Run folder; runs/NAME of the configuration if absent."
        ),
    ] = None,
    data: Annotated[
        Path | None, typer.Option("--data", help="Folder of the rasters, instead of data.root.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run folder's checkpoint, bit for bit.")
    ] = False,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Instead of run.steps.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Instead of run.seed.")] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Of the computation.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")] = "cpu",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Train a network on rasters; writes weights with their card, a log and checkpoints.

    [dim]$ deeplight train CONFIG.toml -o runs/mine[/dim]

    [dim]$ deeplight train CONFIG.toml -o runs/mine --resume[/dim]
    """
    from deeplight.training import load_config
    from deeplight.training import train as run_training

    overrides: dict[str, Any] = {}
    for key, value in (("run.steps", steps), ("run.seed", seed)):
        if value is not None:
            overrides[key] = value
    if data is not None:
        overrides["data.root"] = str(data)
    with wrong_use():
        configuration = load_config(config, overrides)
    folder = output or Path("runs") / configuration.weights.name
    with _display(configuration.run.steps, quiet) as report:
        path = run_training(
            configuration, folder, resume=resume, threads=threads, device=device, report=report
        )
    print(path)


class _display:  # noqa: N801 - used as a context manager only
    """A progress bar on standard error, or a line per validation where that is no terminal."""

    def __init__(self, steps: int, quiet: bool) -> None:
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
            TimeRemainingColumn,
        )

        self._console = Console(stderr=True)
        self._lines = not quiet and not self._console.is_terminal
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=self._console,
            disable=quiet or self._lines,
        )
        self._task = self._progress.add_task("training", total=steps, text="")
        self._validation = ""

    def __enter__(self) -> Any:
        self._progress.start()
        return self.report

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def report(self, state: Any) -> None:
        """Takes a :class:`deeplight.training.loop.Progress`."""
        if state.validation:
            self._validation = (
                f", {state.validation['gain']:+.2f} dB on bicubic "
                f"(best {state.best['gain']:+.2f} at step {state.best['step']})"
            )
            if self._lines:
                self._console.print(
                    f"step {state.step} of {state.steps}: loss {state.loss:.5g}{self._validation}, "
                    f"light ratio {state.validation['light_ratio']:.3f}, {state.rate:.2f} steps/s",
                    soft_wrap=True,
                )
        self._progress.update(
            self._task,
            completed=state.step,
            text=f"loss {state.loss:.4g}{self._validation}, {state.rate:.2f} steps/s",
        )

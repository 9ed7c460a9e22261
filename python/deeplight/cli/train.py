"""``deeplight train CONFIG.toml``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from deeplight.cli.errors import wrong_use
from deeplight.cli.settings import setting

if TYPE_CHECKING:
    from deeplight.training.loop import Trainer

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
    prepared: Annotated[
        Path | None,
        typer.Option("--prepared", help="What `deeplight prepare` wrote, instead of the rasters."),
    ] = None,
    init: Annotated[
        str | None,
        typer.Option("--init", help="Weights to start from: a shipped name or a file."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run folder's checkpoint, bit for bit.")
    ] = False,
    steps: Annotated[
        int | None, typer.Option("--steps", min=1, help="Instead of run.steps.")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Instead of run.seed.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A key of the configuration; repeatable."),
    ] = None,
    threads: Annotated[
        int | None, typer.Option("--threads", min=1, help="Of the computation.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda or cuda:N.")] = "cpu",
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard/--no-tensorboard", help="Write TensorBoard files.")
    ] = True,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress.")] = False,
) -> None:
    """Train a network on rasters; writes weights with their card, a log and checkpoints.

    [dim]$ deeplight train CONFIG.toml -o runs/mine[/dim]

    [dim]$ deeplight train CONFIG.toml -o runs/mine --resume[/dim]

    [dim]$ deeplight train CONFIG.toml --init black-marble-x8 --set optimizer.lr=1e-4[/dim]

    [dim]$ torchrun --nproc_per_node 2 -m deeplight train CONFIG.toml -o runs/mine[/dim]
    """
    from deeplight.training import load_config
    from deeplight.training.distributed import join_world
    from deeplight.training.loop import open_run
    from deeplight.training.prepared import load_prepared

    with join_world(device) as world:
        quiet = quiet or not world.main
        with world.together():
            with wrong_use():
                overrides = dict(setting(text) for text in settings or [])
                given = {
                    "run.steps": steps, "run.seed": seed, "init.weights": init,
                    "data.root": None if data is None else str(data),
                }  # fmt: skip
                overrides.update({key: value for key, value in given.items() if value is not None})
                configuration = load_config(config, overrides)
            trainer = open_run(
                configuration,
                output or Path("runs") / configuration.weights.name,
                resume=resume,
                data=None if prepared is None else load_prepared(prepared, configuration),
                threads=threads,
                device=device,
                world=world,
                tensorboard=tensorboard,
            )
        if trainer.init_report is not None and not quiet:
            trainer.init_report.print()
        for note in [] if quiet else trainer.data.notes:
            typer.echo(f"note: {note}", err=True)
        with _Display(configuration.run.steps, quiet) as display:
            path = trainer.run(display.report)
        display.summarise(trainer, path)
        if world.main:
            print(path)


class _Display:
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

        self._console = Console(stderr=True, quiet=quiet)
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

    def __enter__(self) -> _Display:
        self._progress.start()
        return self

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

    def summarise(self, trainer: Trainer, path: Path) -> None:
        """What came out, as a short table."""
        from rich.table import Table

        best = trainer.best
        rows = [
            ("steps", f"{trainer.step} of {trainer.config.run.steps}, best {best.step}"),
            ("lit PSNR over bicubic", f"{best.gain:+.2f} dB"),
            ("light ratio", f"{best.scores.get('light_ratio', float('nan')):.3f}"),
            ("weights", str(path)),
        ]
        if trainer.skipped:
            rows.insert(1, ("skipped, float16 overflowed", str(trainer.skipped)))
        table = Table.grid(padding=(0, 2))
        for row in rows:
            table.add_row(*row)
        self._console.print(table, soft_wrap=True, highlight=False, markup=False)

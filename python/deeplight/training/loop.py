"""The training loop: steps, averages, validation, checkpoints, resume.

A step depends on the configuration, the data, the state after the step before, and its own number,
and on nothing else: killed at any moment and resumed, a run on the CPU ends in the same bits
(with the same number of threads and processes).
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from deeplight.training.averaging import make_average
from deeplight.training.checkpoint import (
    Checkpoint,
    first_difference,
    read_checkpoint,
    write_checkpoint,
)
from deeplight.training.data import TrainingData, load_data
from deeplight.training.distributed import World, join_world
from deeplight.training.export import weights_path, write_weights
from deeplight.training.guards import deferred_interrupt, deterministic_operators
from deeplight.training.initialise import initialise
from deeplight.training.journal import Journal
from deeplight.training.schema import TrainingConfig
from deeplight.training.split import check_reach
from deeplight.training.step import TrainingStep
from deeplight.training.validation import validate

__all__ = ["Progress", "Trainer", "open_run", "train"]


@dataclass
class Progress:
    """What a progress display is told after each step.

    Attributes:
        step: done so far.
        steps: of the whole run.
        loss: of this step.
        rate: steps per second since the run began or was resumed.
        validation: scores, where this step was validated.
        best: step, gain and scores of the best validation.
    """

    step: int
    steps: int
    loss: float
    rate: float
    validation: dict[str, float] | None
    best: dict[str, Any]


@dataclass
class _Best:
    step: int = 0
    gain: float = -math.inf
    scores: dict[str, float] = field(default_factory=dict)


class Trainer:
    """One run in one folder.

    Args:
        config: what to do.
        output: the run's folder; created.
        data: prepared rasters; read from the configuration when None.
        threads: of the computation; None leaves torch's choice.
        device: where the network runs; "cuda" is each process's own device.
        world: the processes that train together.
        tensorboard: write event files below ``output``.

    Raises:
        ValueError: the configuration contradicts the data or the architecture.
        OSError: the folder cannot be made.
    """

    def __init__(
        self,
        config: TrainingConfig,
        output: str | Path,
        data: TrainingData | None = None,
        threads: int | None = None,
        device: str = "cpu",
        world: World | None = None,
        tensorboard: bool = False,
    ) -> None:
        import deeplight

        if threads is not None:
            torch.set_num_threads(threads)
        self.config = config
        self.output = Path(output)
        self.world = world or World()
        self.data = data if data is not None else load_data(config)
        self.device = self.world.device(device)
        torch.manual_seed(config.run.seed)
        network = deeplight.create_model(
            config.model.architecture,
            scale=self.data.scale,
            guides=dict(self.data.preprocessor().network_guides),
            **config.model.options,
        )
        if config.split.context:
            check_reach(config.split, self.data.regions, self.data.margin, network.margin)
        try:
            network.checkpoint_activations = config.run.checkpoint_activations
        except ValueError as error:
            raise ValueError(f"'run.checkpoint_activations': {error}") from None
        self.init_report = initialise(network, config, self.data.preprocessing)
        layout = torch.channels_last if config.run.channels_last else torch.contiguous_format
        self.network = network.to(self.device).to(memory_format=layout)  # type: ignore[call-overload]
        self._step = TrainingStep(config, self.network, self.data, self.device, self.world)
        self.average = make_average(config.run, self.network)
        self.best_state = _copied(self.average.network)
        self.best = _Best()
        self.stale = 0
        self.step = self._saved = 0
        self.journal = Journal(self.output, tensorboard and self.world.main)
        self.output.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint_path(self) -> Path:
        """Where the newest checkpoint lies."""
        return self.output / "checkpoint.safetensors"

    @property
    def skipped(self) -> int:
        """Steps that float16 could not hold."""
        return self._step.precision.skipped

    def autocast(self) -> Any:
        """The context in which the network computes."""
        return self._step.precision.autocast()

    def run(self, report: Callable[[Progress], None] | None = None) -> Path:
        """Trains to the end and writes the weights.

        Ctrl-C ends the step in hand, writes a checkpoint and raises KeyboardInterrupt; a second
        Ctrl-C stops at once.

        Args:
            report: called after every step, in process 0.

        Returns:
            The path of the weights: the averaged ones of the best validation.

        Raises:
            FloatingPointError: loss or gradient is not finite; step and patches are named.
            RuntimeError: an operator is not deterministic though ``run.deterministic`` asks for it.
            OSError: a checkpoint or the weights cannot be written; the last checkpoint stays.
        """
        run = self.config.run
        with (
            deferred_interrupt() as interrupted,
            deterministic_operators(run.deterministic),
            contextlib.closing(self.journal),
        ):
            with self.world.together():
                self.journal.open(self.step)
            self.world.agree(list(self.network.state_dict().values()))
            first, started = self.step, time.monotonic()
            stopped = self.world.any(self._stopped_early())[0]
            while self.step < run.steps and not stopped:
                terms = self._step.run(self.step)
                self.step += 1
                self.average.update(self.network, self.step)
                with self.world.together():
                    if self.world.main:
                        rate = (self.step - first) / max(time.monotonic() - started, 1e-9)
                        self._account(terms, rate, report)
                stopped, pressed = self.world.any(self._stopped_early(), interrupted())
                if pressed:
                    self._interrupt()
        with self.world.together():
            if not self.world.main:
                return weights_path(self)
            # A kill between the last checkpoint and its log leaves nothing else to write it.
            self.journal.write()
            return write_weights(self)

    def save(self) -> None:
        """Writes checkpoint and log, each whole or not at all."""
        tensors = {
            "network": dict(self.network.state_dict()),
            "best": self.best_state,
            "optimizer": self._step.state(),
            "random": {"cpu": torch.get_rng_state()},
        }
        if self.average.own:
            tensors["average"] = dict(self.average.network.state_dict())
        state = {
            "best": vars(self.best),
            "stale": self.stale,
            "rows": self.journal.rows,
            "precision": self._step.precision.state(),
        }
        write_checkpoint(
            self.checkpoint_path, Checkpoint(self.step, self._identity(), tensors, state)
        )
        self.journal.write()
        self._saved = self.step

    def resume(self) -> None:
        """Takes up the newest checkpoint of the run's folder.

        Raises:
            FileNotFoundError: there is none.
            ValueError: damaged, or of another configuration or other data; what differs is named.
        """
        checkpoint = read_checkpoint(self.checkpoint_path)
        difference = first_difference(self._identity(), checkpoint.identity)
        if difference is not None:
            key, here, there = difference
            raise ValueError(
                f"'{self.checkpoint_path}' is of another run: '{key}' is {here!r} here and "
                f"{there!r} there; resume with the same, or give another --output"
            )
        self.network.load_state_dict(checkpoint.tensors["network"])
        if self.average.own:
            self.average.network.load_state_dict(checkpoint.tensors["average"])
        self.best_state = checkpoint.tensors["best"]
        self._step.load(checkpoint.tensors.get("optimizer", {}))
        self._step.precision.load(checkpoint.state["precision"])
        torch.set_rng_state(checkpoint.tensors["random"]["cpu"])
        self.step = self._saved = checkpoint.step
        self.best = _Best(**checkpoint.state["best"])
        self.stale = checkpoint.state["stale"]
        self.journal.rows = checkpoint.state["rows"]

    def _identity(self) -> dict[str, Any]:
        # Statistics are part of it: the same configuration over other rasters is another run.
        return {**self.config.identity(), "statistics": self.data.preprocessing}

    def _account(
        self, terms: dict[str, float], rate: float, report: Callable[[Progress], None] | None
    ) -> None:
        """Validates, logs, saves and reports a step, each when it is due."""
        run = self.config.run
        scores = None
        if self.step % run.validate_every == 0 or self.step == run.steps:
            scores = self._validate()
        if scores or self.step % run.log_every == 0 or self.step == 1:
            self.journal.add({"step": self.step, **terms, **(scores or {})}, rate)
        last = self.step == run.steps or self._stopped_early()
        if last or self.step % run.checkpoint_every == 0:
            self.save()
        if report is not None:
            report(Progress(self.step, run.steps, terms["loss"], rate, scores, vars(self.best)))

    def _validate(self) -> dict[str, float]:
        network = self.average.network.eval()
        scores = validate(
            network,
            self.data,
            "validation",
            self.config.patches.lit_above,
            self.autocast,
            context=self.config.split.context,
            self_ensemble=self.config.run.self_ensemble,
            show=lambda panels: self.journal.show(self.step, panels),
        )
        if scores["gain"] > self.best.gain:
            self.best = _Best(self.step, scores["gain"], scores)
            self.best_state = _copied(network)
            self.stale = 0
        else:
            self.stale += 1
        return scores

    def _stopped_early(self) -> bool:
        patience = self.config.run.early_stopping
        return patience > 0 and self.stale >= patience

    def _interrupt(self) -> None:
        with self.world.together():
            if self.world.main and self._saved != self.step:
                self.save()
        if not self.world.main:
            raise SystemExit(130)
        raise KeyboardInterrupt


def open_run(
    config: TrainingConfig,
    output: str | Path,
    *,
    resume: bool = False,
    **options: Any,
) -> Trainer:
    """A trainer at the start of a run, or at its newest checkpoint.

    Args:
        config: from :func:`deeplight.training.load_config`.
        output: folder for checkpoint, log and weights.
        resume: take up the checkpoint that lies there.
        **options: of :class:`Trainer`.

    Raises:
        FileNotFoundError: nothing to resume.
        ValueError: see :class:`Trainer`; a checkpoint of another run, or one without ``resume``.
    """
    trainer = Trainer(config, output, **options)
    if resume:
        trainer.resume()
    elif trainer.checkpoint_path.exists():
        raise ValueError(
            f"'{trainer.checkpoint_path}' exists; continue it with --resume, or give another "
            "--output"
        )
    return trainer


def train(
    config: TrainingConfig,
    output: str | Path,
    *,
    resume: bool = False,
    data: TrainingData | None = None,
    threads: int | None = None,
    device: str = "cpu",
    tensorboard: bool = False,
    report: Callable[[Progress], None] | None = None,
) -> Path:
    """Trains a network as a configuration says; under torchrun, together with other processes.

    Args:
        config: from :func:`deeplight.training.load_config`.
        output: folder for checkpoint, log and weights.
        resume: take up the checkpoint that lies there.
        data: prepared rasters; read from the configuration when None.
        threads: of the computation.
        device: where the network runs, "cpu" or "cuda"; only the CPU promises the same bits.
        tensorboard: write event files below ``output``.
        report: called after every step.

    Returns:
        The path of the weights.

    Raises:
        ValueError: see :func:`open_run`.
        FloatingPointError: see :meth:`Trainer.run`.
        OSError: see :meth:`Trainer.run`.
    """
    with join_world(device) as world:
        with world.together():
            trainer = open_run(
                config, output, resume=resume, data=data, threads=threads, device=device,
                world=world, tensorboard=tensorboard,
            )  # fmt: skip
        return trainer.run(report)


def _copied(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}

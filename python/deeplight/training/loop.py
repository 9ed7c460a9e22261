"""The training loop: steps, moving average, validation, checkpoints, resume.

A step depends on the configuration, the data, the state after the step before, and its own number,
and on nothing else: killed at any moment and resumed, a run on the CPU ends in the same bits
(with the same number of threads).
"""

from __future__ import annotations

import contextlib
import copy
import csv
import hashlib
import io
import json
import math
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from deeplight.training.checkpoint import (
    Checkpoint,
    read_checkpoint,
    write_atomically,
    write_checkpoint,
)
from deeplight.training.data import TrainingData, load_data
from deeplight.training.export import write_weights
from deeplight.training.schedule import warmup_cosine
from deeplight.training.schema import TrainingConfig
from deeplight.training.validation import validate

__all__ = ["Progress", "Trainer", "train"]

_COLUMNS = (
    "step", "loss", "image_loss", "auxiliary_loss", "gradient_norm", "lr",
    "gain", "lit_psnr", "bicubic_lit_psnr", "psnr", "light_ratio",
)  # fmt: skip


@dataclass
class Progress:
    """What a progress display is told after each step."""

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
        data: prepared rasters; read from the configuration when None.
        output: the run's folder; created.
        threads: of the computation; None leaves torch's choice.
        device: where the network runs.

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
    ) -> None:
        import deeplight
        from deeplight.losses import DeepLightLoss

        if threads is not None:
            torch.set_num_threads(threads)
        self.config = config
        self.output = Path(output)
        self.data = data if data is not None else load_data(config)
        self.device = torch.device(device)
        self.preprocessor = self.data.preprocessor()
        torch.manual_seed(config.run.seed)
        network = deeplight.create_model(
            config.model.architecture,
            scale=self.data.scale,
            guides=dict(self.preprocessor.network_guides),
            **config.model.options,
        )
        layout = torch.channels_last if config.run.channels_last else torch.contiguous_format
        self.layout = layout
        self.network = network.to(self.device).to(memory_format=layout)  # type: ignore[call-overload]
        self.loss = DeepLightLoss(**config.loss)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(),
            lr=config.optimizer.lr,
            betas=(config.optimizer.betas[0], config.optimizer.betas[1]),
            weight_decay=config.optimizer.weight_decay,
        )
        self.ema = copy.deepcopy(self.network).eval()
        self.best_state = _copied(self.ema)
        self.best = _Best()
        self.stale = 0
        self.step = 0
        self.rows: list[dict[str, Any]] = []
        self.sampler = self.data.sampler(config, threads=1)
        # Statistics are part of it: the same configuration over other rasters is another run.
        self.digest = hashlib.sha256(
            (config.digest() + json.dumps(self.data.preprocessing)).encode()
        ).hexdigest()
        self.output.mkdir(parents=True, exist_ok=True)

    @property
    def checkpoint_path(self) -> Path:
        """Where the newest checkpoint lies."""
        return self.output / "checkpoint.safetensors"

    def autocast(self) -> Any:
        """The context in which the network computes."""
        enabled = self.config.run.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    def run(self, report: Callable[[Progress], None] | None = None) -> Path:
        """Trains to the end and writes the weights.

        Ctrl-C ends the step in hand, writes a checkpoint and raises KeyboardInterrupt; a second
        Ctrl-C stops at once.

        Args:
            report: called after every step.

        Returns:
            The path of the weights, best moving average by validation.

        Raises:
            FloatingPointError: loss or gradient is not finite; step and patches are named.
            OSError: a checkpoint or the weights cannot be written; the last checkpoint stays.
        """
        run = self.config.run
        first, started = self.step, time.monotonic()
        with _deferred_interrupt() as interrupted:
            while self.step < run.steps and not self._stopped_early():
                terms = self._train_step()
                scores = None
                if self.step % run.validate_every == 0 or self.step == run.steps:
                    scores = self._validate()
                if scores or self.step % run.log_every == 0 or self.step == 1:
                    self.rows.append({"step": self.step, **terms, **(scores or {})})
                due = self.step % run.checkpoint_every == 0 or self.step == run.steps
                if due:
                    self.save()
                if report is not None:
                    rate = (self.step - first) / max(time.monotonic() - started, 1e-9)
                    report(
                        Progress(self.step, run.steps, terms["loss"], rate, scores, vars(self.best))
                    )
                if interrupted():
                    if not due:
                        self.save()
                    raise KeyboardInterrupt
        return write_weights(self)

    def save(self) -> None:
        """Writes checkpoint and log, each whole or not at all."""
        optimizer = self.optimizer.state_dict()["state"]
        names = [name for name, _ in self.network.named_parameters()]
        moments = {
            f"{names[index]}:{key}": torch.as_tensor(value)
            for index, state in optimizer.items()
            for key, value in state.items()
        }
        write_checkpoint(
            self.checkpoint_path,
            Checkpoint(
                self.step,
                self.digest,
                {
                    "network": dict(self.network.state_dict()),
                    "ema": dict(self.ema.state_dict()),
                    "best": self.best_state,
                    "optimizer": moments,
                    "random": {"cpu": torch.get_rng_state()},
                },
                {"best": vars(self.best), "stale": self.stale, "rows": self.rows},
            ),
        )
        self._write_log()

    def resume(self) -> None:
        """Takes up the newest checkpoint of the run's folder.

        Raises:
            FileNotFoundError: there is none.
            ValueError: damaged, or of another configuration or other data.
        """
        checkpoint = read_checkpoint(self.checkpoint_path)
        if checkpoint.digest != self.digest:
            raise ValueError(
                f"'{self.checkpoint_path}' was written by another configuration or from other "
                "data; resume with the same ones, or give another --output"
            )
        self.network.load_state_dict(checkpoint.tensors["network"])
        self.ema.load_state_dict(checkpoint.tensors["ema"])
        self.best_state = checkpoint.tensors["best"]
        state: dict[int, dict[str, torch.Tensor]] = {}
        indices = {name: i for i, (name, _) in enumerate(self.network.named_parameters())}
        for key, value in checkpoint.tensors["optimizer"].items():
            name, _, moment = key.rpartition(":")
            state.setdefault(indices[name], {})[moment] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})
        torch.set_rng_state(checkpoint.tensors["random"]["cpu"])
        self.step = checkpoint.step
        self.best = _Best(**checkpoint.state["best"])
        self.stale = checkpoint.state["stale"]
        self.rows = checkpoint.state["rows"]

    def _train_step(self) -> dict[str, float]:
        config = self.config
        factor = warmup_cosine(
            self.step, config.run.steps, config.optimizer.warmup, config.optimizer.floor
        )
        for group in self.optimizer.param_groups:
            group["lr"] = config.optimizer.lr * factor
        batch = self.sampler.sample(self.step)
        low = self._placed(self.preprocessor.low_resolution(batch.low_resolution))
        guides = {name: self._placed(guide) for name, guide in batch.guides.items()}
        target = self.preprocessor.target(batch.target, batch.valid).to(self.device)
        auxiliary = batch.auxiliary
        auxiliary = auxiliary.to(self.device) if auxiliary is not None else None
        self.network.train()
        with self.autocast():
            output = self.network(low, guides)
        logits = output.auxiliary_logits
        output = type(output)(
            output.image.float(),
            [level.float() for level in output.pyramid],
            logits.float() if logits is not None else None,
        )
        terms = self.loss.terms(output, target, auxiliary, batch.valid.to(self.device))
        loss = terms["total"]
        self._require_finite("loss", float(loss.detach()), batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        clip = config.optimizer.clip or math.inf
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), clip)
        self._require_finite("gradient", float(norm), batch)
        self.optimizer.step()
        self.step += 1
        self._average()
        auxiliary_term = terms["auxiliary"]
        return {
            "loss": float(loss.detach()),
            "image_loss": float(terms["image"].detach()),
            "auxiliary_loss": 0.0 if auxiliary_term is None else float(auxiliary_term.detach()),
            "gradient_norm": float(norm),
            "lr": config.optimizer.lr * factor,
        }

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self.device).contiguous(memory_format=self.layout)

    def _average(self) -> None:
        # The young average follows quickly, or the random start would linger in it.
        keep = min(self.config.run.ema, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.ema.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(value, 1 - keep)
            for mean, value in zip(self.ema.buffers(), self.network.buffers(), strict=True):
                mean.copy_(value)

    def _validate(self) -> dict[str, float]:
        scores = validate(
            self.ema, self.data, "validation", self.config.patches.lit_above, self.autocast
        )
        if scores["gain"] > self.best.gain:
            self.best = _Best(self.step, scores["gain"], scores)
            self.best_state = _copied(self.ema)
            self.stale = 0
        else:
            self.stale += 1
        return scores

    def _stopped_early(self) -> bool:
        patience = self.config.run.early_stopping
        return patience > 0 and self.stale >= patience

    def _require_finite(self, what: str, value: float, batch: Any) -> None:
        if not math.isfinite(value):
            raise FloatingPointError(
                f"{what} is {value} at step {self.step + 1} (lr "
                f"{self.optimizer.param_groups[0]['lr']:g}), patches (row, column, height, width) "
                f"{batch.windows}; the last checkpoint is untouched"
            )

    def _write_log(self) -> None:
        text = io.StringIO()
        writer = csv.DictWriter(text, _COLUMNS, restval="", lineterminator="\n")
        writer.writeheader()
        for row in self.rows:
            writer.writerow({k: f"{v:.7g}" if isinstance(v, float) else v for k, v in row.items()})
        write_atomically(self.output / "log.csv", text.getvalue().encode())


def train(
    config: TrainingConfig,
    output: str | Path,
    *,
    resume: bool = False,
    threads: int | None = None,
    device: str = "cpu",
    report: Callable[[Progress], None] | None = None,
) -> Path:
    """Trains a network as a configuration says.

    Args:
        config: from :func:`deeplight.training.load_config`.
        output: folder for checkpoint, log and weights.
        resume: take up the checkpoint that lies there.
        threads: of the computation.
        device: where the network runs, "cpu" or "cuda"; only the CPU promises the same bits.
        report: called after every step.

    Returns:
        The path of the weights.

    Raises:
        ValueError: see :class:`Trainer`; also a checkpoint in ``output`` without ``resume``.
    """
    trainer = Trainer(config, output, threads=threads, device=device)
    if resume:
        trainer.resume()
    elif trainer.checkpoint_path.exists():
        raise ValueError(
            f"'{trainer.checkpoint_path}' exists; continue it with --resume, or give another "
            "--output"
        )
    return trainer.run(report)


def _copied(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}


@contextlib.contextmanager
def _deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Turns the first Ctrl-C into a flag that is looked at between steps."""
    pressed = False

    def handle(number: int, frame: Any) -> None:
        nonlocal pressed
        if pressed:
            raise KeyboardInterrupt
        pressed = True

    try:
        previous = signal.signal(signal.SIGINT, handle)
    except ValueError:  # not the main thread: whoever owns it handles Ctrl-C
        yield lambda: False
        return
    try:
        yield lambda: pressed
    finally:
        signal.signal(signal.SIGINT, previous)

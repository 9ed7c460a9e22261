"""One step of the optimizer: batches -> gradient -> weights.

A step depends on the configuration, the data, the weights and moments before it, and its number.
"""

from __future__ import annotations

import math
from typing import Any

import torch

from deeplight.losses import DeepLightLoss
from deeplight.models import Output
from deeplight.training.data import TrainingData
from deeplight.training.distributed import World
from deeplight.training.precision import Precision
from deeplight.training.schedule import rates_at
from deeplight.training.schema import TrainingConfig

__all__ = ["TrainingStep"]

Terms = dict[str, torch.Tensor]


class TrainingStep:
    """Moves a network's weights.

    Args:
        config: what to do.
        network: on its device; parameters without ``requires_grad`` stay as they are.
        data: prepared rasters.
        device: where the network lies.
        world: the processes that share each batch.

    Raises:
        ValueError: nothing is trained, a batch cannot be shared out, or an option of the loss or
            the sampler is wrong.
    """

    def __init__(
        self,
        config: TrainingConfig,
        network: torch.nn.Module,
        data: TrainingData,
        device: torch.device,
        world: World,
    ) -> None:
        self._config, self._network, self._device, self._world = config, network, device, world
        self._preprocessor = data.preprocessor()
        channels_last = config.run.channels_last
        self._layout = torch.channels_last if channels_last else torch.contiguous_format
        self._trained = {n: p for n, p in network.named_parameters() if p.requires_grad}
        if not self._trained:
            raise ValueError("'init.freeze' leaves no parameter to train")
        self.loss = DeepLightLoss(**config.loss)
        self.precision = Precision(config.run.precision, device)
        self.optimizer = torch.optim.AdamW(
            self._trained.values(),
            lr=config.optimizer.lr,
            betas=(config.optimizer.betas[0], config.optimizer.betas[1]),
            weight_decay=config.optimizer.weight_decay,
        )
        first, items = world.share(config.patches.batch)
        self._sizes: list[torch.Size] | None = None
        self.sampler = data.sampler(config, threads=1, first_item=first, items=items)

    def run(self, step: int) -> dict[str, float]:
        """Does step number ``step``, 0 for the first one.

        Returns:
            A row of the log: the terms of the loss, the gradient's norm, the rate.

        Raises:
            FloatingPointError: loss or gradient is not finite; step and patches are named.
        """
        batches = self._config.optimizer.accumulate
        rates = rates_at(self._config.optimizer, step, self._config.run.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rates.lr
            group["betas"] = (rates.momentum, self._config.optimizer.betas[1])
        self._network.train()
        self.optimizer.zero_grad(set_to_none=True)
        sums: dict[str, torch.Tensor] = {}
        windows: list[Any] = []
        with self._world.together():
            shares = [self.sampler.sample(step * batches + index) for index in range(batches)]
        factors = self._factors(shares)
        with self._world.together():
            for batch, factor in zip(shares, factors, strict=True):
                windows.append(batch.windows)
                terms = self._terms(batch, factor)
                self._require_finite("loss", terms["loss"], step, rates.lr, windows[-1:])
                self.precision.backward(terms["loss"] / batches if batches > 1 else terms["loss"])
                for name, term in terms.items():
                    sums[name] = sums.get(name, 0.0) + term.detach().double().cpu() / batches
        parameters = list(self._trained.values())
        self._world.average_([p.grad for p in parameters if p.grad is not None])
        self._world.average_(list(sums.values()))
        with self._world.together():
            try:
                clip = self._config.optimizer.clip
                norm = self.precision.step(self.optimizer, parameters, clip)
            except FloatingPointError as error:
                raise self._diverged(str(error), step, rates.lr, windows) from None
        row = {name: float(value) for name, value in sums.items()}
        row.update(gradient_norm=norm, lr=rates.lr)
        if self._config.run.precision == "fp16":
            row["skipped"] = self.precision.skipped
        return row

    def _factors(self, shares: list[Any]) -> list[torch.Tensor | None]:
        """What makes the mean over a step's shares the mean over all their valid pixels.

        Args:
            shares: this process's items of each batch.

        Returns:
            For each share; None where it weighs what shares weigh in the mean: its terms stay as
            they are, bit for bit.
        """
        if len(shares) * self._world.size == 1:
            return [None]
        with self._world.together():
            counts = torch.stack([self._counts(batch) for batch in shares])
        means = counts.mean(0)
        self._world.average_([means])
        factors = torch.where(means > 0, counts / means, 1.0)
        return [None if bool((row == 1).all()) else row for row in factors]

    def _counts(self, batch: Any) -> torch.Tensor:
        """What the terms of a share are means over."""
        target = self._preprocessor.target(batch.target, batch.valid)
        if self._sizes is None:  # the same for every batch
            self._network.eval()
            with torch.no_grad():
                output = self._output(batch)
            self._network.train()
            self._sizes = [level.shape for level in output.pyramid or [output.image]]
        # Of the prediction the sizes alone are read: these hold one number each.
        levels = [target.new_zeros(()).expand(size) for size in self._sizes]
        return self.loss.counts(Output(levels[-1], levels, None), target, batch.valid)

    def _output(self, batch: Any) -> Output:
        """What the network makes of this process's items."""
        low = self._placed(self._preprocessor.low_resolution(batch.low_resolution))
        guides = {name: self._placed(guide) for name, guide in batch.guides.items()}
        with self.precision.autocast():
            return self._network(low, guides)

    def _terms(self, batch: Any, factors: torch.Tensor | None) -> Terms:
        """The terms of the loss of this process's items, ``loss`` first."""
        target = self._preprocessor.target(batch.target, batch.valid).to(self._device)
        auxiliary = batch.auxiliary
        auxiliary = auxiliary.to(self._device) if auxiliary is not None else None
        output = self._output(batch)
        logits = output.auxiliary_logits
        output = type(output)(
            output.image.float(),
            [level.float() for level in output.pyramid],
            logits.float() if logits is not None else None,
        )
        valid = batch.valid.to(self._device)
        terms = self.loss.terms(output, target, auxiliary, valid, factors=factors)
        found = {"loss": terms["total"], "image_loss": terms["image"]}
        if terms["auxiliary"] is not None:
            found["auxiliary_loss"] = terms["auxiliary"]
        found.update({f"{name}_loss": term for name, term in terms.get("extra", {}).items()})
        return found

    def _placed(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor.to(self._device).contiguous(memory_format=self._layout)

    def _require_finite(
        self, what: str, value: torch.Tensor, step: int, lr: float, windows: list[Any]
    ) -> None:
        number = float(value.detach())
        if not math.isfinite(number):
            raise self._diverged(f"{what} is {number}", step, lr, windows)

    def _diverged(self, what: str, step: int, lr: float, windows: list[Any]) -> FloatingPointError:
        return FloatingPointError(
            f"{what} at step {step + 1} (lr {lr:g}), patches (row, column, height, width) "
            f"{'; '.join(map(str, windows))}; the last checkpoint is untouched"
        )

    def state(self) -> dict[str, torch.Tensor]:
        """The optimizer's moments by parameter, for a checkpoint."""
        names = list(self._trained)
        return {
            f"{names[index]}:{key}": torch.as_tensor(value)
            for index, state in self.optimizer.state_dict()["state"].items()
            for key, value in state.items()
        }

    def load(self, moments: dict[str, torch.Tensor]) -> None:
        """Takes up :meth:`state`."""
        indices = {name: index for index, name in enumerate(self._trained)}
        state: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in moments.items():
            name, _, moment = key.rpartition(":")
            state.setdefault(indices[name], {})[moment] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": state, "param_groups": groups})

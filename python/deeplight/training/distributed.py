"""Several processes that train one network, started by torchrun; a single one is the plain case.

Each process computes its items of every batch; gradients are averaged once a step, by one reduction
of one buffer. The module's wrapper in torch (DistributedDataParallel) overlaps that with the
backward pass, but refuses parameters without a gradient (an unused head) and activations computed
again. Process 0 alone validates, writes and prints.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

__all__ = ["World", "join_world"]


@dataclass(frozen=True)
class World:
    """The processes of a run.

    Attributes:
        rank: of this process.
        size: how many there are.
        local_rank: of this process on its machine: the number of its device.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def main(self) -> bool:
        """Whether this is the process that validates, writes and prints."""
        return self.rank == 0

    def device(self, name: str) -> torch.device:
        """The device of this process; "cuda" becomes its own one."""
        device = torch.device(name)
        if device.type == "cuda" and self.size > 1:
            device = torch.device("cuda", self.local_rank)
            torch.cuda.set_device(device)
        return device

    def share(self, batch: int) -> tuple[int, int]:
        """This process's items of a batch: the first one, and how many.

        Raises:
            ValueError: they cannot be shared out evenly.
        """
        if batch % self.size:
            raise ValueError(
                f"'patches.batch' must be a multiple of the {self.size} processes, got {batch}"
            )
        items = batch // self.size
        return self.rank * items, items

    @torch.no_grad()
    def average_(self, tensors: Sequence[torch.Tensor]) -> None:
        """Replaces each tensor by its mean over the processes."""
        if self.size == 1 or not tensors:
            return
        flat = torch.cat([tensor.reshape(-1) for tensor in tensors])
        with self._collective():
            dist.all_reduce(flat)
        flat /= self.size
        pieces = flat.split([tensor.numel() for tensor in tensors])
        for tensor, piece in zip(tensors, pieces, strict=True):
            tensor.copy_(piece.view(tensor.shape))

    @torch.no_grad()
    def agree(self, tensors: Sequence[torch.Tensor]) -> None:
        """Gives every process the values of process 0."""
        if self.size > 1:
            with self._collective():
                for tensor in tensors:
                    values = tensor.contiguous()
                    dist.broadcast(values, 0)
                    tensor.copy_(values)

    def any(self, *flags: bool) -> list[bool]:
        """Each flag: whether it is set in any process."""
        if self.size == 1:
            return list(flags)
        counts = torch.tensor(flags, dtype=torch.int32)
        with self._collective():
            dist.all_reduce(counts)
        return [bool(count) for count in counts]

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Ends every process where the enclosed code fails in one of them.

        Raises:
            Exception: in process 0, its own error, or a RuntimeError with that of another.
            SystemExit: in the others, so that there is one message.
        """
        if self.size == 1:
            yield
            return
        problem: Exception | None = None
        try:
            yield
        except Exception as error:
            problem = error
        if not self.any(problem is not None)[0]:
            return
        texts: list[str | None] = [None] * self.size
        with self._collective():
            dist.all_gather_object(texts, None if problem is None else str(problem))
        if not self.main:
            raise SystemExit(1) from problem
        if problem is not None:
            raise problem
        rank = next(rank for rank, text in enumerate(texts) if text is not None)
        raise RuntimeError(f"process {rank} of {self.size}: {texts[rank]}")

    @contextlib.contextmanager
    def _collective(self) -> Iterator[None]:
        try:
            yield
        except RuntimeError as error:
            if not self.main:
                raise SystemExit(1) from error
            raise RuntimeError(f"another process of this run has ended: {error}") from error


@contextlib.contextmanager
def join_world(device: str = "cpu") -> Iterator[World]:
    """The processes that torchrun started, or this one alone; leaves the group at the end.

    Args:
        device: where networks run; decides how tensors travel (gloo, or nccl between GPUs).
    """
    if dist.is_available() and dist.is_initialized():  # the caller's own group
        rank = dist.get_rank()
        yield World(rank, dist.get_world_size(), int(os.environ.get("LOCAL_RANK", rank)))
        return
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield World()
        return
    cuda = torch.device(device).type == "cuda"
    # Others wait while process 0 validates. Nobody waits for the dead: torchrun ends them all.
    dist.init_process_group("cpu:gloo,cuda:nccl" if cuda else "gloo", timeout=timedelta(days=1))
    try:
        yield World(dist.get_rank(), dist.get_world_size(), int(os.environ["LOCAL_RANK"]))
    finally:
        dist.destroy_process_group()

"""Work of two processes that are one group of torch.distributed, as a training on two GPUs is."""

import torch
import torch.distributed as dist
import torch.multiprocessing as mp


def _process(rank, store, work, results):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=2)
    results[rank] = work(rank)
    dist.destroy_process_group()


def in_two_processes(work, folder):
    """What `work(rank)`, a function of a module, returns in each; of plain values."""
    with mp.Manager() as manager:
        results = manager.dict()
        mp.spawn(_process, args=(str(folder / "store"), work, results), nprocs=2)
        return [results[0], results[1]]

#!/usr/bin/env python3
"""Memory and time of a training step, with and without checkpointed activations.

    python scripts/training_memory.py

Peak of the process's resident memory during one step (forward, loss, backward) over what it held
before, and the step's wall time, the best of a few; on CUDA the allocator's peak. Linux only: the
peak is reset through /proc/self/clear_refs.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import json
import re
import time
from pathlib import Path

import torch

import deeplight
from deeplight.losses import DeepLightLoss

#: Of the shipped weights and of the paper: name, width, options, guides.
NETWORKS = {
    "as shipped": (
        32,
        {"refine": {"guide_gate": True, "bicubic_skip": True}},
        {"dmo": 30, "dem": 2},
    ),
    "paper": (64, {}, {"dmo": 7, "dem": 1}),
}


def main() -> None:
    """Prints a table, or one JSON object per line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patches", type=int, nargs="*", default=[24, 48], help="low resolution")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--steps", type=int, default=2, help="timed, of which the best counts")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if not options.json:
        print(
            "| network | patch | batch | MB | MB, checkpointed | seconds | seconds, checkpointed |"
        )
        print("|---|---|---|---|---|---|---|")
    for name in NETWORKS:
        for patch in options.patches:
            runs = [measure(name, patch, on, options) for on in (False, True)]
            if options.json:
                print(json.dumps({"network": name, "patch": patch, "runs": runs}), flush=True)
                continue
            memory = " | ".join(f"{run['megabytes']:.0f}" for run in runs)
            seconds = " | ".join(f"{run['seconds']:.2f}" for run in runs)
            row = f"{name} | {patch} x {patch} | {options.batch} | {memory} | {seconds}"
            print(f"| {row} |", flush=True)


def measure(name: str, patch: int, on: bool, options: argparse.Namespace) -> dict[str, float]:
    """Peak memory in MB and best time of a step."""
    width, parts, guides = NETWORKS[name]
    torch.manual_seed(0)
    network = deeplight.create_model("deeplight_sr", scale=8, width=width, guides=guides, **parts)
    network.to(options.device).train()
    network.checkpoint_activations = on
    loss = DeepLightLoss(pixel_loss="mse")

    def image(bands: int, side: int) -> torch.Tensor:
        return torch.rand(options.batch, bands, side, side, device=options.device)

    low, target = image(1, patch), image(1, 8 * patch)
    given = {guide: image(bands, 8 * patch) for guide, bands in guides.items()}
    auxiliary = target.round()

    def step() -> None:
        network.zero_grad(set_to_none=False)
        loss(network(low, given), target, auxiliary).backward()

    step()  # gradients exist, libraries are loaded
    peaks, times = [], []
    for _ in range(options.steps):
        before = reset_peak(options.device)
        started = time.perf_counter()
        step()
        if options.device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
        peaks.append(peak(options.device) - before)
    return {"megabytes": max(peaks) / 1e6, "seconds": min(times)}


def reset_peak(device: str) -> int:
    """Begins a new peak; bytes in use now."""
    gc.collect()
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        return torch.cuda.memory_allocated()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak(device: str) -> int:
    """Bytes at the peak."""
    return torch.cuda.max_memory_allocated() if device != "cpu" else _status("VmHWM")


def _status(key: str) -> int:
    text = Path("/proc/self/status").read_text()
    return 1024 * int(re.search(rf"^{key}:\s+(\d+) kB", text, re.MULTILINE)[1])


if __name__ == "__main__":
    main()

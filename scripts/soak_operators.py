"""Random cases of every operator against its oracle, for as long as asked for.

    python scripts/soak_operators.py [--cases 5000] [--seed SEED] [OPERATOR ...]

Each case runs on an instruction set of this machine and one or two threads, drawn by its seed.
Seeds go on where the last run ended; the totals lie in ``build/soak/``, `./dev soak report` prints
them. A failure prints the operator, the seed and the instruction set that repeat it, and exits
with 1. With --seed, cases are run again and not counted.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from collections.abc import Callable
from pathlib import Path

import soak
import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "python"))
import large_kernel_cases as large_kernels
import projection_cases as projections
from conv3x3_cases import conv3x3_case
from deform_conv_cases import deform_case

# Operator -> one random case from a seed; raises AssertionError where it is wrong.
CASES: dict[str, Callable[[int], None]] = {
    "conv3x3": conv3x3_case,
    "deform_conv2d": deform_case,
    "depthwise_conv2d": large_kernels.depthwise_case,
    "dynamic_conv2d": large_kernels.dynamic_case,
    "large_selective_kernel": large_kernels.selective_case,
    "projection_conv2d": projections.projection_case,
    "pixel_shuffle_conv1x1": projections.pixel_shuffle_case,
    "affine_warp": projections.warp_case,
}
BATCH = 100


def done(name: str) -> int:
    """Cases of an operator that were run before, which is the next seed."""
    path = soak.BUILD / f"{name}.json"
    return int(json.loads(path.read_text()).get("cases", 0)) if path.exists() else 0


def failure(name: str, seed: int, levels: list[str]) -> str:
    """What went wrong in one case; empty if nothing did."""
    generator = random.Random(seed)
    level, threads = generator.choice(levels), generator.choice([1, 2])
    torch.set_num_threads(threads)
    try:
        with large_kernels.simd_level(level):
            CASES[name](seed)
    except Exception as error:
        return f"{name} --seed {seed} --cases 1 ({level}, {threads} threads): {error!r}"
    return ""


def main() -> int:
    """Exit code 0 if every case is right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("operators", nargs="*", default=list(CASES), help=", ".join(CASES))
    parser.add_argument("--cases", type=int, default=5000, help="of each operator")
    parser.add_argument("--seed", type=int, help="of the first case; the next one if absent")
    arguments = parser.parse_args()
    unknown = set(arguments.operators) - set(CASES)
    if unknown:
        parser.error(f"unknown operator {', '.join(sorted(unknown))}; known: {', '.join(CASES)}")
    levels, counted = large_kernels.simd_levels(), arguments.seed is None
    for name in arguments.operators:
        first = done(name) if counted else arguments.seed
        for begin in range(first, first + arguments.cases, BATCH):
            end = min(begin + BATCH, first + arguments.cases)
            wrong = [w for w in (failure(name, s, levels) for s in range(begin, end)) if w]
            if counted:
                soak.add(name, {"cases": end - begin, "different": len(wrong)})
            if wrong:
                print("\n".join(wrong))
                return 1
        print(f"{name}: {arguments.cases} cases", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

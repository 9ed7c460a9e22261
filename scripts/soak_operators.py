"""Random cases of every operator against its oracle, for as long as asked for.

    python scripts/soak_operators.py [--cases 5000] [--seed 0] [OPERATOR ...]

Each case runs on an instruction set of this machine and one or two threads, drawn by its seed.
A failure prints the operator, the seed and the instruction set that repeat it, and exits with 1.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Callable
from pathlib import Path

import torch

sys.path.append(str(Path(__file__).resolve().parents[1] / "tests" / "python"))
import large_kernel_cases as large_kernels
from deform_conv_cases import deform_case

# Operator -> one random case from a seed; raises AssertionError where it is wrong.
CASES: dict[str, Callable[[int], None]] = {
    "deform_conv2d": deform_case,
    "depthwise_conv2d": large_kernels.depthwise_case,
    "dynamic_conv2d": large_kernels.dynamic_case,
    "large_selective_kernel": large_kernels.selective_case,
}


def main() -> int:
    """Exit code 0 if every case is right."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("operators", nargs="*", default=list(CASES), help=", ".join(CASES))
    parser.add_argument("--cases", type=int, default=5000, help="of each operator")
    parser.add_argument("--seed", type=int, default=0, help="of the first case")
    arguments = parser.parse_args()
    unknown = set(arguments.operators) - set(CASES)
    if unknown:
        parser.error(f"unknown operator {', '.join(sorted(unknown))}; known: {', '.join(CASES)}")
    levels = large_kernels.simd_levels()
    for name in arguments.operators:
        for seed in range(arguments.seed, arguments.seed + arguments.cases):
            generator = random.Random(seed)
            level, threads = generator.choice(levels), generator.choice([1, 2])
            torch.set_num_threads(threads)
            try:
                with large_kernels.simd_level(level):
                    CASES[name](seed)
            except Exception as error:
                print(f"{name} --seed {seed} --cases 1 ({level}, {threads} threads): {error!r}")
                return 1
        print(f"{name}: {arguments.cases} cases")
    return 0


if __name__ == "__main__":
    sys.exit(main())

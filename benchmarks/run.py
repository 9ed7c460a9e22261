"""Runs every benchmark and prints one table; `--json` writes the results with the machine.

"of roofline" is the own share of what the machine could do at best, "at most" the ratio that a run
at the roofline would have against the same rival: a bar beyond it is beyond the machine.

Usage: ./dev bench [--rounds N] [--json FILE] [NAME ...]
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import platform
import sys
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table

NAMES = (
    "cuda_operators",
    "deform_conv",
    "depthwise",
    "dynamic_conv",
    "large_selective_kernel",
    "mocolsk_net",
    "networks",
    "projection_conv",
    "tiled_prediction",
    "window_metrics",
)


def _machine() -> dict[str, object]:
    model = next(
        (
            line.split(":")[1].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return ({"devices": devices} if devices else {}) | {
        "cpu": model,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def main() -> None:
    """Entry of `./dev bench`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", default=NAMES, help=f"of {', '.join(NAMES)}")
    parser.add_argument("--rounds", type=int, default=15, help="interleaved rounds, at least 15")
    parser.add_argument("--json", type=Path, help="write the results here")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(NAMES)
    if unknown:
        parser.error(f"unknown benchmark {', '.join(sorted(unknown))}; known: {', '.join(NAMES)}")

    rows = []
    for name in arguments.names:
        rows += importlib.import_module(name).rows(arguments.rounds)
    table = Table(
        "item", "shape", "threads", "rival", "own ms", "rival ms", "ratio", "95 %", "of roofline",
        "at most", "note",
    )  # fmt: skip
    for row in rows:
        table.add_row(
            row.item, row.shape, str(row.threads), row.rival, f"{row.own_ms:.2f}",
            f"{row.rival_ms:.2f}", f"{row.ratio:.2f}", f"{row.low:.2f}-{row.high:.2f}",
            "" if row.peak is None else f"{row.peak:.0%} {row.bound}",
            "" if row.at_most is None else f"{row.at_most:.1f}", row.note,
        )  # fmt: skip
    # A file or a pipe has no width of its own, and cut figures are of no use.
    Console(width=None if sys.stdout.isatty() else 240).print(table)
    if arguments.json:
        result = {
            "machine": _machine(),
            "rows": [dataclasses.asdict(row) | {"at_most": row.at_most} for row in rows],
        }
        arguments.json.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()

"""Generated tables of measured speed, from what `./dev bench NAME --json` wrote.

Nothing is measured here: ``benchmarks/results/NAME.json`` holds the rows and the machine.
"""

from __future__ import annotations

import json

from docs_markdown import ROOT, table

RESULTS = ROOT / "benchmarks" / "results"


def speed_blocks() -> str:
    """A table for each benchmark that has results."""
    parts = []
    for path in sorted(RESULTS.glob("*.json")):
        result = json.loads(path.read_text())
        machine = result["machine"]
        rows = [
            (
                row["item"],
                row["shape"],
                row["threads"],
                row["rival"],
                f"{row['own_ms']:.2f}",
                f"{row['rival_ms']:.2f}",
                f"**{row['ratio']:.2f}** [{row['low']:.2f}, {row['high']:.2f}]",
                "" if row["peak"] is None else f"{row['peak']:.0%} {row['bound']}",
            )
            for row in result["rows"]
        ]
        header = ("item", "shape", "threads", "rival", "own ms", "rival ms", "ratio", "of roofline")
        parts.append(
            f"## {path.stem}\n\n`./dev bench {path.stem} --json benchmarks/results/{path.name}`: "
            f"{machine['cpu']}, PyTorch {machine['torch']} ({machine['capability']}), Python "
            f"{machine['python']}.\n\n" + table(header, rows)
        )
    return "\n".join(parts)

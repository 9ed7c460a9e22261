"""Generated tables of measured scores: the shipped weights and the ablation study.

Nothing is measured here: the weights' cards hold what ``scripts/score_weights.py --write`` found,
``docs/results/ablations.json`` what ``deeplight study`` did.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from docs_markdown import ROOT, table

BASELINES = ("bilinear", "bicubic", "bicubic + block mean", "bicubic x gain", "ridge on guides")
LABELS = {
    "lit_psnr": "lit PSNR", "gain": "gain dB", "lit_ssim": "lit SSIM", "light": "light",
    "psnr": "PSNR",
}  # fmt: skip


def weight_overview() -> str:
    """One row for each set of shipped weights: lit PSNR on its test part."""
    from deeplight.weights import list_weights, load_card

    rows = []
    for name in list_weights():
        scores = load_card(name)["scores"]["test"]["rows"]
        cells = [f"{scores[b]['lit_psnr'][0]:.2f}" if b in scores else "" for b in BASELINES]
        network = scores["network"]
        gain = f"{network['gain'][0]:+.2f} [{network['gain'][1]:+.2f}, {network['gain'][2]:+.2f}]"
        light = f"{network['light'][0]:.3f}"
        rows.append([f"`{name}`", *cells, f"{network['lit_psnr'][0]:.2f}", gain, light])
    return table(["", *BASELINES, "network", "gain dB", "light"], rows)


def weight_blocks() -> str:
    """Cards of the shipped weights, with the scores that they state."""
    from deeplight.weights import list_weights, load_card, resolve_weights

    parts = []
    for name in list_weights():
        card = load_card(name)
        guides = ", ".join(f"{g['name']} ({g['bands']})" for g in card["preprocessing"]["guides"])
        cell = " x ".join(f"{size:.6g}" for size in card["cell_size"])
        facts = [
            ("what", card["description"]),
            ("file", f"{resolve_weights(name).stat().st_size / 1e6:.1f} MB"),
            ("architecture", f"`{card['architecture']}`, x{card['scale']}"),
            ("guides (bands)", guides or "none"),
            ("units", card["preprocessing"]["output"]["units"]),
            ("low-resolution cell", f"{cell} {card['cell_size_units']}"),
            ("credits", card["credits"]),
            ("licence", card["license"]),
        ]
        parts.append(f"### `{name}`\n\n{table(('', ''), facts)}")
        parts += [_score_table(part, scores) for part, scores in card["scores"].items()]
    return "\n".join(parts)


def _score_table(part: str, scores: dict[str, Any]) -> str:
    rows = scores["rows"]
    keys = list(next(iter(rows.values())))
    cells = [
        [name, *(_interval(row[key], 2 if "psnr" in key or key == "gain" else 3) for key in keys)]
        for name, row in rows.items()
    ]
    facts = f"lit: {scores['lit']}; peak {scores['peak']:g}; {scores['interval']}"
    return f"The {part} part ({facts}):\n\n" + table(["", *(LABELS[k] for k in keys)], cells)


def _interval(values: list[float], digits: int) -> str:
    value, low, high = (f"{v:.{digits}f}" for v in values)
    return f"{value} [{low}, {high}]"


def ablation_blocks() -> str:
    """The ablation study's table."""
    path: Path = ROOT / "docs" / "results" / "ablations.json"
    study = json.loads(path.read_text(encoding="utf-8"))
    header = ["", "parameters", "paper's PSNR"]
    for part in study["parts"]:
        header += [f"{part}: gain", "against full", "lit SSIM"]
    rows = []
    for row in study["rows"]:
        paper = f"{row['paper']:.2f}" if row["paper"] is not None else ""
        cells = [row["name"], f"{row['parameters']:,}", paper]
        for part in study["parts"]:
            scores = row[part]
            cells += [_estimate(scores["gain"], 2), _estimate(scores["change"], 2)]
            cells.append(_estimate(scores["lit_ssim"], 3, ""))
        rows.append(cells)
    remarks = [f"- {row['name']}: {row['remark']}." for row in study["rows"] if row["remark"]]
    return table(header, rows) + "\n" + "\n".join(remarks)


def _estimate(estimate: dict[str, float], digits: int, sign: str = "+") -> str:
    return f"{estimate['mean']:{sign}.{digits}f} ± {estimate['half_width']:.{digits}f}"

"""What the public headers include: each what it uses, no floor one above it, torch in parts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parents[3]
INCLUDE = ROOT / "include"
TORCH = Path(torch.__file__).parent / "include"
TEXTS = {
    str(path.relative_to(INCLUDE)): path.read_text()
    for path in (INCLUDE / "deeplight").rglob("*.[hc]*")
}
HEADERS = sorted(name for name in TEXTS if name.endswith(".hpp") and "_inl." not in name)
# Who may declare what a namespace holds.
LIBRARIES = {
    "torch": ("torch/",),
    "at": ("ATen/", "torch/"),
    "c10": ("c10/", "ATen/", "torch/"),
    "nlohmann": ("nlohmann/",),
}
WHOLE = {"ATen/ATen.h", "ATen/Functions.h", "torch/types.h"}  # these declare every function


def reached_from(header):
    """Headers of others that are included by `header` and by what it includes of ours."""
    ours, others, waiting = set(), set(), [header]
    while waiting:
        name = waiting.pop()
        if name not in ours:
            ours.add(name)
            included = re.findall(r'#include [<"]([^>"]+)', TEXTS[name])
            waiting += [other for other in included if other.startswith("deeplight/")]
            others.update(other for other in included if not other.startswith("deeplight/"))
    return others


# Our headers are compiled alone beside a precompiled torch, which would hide these.
@pytest.mark.parametrize("header", HEADERS)
def test_each_header_includes_what_it_uses_of_torch(header):
    others = reached_from(header)
    text = TEXTS[header] + TEXTS.get(header.replace(".hpp", "_inl.hpp"), "")
    code = re.sub(r"//.*", "", re.sub(r'"[^"\n]*"', "", text))
    for namespace in set(re.findall(r"\b(torch|at|c10|nlohmann)::", code)):
        assert any(other.startswith(LIBRARIES[namespace]) for other in others), namespace
    if not any(other in WHOLE or other.startswith("torch/nn/") for other in others):
        for function in set(re.findall(r"\bat::([a-z_0-9]+)\(", code)):
            own = f"ATen/ops/{function}.h"
            assert own in others or not (TORCH / own).exists(), own


def test_no_public_header_pulls_in_all_of_torch():
    forbidden = ("torch/torch.h", "torch/nn.h", "torch/extension.h")
    for header in (ROOT / "include").rglob("*.hpp"):
        text = header.read_text()
        assert not any(f"<{name}>" in text for name in forbidden), header
        assert "__global__" not in text, header


@pytest.mark.parametrize("floor", ["core", "kernels", "radiometry", "raster", "weights"])
def test_torch_free_floors_stay_free_of_torch(floor):
    for header in (ROOT / "include" / "deeplight" / floor).iterdir():
        text = header.read_text()
        assert not any(f"<{name}" in text for name in ("torch/", "ATen/", "c10/")), header


FLOORS = [
    {"core"},
    {"kernels"},
    {"functional", "raster", "radiometry"},
    {"losses", "metrics", "data"},
    {"weights", "nn"},
    {"models"},
    {"infer"},
]
# What a floor may include besides the floors below it: see docs/architecture.md.
ALSO = {
    ("data", "weights/card.hpp"),
    ("data", "nn/types.hpp"),
    ("losses", "nn/types.hpp"),
    ("losses", "metrics/ssim.hpp"),
}


def test_each_floor_includes_only_floors_below_it():
    level = {name: i for i, names in enumerate(FLOORS) for name in names}
    for header in (ROOT / "include" / "deeplight").rglob("*.[hc]*"):
        own = header.parent.name
        for line in header.read_text().splitlines():
            if line.startswith('#include "deeplight/'):
                path = line.split('"')[1].removeprefix("deeplight/")
                other = path.split("/")[0]
                below = level[other] < level[own] or other == own or (own, path) in ALSO
                assert below, f"{header.name} of {own} includes {path}"

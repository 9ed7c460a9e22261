"""``deeplight doctor``: does this installation work? Exit code 1 if an essential part does not."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer

from deeplight.cli.errors import FAILURE, message_of


@dataclass
class Finding:
    """One line of the report."""

    name: str
    ok: bool
    essential: bool
    detail: str


def doctor(
    as_json: Annotated[bool, typer.Option("--json", help="Machine-readable, one object.")] = False,
) -> None:
    """Check this installation.

    [dim]$ deeplight doctor[/dim]

    Exit code 1 if something essential is broken.
    """
    findings = [_examine(*check) for check in CHECKS]
    healthy = all(finding.ok for finding in findings if finding.essential)
    if as_json:
        report = {"healthy": healthy, "checks": [asdict(finding) for finding in findings]}
        typer.echo(json.dumps(report, indent=2))
    else:
        _print_table(findings)
    if not healthy:
        raise typer.Exit(FAILURE)


def _examine(name: str, essential: bool, check: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, essential, check())
    except Exception as error:  # whatever is broken is the finding
        return Finding(name, False, essential, f"{type(error).__name__}: {message_of(error)}")


def _print_table(findings: list[Finding]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(no_wrap=True)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for finding in findings:
        broken = "[red]BROKEN[/]" if finding.essential else "[yellow]-[/]"
        mark = "[green]ok[/]" if finding.ok else broken
        table.add_row(mark, finding.name, escape(finding.detail))
    Console().print(table)


def _python() -> str:
    return f"{platform.python_version()} on {platform.platform(terse=True)}, {platform.machine()}"


def _torch() -> str:
    import torch

    return f"{torch.__version__}, {torch.get_num_threads()} threads"


def _native() -> str:
    import deeplight

    built = deeplight._native.__version__
    if built != deeplight.__version__:
        raise RuntimeError(f"native code is {built}, the package is {deeplight.__version__}")
    return f"deeplight {built}"


def _simd() -> str:
    import torch

    from deeplight import _native

    own = getattr(_native, "simd_level", None)
    level = torch.backends.cpu.get_cpu_capability()
    return f"torch uses {level}" + (f", own kernels use {own()}" if own else "")


def _cuda() -> str:
    import torch

    if not torch.cuda.is_available():
        cuda = torch.version.cuda
        built = f"torch is built with CUDA {cuda}" if cuda else "torch is built without CUDA"
        raise RuntimeError(f"no device ({built}); everything runs on the CPU")
    names = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return f"CUDA {torch.version.cuda}: {', '.join(names)}"


def _rasters() -> str:
    from deeplight import _native

    if not _native.has_raster:
        raise RuntimeError("built without GDAL: tensors only")
    version = getattr(_native, "gdal_version", None)
    return f"GDAL {version()}" if version else "GDAL"


def _network() -> str:
    import torch

    import deeplight

    names = deeplight.list_models()
    net = deeplight.create_model("deeplight_sr", scale=2, width=16, guides={"guide": 1}).eval()
    with torch.no_grad():
        image = net(torch.rand(1, 1, 8, 8), {"guide": torch.rand(1, 1, 16, 16)}).image
    if tuple(image.shape) != (1, 1, 16, 16) or not bool(image.isfinite().all()):
        raise RuntimeError(f"the network gave {tuple(image.shape)}, or values that are not finite")
    return f"{len(names)} architectures; a small one computes"


def _weights() -> str:
    from deeplight import _native
    from deeplight.weights import list_weights, load_card, load_state, resolve_weights

    names = list_weights()
    for name in names:
        path = resolve_weights(name)
        load_state(path)
        if load_card(name)["weights_sha256"] != _native.safetensors_sha256(str(path)):
            raise RuntimeError(f"'{name}' is not the file that its card describes")
    return ", ".join(names) if names else "none shipped with this build"


def _write() -> str:
    import numpy as np

    from deeplight import _native

    with tempfile.TemporaryDirectory() as folder:
        if not _native.has_raster:
            (Path(folder) / "x").write_bytes(b"x")
            return f"files in {Path(folder).parent}"
        path = os.fspath(Path(folder) / "x.tif")
        grid = _native.Grid(4, 5, [10.0, 0.5, 0.0, 50.0, 0.0, -0.5])
        values = np.arange(20, dtype=np.float32).reshape(4, 5)
        _native.write_raster(path, values, grid)
        again, valid = _native.Raster(path).read()
        if not (np.array_equal(again[0], values) and valid.all()):
            raise RuntimeError("a raster came back changed")
        return f"a raster in {Path(folder).parent}, read back the same"


CHECKS: list[tuple[str, bool, Callable[[], str]]] = [
    ("python", True, _python),
    ("torch", True, _torch),
    ("native", True, _native),
    ("network", True, _network),
    ("SIMD", False, _simd),
    ("CUDA", False, _cuda),
    ("rasters", False, _rasters),
    ("weights", True, _weights),
    ("writing", True, _write),
]

"""Runs the command line on each kind of bad input: (input, one-line error, exit code).

Works in a folder of its own with untrained weights and rasters of a few pixels, so that the
messages name short files and do not depend on the machine.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

GUIDES = [{"name": "dmo", "bands": 2}, {"name": "dem", "bands": 1}]
SCALE = 4
_GOOD = "predict ntl.tif --guide dmo=dmo.tif --guide dem=dem.tif --weights model.safetensors"

#: What a reader would call the input, and the command. `-o sr.tif` is added where none is named.
CASES = [
    ("no such raster", _GOOD.replace("ntl.tif", "none.tif")),
    ("not a raster", _GOOD.replace("ntl.tif", "text.tif")),
    ("several bands where one is needed", _GOOD.replace("ntl.tif", "dmo_low.tif")),
    ("no valid pixel", _GOOD.replace("ntl.tif", "empty.tif")),
    ("guide on another grid", _GOOD.replace("=dem.tif", "=dem_small.tif")),
    ("guide in another coordinate system", _GOOD.replace("=dem.tif", "=dem_utm.tif")),
    ("guide with another number of bands", _GOOD.replace("=dmo.tif", "=dem.tif")),
    ("guide not named", _GOOD.replace("dem=dem.tif", "dem.tif")),
    ("guide missing", _GOOD.replace(" --guide dem=dem.tif", "")),
    ("guide unknown", _GOOD.replace("dem=dem.tif", "dme=dem.tif")),
    ("no such weights", _GOOD.replace("model.safetensors", "black-marbel-x8")),
    ("a pickled checkpoint", _GOOD.replace("model.safetensors", "model.pth")),
    ("weights without a card", _GOOD.replace("model.safetensors", "bare.safetensors")),
    ("weights of another architecture", _GOOD.replace("model.safetensors", "other.safetensors")),
    ("scale not supported", _GOOD.replace("model.safetensors", "scale3.safetensors")),
    ("truncated weights", _GOOD.replace("model.safetensors", "cut.safetensors")),
    ("a header length of 2^63", _GOOD.replace("model.safetensors", "huge.safetensors")),
    ("a negative offset", _GOOD.replace("model.safetensors", "negative.safetensors")),
    ("overlapping tensors", _GOOD.replace("model.safetensors", "overlap.safetensors")),
    ("a deeply nested header", _GOOD.replace("model.safetensors", "deep.safetensors")),
    ("the output's folder is missing", f"{_GOOD} -o none/sr.tif"),
    ("the output exists", f"{_GOOD} -o old.tif"),
    ("an unknown option", f"{_GOOD} --tiles 64"),
    ("training: no such configuration", "train none.toml"),
    ("training: an unknown key", "train key.toml"),
]


def outcomes() -> Iterator[tuple[str, str, int]]:
    """Input, error line and exit code of every case, and afterwards the check that none wrote."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            prepare()
            kept = names()
            for case, command in CASES:
                arguments = command.split()
                if arguments[0] == "predict" and "-o" not in arguments:
                    arguments += ["-o", "sr.tif"]
                code, error = run(arguments)
                if names() != kept:
                    raise RuntimeError(f"'{command}' left files behind: {names()}")
                yield case, error, code
        finally:
            os.chdir(before)


def names() -> list[str]:
    """What lies in the working folder."""
    return sorted(path.name for path in Path.cwd().iterdir())


def run(arguments: list[str]) -> tuple[int, str]:
    """Exit code and the error's one line, without its `deeplight: error: `."""
    import warnings

    from deeplight import cli

    errors, shown = io.StringIO(), warnings.showwarning
    try:
        with contextlib.redirect_stderr(errors), contextlib.redirect_stdout(io.StringIO()):
            cli.main(arguments)
    except SystemExit as stop:
        lines = [x for x in errors.getvalue().splitlines() if x.startswith("deeplight: error: ")]
        text = lines[-1].removeprefix("deeplight: error: ") if lines else ""
        return int(stop.code or 0), text
    finally:
        warnings.showwarning = shown
    raise AssertionError("main returns by SystemExit")


def prepare() -> None:
    """Good and bad files in the working folder."""
    import rasterio

    from deeplight import _native

    def write(
        name: str, shape: tuple[int, ...], cell: float, epsg: int = 4326, value: float = 1
    ) -> None:
        wkt = rasterio.crs.CRS.from_epsg(epsg).to_wkt()
        grid = _native.Grid(*shape[-2:], [10.0, cell, 0.0, 50.0, 0.0, -cell], wkt)
        _native.write_raster(name, np.full(shape, value, np.float32), grid)

    write("ntl.tif", (8, 8), 0.4)
    write("dmo_low.tif", (2, 8, 8), 0.4)
    write("dmo.tif", (2, 32, 32), 0.1)
    write("dem.tif", (32, 32), 0.1)
    write("dem_small.tif", (31, 32), 0.1)
    write("dem_utm.tif", (32, 32), 0.1, epsg=32632)
    write("empty.tif", (8, 8), 0.4, value=np.nan)
    Path("text.tif").write_text("no raster\n")
    Path("old.tif").write_text("kept\n")
    Path("model.pth").write_bytes(b"\x80\x04")
    Path("key.toml").write_text('[data]\ntarget = "hr.tif"\ntargt = 1\n')
    _weights()


def _weights() -> None:
    import deeplight
    from deeplight import weights

    def card(name: str, **changes: object) -> dict[str, object]:
        options = {"scale": SCALE, "width": 8, "guides": GUIDES}
        return {
            "name": name,
            "architecture": "deeplight_sr",
            "options": {**options, **changes},
            "scale": changes.get("scale", SCALE),
            "preprocessing": {"guides": GUIDES},
        }

    good = card("model")
    net = deeplight.create_model("deeplight_sr", **good["options"])  # type: ignore[arg-type]
    path = weights.save(net, good, "model.safetensors")
    data = path.read_bytes()
    Path("bare.safetensors").write_bytes(data)
    weights.save(net, card("other", fuse={"blocks": 1}), "other.safetensors")
    weights.save(net, card("scale3", scale=3), "scale3.safetensors")

    def hostile(name: str, content: bytes) -> None:
        Path(f"{name}.safetensors").write_bytes(content)
        Path(f"{name}.json").write_text(json.dumps({**good, "name": name}))

    def with_header(header: str, size: int) -> bytes:
        return struct.pack("<Q", len(header)) + header.encode() + bytes(size)

    def tensor(begin: int, end: int) -> str:
        return f'{{"dtype":"F32","shape":[2],"data_offsets":[{begin},{end}]}}'

    hostile("cut", data[: len(data) // 2])
    hostile("huge", struct.pack("<Q", 1 << 63) + b"{}")
    hostile("negative", with_header(f'{{"a":{tensor(-8, 8)}}}', 8))
    hostile("overlap", with_header(f'{{"a":{tensor(0, 8)},"b":{tensor(4, 12)}}}', 12))
    hostile("deep", with_header('{"a":' * 1000 + "1" + "}" * 1000, 0))

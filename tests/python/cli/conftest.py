"""Rasters to evaluate, and the command that does it."""

import json

import numpy as np
import pytest

from deeplight import cli


@pytest.fixture
def folder(tmp_path, monkeypatch):
    rasterio = pytest.importorskip("rasterio")
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    truth = (rng.gamma(0.7, 60, (64, 96)) * (rng.random((64, 96)) < 0.3)).clip(0, 255)
    truth = truth.astype("uint8")
    low = truth.reshape(8, 8, 12, 8).mean((1, 3)).astype("float32")

    def write(name, array, cell, **profile):
        bands = array if array.ndim == 3 else array[None]
        with rasterio.open(
            name,
            "w",
            driver="GTiff",
            height=bands.shape[1],
            width=bands.shape[2],
            count=bands.shape[0],
            dtype=bands.dtype,
            crs="EPSG:4326",
            transform=rasterio.Affine(cell, 0, 10, 0, -cell, 50),
            **profile,
        ) as out:
            out.write(bands)

    write("hr.tif", truth, 0.1)
    write("lr.tif", low, 0.8)
    write("sr.tif", truth.astype("float32") + 3, 0.1)
    holes = truth.astype("float32")
    holes[5] = -1
    write("holes.tif", holes, 0.1, nodata=-1)
    write("radiance.tif", truth.astype("float32"), 0.1)
    write("moved.tif", truth, 0.11)
    write("small.tif", truth[:, :-1], 0.1)
    labels = np.zeros((64, 96), dtype="int32")
    labels[:32, :48], labels[32:, 48:] = 1, 2
    write("zones.tif", labels, 0.1)
    west, east = ([10, 14.8], [50, 46.8]), ([14.8, 19.6], [46.8, 43.6])
    polygons = [
        {
            "type": "Feature",
            "properties": {},
            "geometry": {
                "type": "Polygon",
                "coordinates": [
                    [[x[i], y[j]] for i, j in ((0, 0), (1, 0), (1, 1), (0, 1), (0, 0))]
                ],
            },
        }
        for x, y in (west, east)
    ]
    zones = {"type": "FeatureCollection", "features": polygons}
    (tmp_path / "zones.geojson").write_text(json.dumps(zones))
    write("dmo.tif", rng.integers(0, 255, (2, 64, 96)).astype("uint8"), 0.1)
    (tmp_path / "text.tif").write_text("no raster")
    return tmp_path


@pytest.fixture
def evaluate(capsys):
    """`deeplight evaluate` with these arguments: exit code, standard output and standard error."""

    def run(*arguments):
        with pytest.raises(SystemExit) as stop:
            cli.main(["evaluate", *arguments])
        captured = capsys.readouterr()
        return stop.value.code, captured.out, captured.err

    return run

"""Cuts the Landsat scenes that the tests use.

    python scripts/make_landsat_crops.py ../shared/data

Windows are given by hand, never chosen by a score. Pixels stay as they are. Written to
tests/data/landsat5 and tests/data/landsat8, at most 200 kB each, with a notice.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import rasterio
from rasterio.windows import Window

LIMIT = 200_000  # bytes of a folder
TARGET = Path(__file__).parents[1] / "tests/data"
ROWS, COLUMNS, SIDE = 64, 32, 192  # of the Landsat 5 window: 12 x 12 cells of 480 m
NOTICES = {
    "landsat5": f"""\
Landsat 5 TM, 14 August 1988, path 224, row 63 (Para, Brazil), digital numbers: pixel rows {ROWS} to
{ROWS + SIDE - 1} and columns {COLUMNS} to {COLUMNS + SIDE - 1} of a scene of 310 x 287. Band 6 was
observed at 120 m and resampled to 30 m by its producer. srtm_lsat: elevation on the same grid, m.

Landsat: U.S. Geological Survey; SRTM: NASA. Public domain.
Cut by scripts/make_landsat_crops.py.
""",
    "landsat8": """\
Landsat 8 OLI/TIRS, 7 July 2013, path 195, row 25 (Marburg, Germany), Collection 1 level 1, digital
numbers: bands 2 to 5, 10 and 11 and the quality band BQA, 41 x 41 pixels.

Landsat: U.S. Geological Survey. Public domain.
Cut by scripts/make_landsat_crops.py.
""",
}


def cut(source: Path, folder: Path, window: Window | None) -> None:
    """One window of a raster, or the whole of it, as a compressed GeoTIFF of the same type."""
    with rasterio.open(source) as raster:
        window = window or Window(0, 0, raster.width, raster.height)
        values = raster.read(1, window=window)
        profile = {
            "driver": "GTiff",
            "dtype": values.dtype,
            "count": 1,
            "width": window.width,
            "height": window.height,
            "crs": raster.crs,
            "transform": raster.window_transform(window),
            "nodata": raster.nodata,
            "compress": "deflate",
            "zlevel": 9,
            "predictor": 2,
        }
    with rasterio.open(folder / source.name, "w", **profile) as out:
        out.write(values, 1)


def main() -> None:
    """Cuts both scenes and writes their notices."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="folder of landsat5_thermal and landsat8_marburg")
    source = parser.parse_args().source
    window = Window(COLUMNS, ROWS, SIDE, SIDE)
    five = [*sorted((source / "landsat5_thermal").glob("LT5*_B[1-7].TIF"))]
    five.append(source / "landsat5_thermal/srtm_lsat.tif")
    eight = [
        path
        for ending in ("B2", "B3", "B4", "B5", "B10", "B11", "BQA")
        for path in (source / "landsat8_marburg").glob(f"*_{ending}.TIF")
    ]
    for name, files, part in (("landsat5", five, window), ("landsat8", eight, None)):
        folder = TARGET / name
        folder.mkdir(parents=True, exist_ok=True)
        for path in files:
            cut(path, folder, part)
        (folder / "NOTICE.txt").write_text(NOTICES[name])
        total = sum(file.stat().st_size for file in folder.iterdir())
        if total > LIMIT:
            raise SystemExit(f"{total} bytes in {folder}, allowed are {LIMIT}")
        print(f"{total / 1000:.0f} kB in {folder}")


if __name__ == "__main__":
    main()

"""Cuts the rasters over Burundi that the tests use: radiance, and population on another grid.

    python scripts/make_burundi_crop.py ../shared/data/viirs_radiance_burundi

The window lies in the training part of configs/burundi_radiance_x8.toml, around Bujumbura; it is
given by hand, never chosen by a score. Population is cut with a margin in its own coordinate system
(Mollweide), so that the tests warp it. Written to tests/data/burundi, at most 200 kB.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
from rasterio.warp import transform_bounds
from rasterio.windows import Window, from_bounds

SCALE = 8
CELLS = (20, 12)  # rows, columns, low resolution
PLACE = (24, 7)  # first row and column
MARGIN = 8  # pixels of population around the window: the warp interpolates
LIMIT = 200_000  # bytes
TARGET = Path(__file__).parents[1] / "tests/data/burundi"
NOTICE = """\
Two rasters cut for tests.

  ntl_radiance     VIIRS night lights over Burundi, nW cm-2 sr-1, 15 arc seconds, EPSG:4326,
                   nodata 0 (outside the country, or unobserved): pixel rows {top} to {bottom} and
                   columns {left} to {right} of a 520 x 445 raster, from float64 to float32.
                   Earth Observation Group / NOAA, public domain.
  population_250m  GHS-POP, persons per 250 m cell, Mollweide, float32: the same ground and {margin}
                   pixels around it, rows {p_top} to {p_bottom} and columns {p_left} to {p_right} of
                   a 1068 x 740 raster, rounded to 0.1 person.
                   European Commission, Joint Research Centre, CC BY 4.0
                   (https://creativecommons.org/licenses/by/4.0/).

Cut by scripts/make_burundi_crop.py.
"""


def cut(source: Path, target: Path, window: Window, step: float = 0.0) -> None:
    """One window as compressed float32, rounded to multiples of ``step`` where it is not 0."""
    with rasterio.open(source) as raster:
        values = raster.read(1, window=window)
        if step:
            known = values != raster.nodata
            values[known] = np.round(values[known] / step) * step
        profile = {
            "driver": "GTiff",
            "dtype": "float32",
            "count": 1,
            "width": window.width,
            "height": window.height,
            "crs": raster.crs,
            "transform": raster.window_transform(window),
            "nodata": raster.nodata,
            "compress": "deflate",
            "zlevel": 9,
            "predictor": 3,
        }
    with rasterio.open(target, "w", **profile) as out:
        out.write(values.astype(np.float32), 1)


def main() -> None:
    """Cuts both files and writes the notice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="folder viirs_radiance_burundi")
    source = parser.parse_args().source
    TARGET.mkdir(parents=True, exist_ok=True)
    row, column, height, width = (v * SCALE for v in (*PLACE, *CELLS))
    window = Window(column, row, width, height)
    cut(source / "ntl_radiance.tif", TARGET / "ntl_radiance.tif", window)
    with (
        rasterio.open(source / "ntl_radiance.tif") as lights,
        rasterio.open(source / "population_250m.tif") as people,
    ):
        bounds = transform_bounds(lights.crs, people.crs, *lights.window_bounds(window))
        exact = from_bounds(*bounds, transform=people.transform)
        top, left = (int(v) - MARGIN for v in (exact.row_off, exact.col_off))
        bottom = int(exact.row_off + exact.height) + MARGIN
        right = int(exact.col_off + exact.width) + MARGIN
        top, left = max(top, 0), max(left, 0)
        bottom, right = min(bottom, people.height - 1), min(right, people.width - 1)
    around = Window(left, top, right - left + 1, bottom - top + 1)
    cut(source / "population_250m.tif", TARGET / "population_250m.tif", around, step=0.1)
    (TARGET / "NOTICE.txt").write_text(
        NOTICE.format(
            top=row, bottom=row + height - 1, left=column, right=column + width - 1, margin=MARGIN,
            p_top=top, p_bottom=bottom, p_left=left, p_right=right,
        )
    )  # fmt: skip
    total = sum(file.stat().st_size for file in TARGET.iterdir())
    if total > LIMIT:
        raise SystemExit(f"{total} bytes in {TARGET}, allowed are {LIMIT}")
    print(f"{total / 1000:.0f} kB in {TARGET}")


if __name__ == "__main__":
    main()

"""Cuts the sample rasters that the demo and the tests use from the block that no training reads.

    python scripts/make_sample_data.py ../shared/data/black_marble_2012

The window is chosen by its share of lit pixels among all windows of 24 x 24 low-resolution cells in
the test block (rows 64 to 127, columns 80 to 103), never by a score. Written to
python/deeplight/sample_data/black_marble.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
from rasterio.windows import Window

SCALE = 8
CELLS = 24
TEST_ROWS = (64, 127)
TEST_COLUMNS = (80, 103)
FILES = ("ntl_lr_x8", "ntl_hr", "dmo", "dem", "settlement_proxy")
TARGET = Path(__file__).parents[1] / "python/deeplight/sample_data/black_marble"
NOTICE = """\
Sample rasters of deeplight: {cells} x {cells} low-resolution cells, rows {row} to {last_row} and
columns {column} to {last_column} of a 128 x 175 grid over 180 W to 66 E, EPSG:4326.

  ntl_hr            VIIRS DNB night lights 2012 (NASA Black Marble 2012), 8-bit display units,
                    not radiance
  ntl_lr_x8         its 8 x 8 block means (a simulated low resolution)
  dmo               NASA Blue Marble Next Generation 2004, months 01, 03, 05, 07, 08, red, green and
                    blue each, 8-bit display reflectance
  dem               topography as an 8-bit code, not metres; sea = 0
  settlement_proxy  1 where DMSP-OLS city lights exceed 64 of 255: a stand-in for an
                    impervious-surface product, not one

Credit: NASA Earth Observatory and NOAA. Public domain in the United States.
"""


def most_lit_window(lights: np.ndarray) -> tuple[int, int]:
    """(row, column), low-resolution cells, of the test block's window with most lit pixels."""
    lit = (lights > 0).reshape(lights.shape[0] // SCALE, SCALE, -1, SCALE).sum((1, 3))
    table = np.pad(lit.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    below, above = table[CELLS:], table[:-CELLS]
    boxes = below[:, CELLS:] - above[:, CELLS:] - below[:, :-CELLS] + above[:, :-CELLS]
    top, left = TEST_ROWS[0], TEST_COLUMNS[0]
    inside = boxes[top : TEST_ROWS[1] - CELLS + 2, left : TEST_COLUMNS[1] - CELLS + 2]
    row, column = np.unravel_index(int(inside.argmax()), inside.shape)
    return int(row) + top, int(column) + left


def cut(source: Path, target: Path, row: int, column: int, factor: int) -> None:
    """One window, with georeference, names and tags, as a compressed GeoTIFF."""
    window = Window(column * factor, row * factor, CELLS * factor, CELLS * factor)
    with rasterio.open(source) as raster:
        profile = {
            "driver": "GTiff",
            "dtype": raster.dtypes[0],
            "count": raster.count,
            "width": window.width,
            "height": window.height,
            "crs": raster.crs,
            "transform": raster.window_transform(window),
            "compress": "deflate",
            "zlevel": 9,
            "predictor": 3 if raster.dtypes[0] == "float32" else 2,
            "interleave": "band",
        }
        with rasterio.open(target, "w", **profile) as out:
            out.write(raster.read(window=window))
            out.descriptions = raster.descriptions
            out.update_tags(**{k: v for k, v in raster.tags().items() if k != "AREA_OR_POINT"})


def main() -> None:
    """Cuts every file and writes the notice."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="folder black_marble_2012")
    source = parser.parse_args().source
    with rasterio.open(source / "ntl_hr.tif") as raster:
        row, column = most_lit_window(raster.read(1))
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        factor = 1 if name == "ntl_lr_x8" else SCALE
        cut(source / f"{name}.tif", TARGET / f"{name}.tif", row, column, factor)
    text = NOTICE.format(
        cells=CELLS,
        row=row,
        last_row=row + CELLS - 1,
        column=column,
        last_column=column + CELLS - 1,
    )
    (TARGET / "NOTICE.txt").write_text(text)
    total = sum(file.stat().st_size for file in TARGET.iterdir())
    print(f"rows {row}.., columns {column}..: {total / 1e6:.2f} MB in {TARGET}")


if __name__ == "__main__":
    main()

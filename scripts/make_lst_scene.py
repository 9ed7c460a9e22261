"""Makes the rasters of the downscaling example from a Landsat 5 scene and its elevation.

    python scripts/make_lst_scene.py ../shared/data/landsat5_thermal build/landsat5_lst

Band 6 was observed at 120 m; its 30 m raster is interpolated. So everything is averaged to 120 m:
lst.tif      brightness temperature, K: the truth of configs/landsat5_lst_x4.toml
guides.tif   reflectance of six bands, NDMVI, NDVI, NDWI of the averages, elevation in m

The scene has no metadata file: reflectance stays multiplied by the sine of the sun's elevation,
which no index and no normalisation notices.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from deeplight import _native
from deeplight.landsat import LandsatScene, block_mean, write_layers

COARSEN = 4  # 30 m pixels of a 120 m cell
BANDS = ("blue", "green", "red", "nir", "swir1", "swir2", "ndmvi", "ndvi", "ndwi")


def make_scene(source: Path, target: Path) -> None:
    """Writes lst.tif and guides.tif into ``target``."""
    target.mkdir(parents=True, exist_ok=True)
    scene = LandsatScene.open(source, sun_elevation=90.0)
    write_layers(scene, ["temperature"], target / "lst.tif", coarsen=COARSEN, overwrite=True)
    elevation, valid = _native.Raster(str(source / "srtm_lsat.tif")).read()
    metres = block_mean(np.where(valid[0], elevation[0].astype(np.float64), np.nan), COARSEN)
    guides = np.concatenate([scene.layers(BANDS, COARSEN), metres[None]])
    _native.write_raster(
        target / "guides.tif",
        guides.astype(np.float32),
        scene.coarse_grid(COARSEN),
        valid=np.isfinite(guides),
        band_names=[*BANDS, "dem"],
        overwrite=True,
    )


def main() -> None:
    """Makes the rasters and says where they lie."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="folder landsat5_thermal, or tests/data/landsat5")
    parser.add_argument("target", type=Path)
    arguments = parser.parse_args()
    make_scene(arguments.source, arguments.target)
    print(arguments.target)


if __name__ == "__main__":
    main()

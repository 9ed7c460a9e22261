"""Rasters through the native module, with rasterio and its own GDAL as the oracle."""

import subprocess
import sys
import threading

import numpy as np
import pytest
import rasterio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rasterio.transform import from_origin

from deeplight import _native as native


def make(path, values, *, crs="EPSG:32622", transform=None, nodata=None, **profile):
    values = np.asarray(values)
    values = values[None] if values.ndim == 2 else values
    bands, rows, columns = values.shape
    transform = transform or from_origin(500000, 9000000, 1000, 1000)
    with rasterio.open(
        path,
        "w",
        driver="GTiff",
        count=bands,
        height=rows,
        width=columns,
        dtype=values.dtype,
        crs=crs,
        transform=transform,
        nodata=nodata,
        **profile,
    ) as target:
        target.write(values)
    return path


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "int32", "float32", "float64"])
@pytest.mark.parametrize("size", [(1, 1), (7, 13), (97, 101)])
def test_reads_what_rasterio_wrote(tmp_path, dtype, size):
    values = (np.random.default_rng(1).random((3, *size)) * 200).astype(dtype)
    path = make(tmp_path / "a.tif", values, nodata=0)
    raster = native.Raster(path)
    got, valid = raster.read()
    assert got.dtype == np.float32 and valid.dtype == bool and got.shape == valid.shape
    np.testing.assert_array_equal(valid, values != 0)
    np.testing.assert_array_equal(got, np.where(valid, values.astype(np.float32), 0))
    info = raster.info
    assert info.bands[0].dtype == dtype
    assert info.grid.crs == "EPSG:32622"
    assert info.grid.geotransform == [500000, 1000, 0, 9000000, 0, -1000]
    assert (info.grid.rows, info.grid.columns) == size


def test_window_and_bands(tmp_path):
    values = np.arange(4 * 11 * 17, dtype=np.float32).reshape(4, 11, 17)
    raster = native.Raster(make(tmp_path / "a.tif", values))
    got, valid = raster.read(window=(3, 5, 4, 6), bands=[3, 1])
    np.testing.assert_array_equal(got, values[[3, 1], 3:7, 5:11])
    assert valid.all()


def test_validity_agrees_with_rasterio_masks(tmp_path):
    values = np.random.default_rng(2).random((2, 9, 8)).astype(np.float32)
    path = make(tmp_path / "a.tif", values)
    mask = np.random.default_rng(3).random((9, 8)) > 0.4
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as target:
        target.write_mask(mask)
    with rasterio.open(path) as source:
        expected = source.read_masks() > 0
    np.testing.assert_array_equal(native.Raster(path).read()[1], expected)
    np.testing.assert_array_equal(expected[0], mask)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    rows=st.integers(1, 70),
    columns=st.integers(1, 70),
    bands=st.integers(1, 3),
    compression=st.sampled_from(["none", "deflate", "lzw", "zstd"]),
    seed=st.integers(0, 2**31),
)
def test_rasterio_reads_what_we_wrote(tmp_path, rows, columns, bands, compression, seed):
    random = np.random.default_rng(seed)
    values = random.normal(size=(bands, rows, columns)).astype(np.float32)
    valid = random.random(values.shape) > 0.2
    like = native.raster_info(make(tmp_path / "like.tif", np.zeros((2, 2), np.uint8)))
    grid = native.Grid(rows, columns, like.grid.geotransform, like.grid.crs_wkt)
    path = tmp_path / "out.tif"
    native.write_raster(
        path,
        values,
        grid,
        valid=valid,
        compression=compression,
        nodata=-9.0,
        band_names=[f"band {index}" for index in range(bands)],
        units="nW cm-2 sr-1",
        metadata={"model": "none"},
        overwrite=True,
    )
    with rasterio.open(path) as source:
        assert source.crs.to_epsg() == 32622
        assert source.transform == from_origin(500000, 9000000, 1000, 1000)
        assert source.nodata == -9.0
        assert source.descriptions == tuple(f"band {index}" for index in range(bands))
        assert source.units == ("nW cm-2 sr-1",) * bands
        assert source.tags()["model"] == "none"
        assert source.profile["tiled"] and source.dtypes == ("float32",) * bands
        np.testing.assert_array_equal(source.read(), np.where(valid, values, np.float32(-9)))
    assert sorted(file.name for file in tmp_path.iterdir()) == ["like.tif", "out.tif"]


def test_errors_are_pythons_own_and_name_the_file(tmp_path):
    with pytest.raises(OSError, match=r"absent\.tif' does not exist"):
        native.Raster(tmp_path / "absent.tif")
    (tmp_path / "text.tif").write_text("no raster")
    with pytest.raises(ValueError, match=r"text\.tif' is not a raster"):
        native.raster_info(tmp_path / "text.tif")
    grid = native.Grid(2, 2)
    with pytest.raises(OSError, match="does not exist"):
        native.write_raster(tmp_path / "no" / "out.tif", np.zeros((2, 2)), grid)
    native.write_raster(tmp_path / "out.tif", np.zeros((2, 2)), grid)
    with pytest.raises(OSError, match="exists already"):
        native.write_raster(tmp_path / "out.tif", np.zeros((2, 2)), grid)
    with pytest.raises(ValueError, match="not one of"):
        native.write_raster(tmp_path / "b.tif", np.zeros((2, 2)), grid, compression="zip")
    low = native.raster_info(make(tmp_path / "ntl.tif", np.zeros((4, 4))))
    guide = native.raster_info(make(tmp_path / "dem.tif", np.zeros((31, 32))))
    with pytest.raises(ValueError, match=r"32x31 \(columns x rows\), expected 32x32 = 8 x low"):
        native.check_guide(low, guide, "dem", 8)


def test_gdal_never_prints(tmp_path, capfd):
    path = make(tmp_path / "a.tif", np.random.default_rng(0).random((90, 90)), compress="deflate")
    data = path.read_bytes()
    for size in range(0, len(data), len(data) // 30):
        path.write_bytes(data[:size])
        with pytest.raises(ValueError, match=r"a\.tif"):
            native.Raster(path).read()
    captured = capfd.readouterr()
    assert captured.out == "" and captured.err == ""


def test_flipped_bits_never_crash(tmp_path):
    path = make(tmp_path / "a.tif", np.random.default_rng(0).random((40, 40)), compress="deflate")
    data = path.read_bytes()
    random = np.random.default_rng(4)
    outcomes = {"read": 0, "refused": 0}
    for _ in range(300):
        damaged = bytearray(data)
        for _ in range(random.integers(1, 4)):
            damaged[random.integers(len(data))] ^= 1 << random.integers(8)
        path.write_bytes(damaged)
        try:
            values, _ = native.Raster(path).read()
            assert np.isfinite(values).all()
            outcomes["read"] += 1
        except (ValueError, OSError) as error:
            assert "a.tif" in str(error)
            outcomes["refused"] += 1
    assert outcomes["refused"] > 50 and sum(outcomes.values()) == 300


def test_alignment_agrees_with_rasterio(tmp_path):
    from rasterio.warp import Resampling, reproject

    random = np.random.default_rng(5)
    source = random.random((60, 60)).astype(np.float32)
    transform = from_origin(-51.05, 45.2, 0.004, 0.004)
    guide = make(tmp_path / "dem.tif", source, crs="EPSG:4326", transform=transform)
    low_path = make(
        tmp_path / "ntl.tif",
        np.zeros((6, 6), np.float32),
        transform=from_origin(500000, 5000000, 2000, 2000),
    )
    low = native.raster_info(low_path)
    values, valid = native.align_guide(guide, low.grid, 8, "bilinear").read()
    expected = np.full((48, 48), np.nan, np.float32)
    reproject(
        source,
        expected,
        src_transform=transform,
        src_crs="EPSG:4326",
        dst_transform=from_origin(500000, 5000000, 250, 250),
        dst_crs="EPSG:32622",
        src_nodata=np.nan,
        dst_nodata=np.nan,
        resampling=Resampling.bilinear,
    )
    both = valid[0] & np.isfinite(expected)
    assert both.sum() > 1000
    # Both warp with a tolerance of an eighth of a pixel in position.
    assert np.abs(values[0] - expected)[both].max() < 0.1
    assert np.abs(values[0] - expected)[both].mean() < 1e-2


def test_descriptions_are_readable(tmp_path):
    path = make(tmp_path / "a.tif", np.zeros((3, 5), np.uint8), nodata=255)
    text = repr(native.Raster(path))
    for part in ("a.tif", "5x3 (columns x rows)", "EPSG:32622", "uint8", "nodata 255"):
        assert part in text
    assert "5x3" in repr(native.raster_info(path).grid)


def test_reading_releases_the_gil(tmp_path):
    path = make(tmp_path / "a.tif", np.zeros((1500, 1500), np.float32), compress="deflate")
    raster = native.Raster(path)
    counted, stop = [0], threading.Event()

    def count():
        while not stop.is_set():
            counted[0] += 1

    thread = threading.Thread(target=count)
    old = sys.getswitchinterval()
    sys.setswitchinterval(1.0)  # so that only a released lock lets the other thread run
    try:
        thread.start()
        before = counted[0]
        raster.read()
        after = counted[0]
    finally:
        stop.set()
        sys.setswitchinterval(old)
        thread.join()
    assert after > before


@pytest.mark.parametrize(
    "order",
    [
        "import rasterio, {0}; from deeplight import _native as n",
        "from deeplight import _native as n; import rasterio",
    ],
)
def test_two_gdals_in_one_process(tmp_path, order):
    path = make(tmp_path / "a.tif", np.arange(6, dtype=np.float32).reshape(2, 3))
    code = (
        order.format("numpy")
        + f"""
values, valid = n.Raster({str(path)!r}).read()
with rasterio.open({str(path)!r}) as source:
    assert (source.read() == values).all() and source.crs.to_epsg() == 32622
assert n.raster_info({str(path)!r}).grid.crs == "EPSG:32622"
n.write_raster({str(tmp_path / "b.tif")!r}, values, n.raster_info({str(path)!r}).grid)
with rasterio.open({str(tmp_path / "b.tif")!r}) as source:
    assert (source.read() == values).all() and source.crs.to_epsg() == 32622
print("fine")
"""
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout == "fine\n" and result.stderr == "" and result.returncode == 0


def test_bigtiff_decision():
    assert not native.needs_bigtiff(1000, 1000, 1)
    assert native.needs_bigtiff(32768, 32768, 1)


def test_tile_plan_covers_once():
    seen = np.zeros((53, 31), int)
    for (row, column, rows, columns), _ in native.tile_plan(53, 31, 16, 5, 4):
        seen[row : row + rows, column : column + columns] += 1
    assert (seen == 1).all()

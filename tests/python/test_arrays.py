"""xarray and dask arrays and rasterio datasets against the road of the files."""

import pickle

import numpy as np
import pytest
import torch

import deeplight
from test_predictor import GUIDES, SCALE, guides_of, read, save_weights, write

pytestmark = pytest.mark.skipif(not deeplight._native.has_raster, reason="built without GDAL")

xr = pytest.importorskip("xarray")
dask = pytest.importorskip("dask")
rasterio = pytest.importorskip("rasterio")

from deeplight import arrays  # noqa: E402
from deeplight.array_grid import grid_of, to_array  # noqa: E402

ROWS, COLUMNS = 61, 22


@pytest.fixture(scope="module")
def scene(tmp_path_factory):
    """Weights, two months of 61 x 22 pixels with missing ones, guides."""
    folder = tmp_path_factory.mktemp("arrays")
    random = np.random.default_rng(3)
    for name in ("ntl", "feb"):
        values = random.random((ROWS, COLUMNS)) * 100
        values[random.random(values.shape) < 0.05] = np.nan
        write(folder / f"{name}.tif", values)
    for name, bands in GUIDES.items():
        values = random.random((bands, ROWS * SCALE, COLUMNS * SCALE)) * 100
        values[0, 40:44, 3:9] = np.nan
        write(folder / f"{name}.tif", values, 1000 / SCALE)
    save_weights(folder)
    return folder


@pytest.fixture(scope="module")
def predictor(scene):
    return deeplight.load(scene / "tiny.safetensors")


def from_files(scene, predictor, out, name="ntl", **options):
    predictor.predict(scene / f"{name}.tif", guides_of(scene), out, progress=False, **options)
    return read(out)[0]


def month(scene, name="ntl"):
    """[y, x] with coordinates, attributes and a coordinate of its own."""
    array = to_array(scene / f"{name}.tif")[0].drop_vars("spatial_ref", errors="ignore")
    array = array.assign_coords(spatial_ref=to_array(scene / f"{name}.tif").spatial_ref)
    array.name = "radiance"
    array.attrs = {"units": "DN", "_FillValue": -1.0, "long_name": "night lights"}
    return array


def guide_arrays(scene, chunks=None):
    arrays_ = {name: to_array(path) for name, path in guides_of(scene).items()}
    return {name: array.chunk(chunks) if chunks else array for name, array in arrays_.items()}


def test_an_array_in_memory_gives_the_files_values(scene, predictor, tmp_path):
    expected = from_files(scene, predictor, tmp_path / "sr.tif")
    low = month(scene)
    result = deeplight.predict(low, guide_arrays(scene), predictor)
    assert result.dtype == np.float32 and result.dims == ("y", "x")
    np.testing.assert_array_equal(result.data, expected)
    bare = {name: xr.DataArray(guide.data) for name, guide in guide_arrays(scene).items()}
    np.testing.assert_array_equal(deeplight.predict(low, bare, predictor).data, expected)
    assert np.isnan(result.data).sum() == SCALE**2 * np.isnan(low.data).sum() > 0
    again = low.deeplight.predict(scene / "tiny.safetensors", guides_of(scene), tile=40)
    np.testing.assert_allclose(again.data, expected, rtol=0, atol=1e-5 * np.nanmax(abs(expected)))


def test_coordinates_and_attributes_are_kept(scene, predictor, tmp_path):
    low = month(scene).assign_coords(time=np.datetime64("2012-04-01", "ns"), row=("y", range(ROWS)))
    result = deeplight.predict(low, guide_arrays(scene), predictor)
    grid = grid_of(result)
    assert grid.geotransform == [500000, 250, 0, 9000000, 0, -250]
    assert grid.crs == "EPSG:32622"
    assert result.time.item() == low.time.item() and "row" not in result.coords
    assert result.name == "radiance"
    assert result.attrs["units"] == "DN" and result.attrs["long_name"] == "night lights"
    assert "_FillValue" not in result.attrs and result.attrs["deeplight_model"] == "tiny"
    # Block means of the coordinates are the coarse coordinates.
    np.testing.assert_allclose(result.x.data.reshape(-1, SCALE).mean(1), low.x.data)


def test_uncertainty_is_a_statistic_beside_the_prediction(scene, predictor, tmp_path):
    months = xr.concat([month(scene), month(scene, "feb")], "time", coords="minimal", join="exact")
    result = deeplight.predict(months, guide_arrays(scene), predictor, uncertainty=True)
    assert result.dims == ("statistic", "time", "y", "x")
    for index, name in enumerate(("ntl", "feb")):
        predictor.predict(
            scene / f"{name}.tif", guides_of(scene), tmp_path / f"{name}.tif", uncertainty=True
        )
        for band, statistic in enumerate(("prediction", "spread")):
            np.testing.assert_array_equal(
                result.sel(statistic=statistic)[index].data, read(tmp_path / f"{name}.tif")[band]
            )


@pytest.mark.parametrize("consistency", ["none", "additive", "multiplicative"])
def test_dask_is_lazy_and_gives_the_files_values(scene, predictor, tmp_path, consistency):
    expected = from_files(scene, predictor, tmp_path / "sr.tif", tile=16, consistency=consistency)
    result = deeplight.predict(
        month(scene).chunk(y=20),
        guide_arrays(scene, {"y": 37, "x": 50}),
        predictor,
        tile=16,
        consistency=consistency,
    )
    assert dask.is_dask_collection(result.data)
    assert result.data.chunks == ((64, 64, 64, 52), (64, 24))
    with dask.config.set(scheduler="threads"):
        values = result.compute().data
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6 * np.nanmax(abs(expected)))
    part = result[100:110, 5:9].compute(scheduler="synchronous").data
    np.testing.assert_array_equal(part, values[100:110, 5:9])


def test_a_stack_of_months_reads_its_guides_once(scene, predictor, tmp_path):
    expected = np.stack(
        [from_files(scene, predictor, tmp_path / f"{name}.tif", name) for name in ("ntl", "feb")]
    )
    months = xr.concat(
        [month(scene), month(scene, "feb")], "time", coords="minimal", compat="override"
    )
    months = months.assign_coords(time=[1, 2])
    eager = deeplight.predict(months, guide_arrays(scene), predictor)
    assert eager.dims == ("time", "y", "x") and eager.time.data.tolist() == [1, 2]
    np.testing.assert_array_equal(eager.data, expected)

    import dask.array as da

    reads = []

    def block(block_info=None):
        reads.append(1)
        return read(scene / "dem.tif")

    guides = guide_arrays(scene)
    dem = da.map_blocks(block, chunks=((1,), (ROWS * SCALE,), (COLUMNS * SCALE,)), dtype="f4")
    guides["dem"] = guides["dem"].copy(data=dem)
    reads.clear()
    lazy = deeplight.predict(months.chunk(time=1), guides, predictor)
    assert reads == []
    values = lazy.compute(scheduler="synchronous").data
    assert len(reads) == 1
    np.testing.assert_allclose(values, expected, rtol=0, atol=1e-6 * np.nanmax(abs(expected)))


def test_tasks_travel_to_other_processes(scene, predictor):
    lazy = deeplight.predict(
        month(scene).chunk(), guide_arrays(scene, {"y": 64}), predictor, tile=32
    )
    here = lazy.compute(scheduler="synchronous").data
    graph = pickle.loads(pickle.dumps(lazy.data))
    np.testing.assert_array_equal(graph.compute(scheduler="synchronous"), here)
    image = __import__("deeplight.lazy_arrays", fromlist=["_Image"])._Image(
        predictor, month(scene).data, None
    )
    other = pickle.loads(pickle.dumps(image))
    assert torch.equal(other.normalised, image.normalised)
    assert torch.equal(other.statistics.warp.matrix, image.statistics.warp.matrix)


def test_rasterio_datasets_are_rasters(scene, predictor, tmp_path):
    expected = from_files(scene, predictor, tmp_path / "sr.tif")
    with (
        rasterio.open(scene / "ntl.tif") as low,
        rasterio.open(scene / "dem.tif") as dem,
        rasterio.io.MemoryFile((scene / "dmo.tif").read_bytes()) as memory,
        memory.open() as dmo,
    ):
        result = deeplight.predict(low, {"dem": dem, "dmo": dmo}, predictor)
    assert result.dims == ("band", "y", "x")
    np.testing.assert_array_equal(result.data[0], expected)
    assert grid_of(result).crs == "EPSG:32622"


def test_wrong_use_is_an_error_before_work(scene, predictor):
    low, guides = month(scene), guide_arrays(scene)
    lazy = low.chunk()
    with pytest.raises(ValueError, match="weights are missing"):
        deeplight.predict(low, guides)
    with pytest.raises(ValueError, match="out is for files"):
        deeplight.predict(low, guides, predictor, out="x.tif")
    with pytest.raises(ValueError, match="not for lazy arrays"):
        deeplight.predict(lazy, guides, predictor, self_ensemble=True)
    with pytest.raises(ValueError, match="guide 'dem' is missing"):
        deeplight.predict(lazy, {"dmo": guides["dmo"]}, predictor)
    with pytest.raises(ValueError, match="guide 'dme' is not known"):
        deeplight.predict(lazy, {**guides, "dme": guides["dem"]}, predictor)
    with pytest.raises(ValueError, match="expected 88x244 = 4 x low"):
        deeplight.predict(lazy, {**guides, "dem": guides["dem"][:, 1:]}, predictor)
    moved = guides["dem"].assign_coords(x=guides["dem"].x + 300)
    with pytest.raises(ValueError, match="covers another ground"):
        deeplight.predict(lazy, {**guides, "dem": moved}, predictor)
    with pytest.raises(ValueError, match=r"must be \[3, y, x\]"):
        deeplight.predict(lazy, {**guides, "dmo": guides["dem"]}, predictor)
    with pytest.raises(ValueError, match="'x' is not regular"):
        deeplight.predict(low.assign_coords(x=low.x**2), guides, predictor)
    with pytest.raises(ValueError, match="an array"):
        deeplight.predict(low[0], guides, predictor)
    with pytest.raises(ValueError, match="no valid pixel"):
        deeplight.predict((lazy * np.nan), guides, predictor).compute(scheduler="synchronous")
    assert arrays.predict is deeplight.predict

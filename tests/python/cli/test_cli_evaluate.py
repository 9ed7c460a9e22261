"""`deeplight evaluate` on small rasters."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from deeplight import _native, baselines, metrics

TRANSFORM = (10.0, 0.1, 0.0, 50.0, 0.0, -0.1)


def test_json_rows_are_the_metrics(folder, evaluate):
    code, out, err = evaluate("sr.tif", "hr.tif", "--low-resolution", "lr.tif", "--json")
    assert (code, err) == (0, "")
    result = json.loads(out)
    assert [row["name"] for row in result["rows"]] == ["ours", "bicubic", "bicubic + block mean"]
    truth, prediction = (_native.Raster(f).read()[0][0] for f in ("hr.tif", "sr.tif"))
    lit = truth > 0
    ours = result["rows"][0]
    assert ours["psnr"] == pytest.approx(metrics.psnr(prediction, truth, data_range=255).item())
    expected = metrics.ssim(prediction, truth, data_range=255, where=lit).item()
    assert ours["lit_ssim"] == pytest.approx(expected)
    assert ours["lit_rmse"] == pytest.approx(3)
    assert result["data_range"] == 255
    assert result["rows"][2]["light"] == pytest.approx(1, abs=1e-6)


def test_table_csv_and_picture(folder, evaluate):
    code, out, _ = evaluate(
        "sr.tif", "hr.tif", "-l", "lr.tif", "--csv", "t.csv", "--picture", "p.png"
    )
    assert code == 0
    lines = out.splitlines()
    assert "lit PSNR" in lines[0] and lines[1].startswith("ours")
    assert lines[1].split()[1] == "38.59"
    assert "data range 255" in out
    rows = list(csv.DictReader((folder / "t.csv").open()))
    assert float(rows[0]["rmse"]) == pytest.approx(3)
    assert (folder / "p.png").read_bytes().startswith(b"\x89PNG")


def test_error_map_lies_on_the_truth_and_keeps_nodata(folder, evaluate):
    code, out, _ = evaluate("holes.tif", "hr.tif", "--error-map", "e.tif", "--json")
    assert code == 0
    truth, error = _native.Raster("hr.tif"), _native.Raster("e.tif")
    values, valid = error.read()
    assert not valid[0, 5].any() and valid.sum() == 63 * 96 and not values.any()
    assert np.isnan(error.info.bands[0].nodata)
    assert error.grid.geotransform == truth.grid.geotransform
    assert error.grid.same_crs(truth.grid)

    window = ("--window", "8,16,32,40", "--error-map", "e.tif")
    code, out, _ = evaluate("sr.tif", "hr.tif", *window, "--json")
    assert code == 0
    error = _native.Raster("e.tif")
    assert np.all(error.read()[0] == 3)
    expected = truth.grid.cropped((8, 16, 32, 40))
    assert (error.grid.rows, error.grid.columns) == (32, 40)
    assert error.grid.geotransform == pytest.approx(expected.geotransform)
    assert error.info.bands[0].name == "ours - truth"
    rmse = np.sqrt(np.mean(error.read()[0] ** 2))
    assert json.loads(out)["rows"][0]["rmse"] == pytest.approx(rmse)


def test_zones_cores_and_bins_stream_as_they_hold(folder, evaluate):
    truth = _native.Raster("hr.tif")
    options = ("--saturation", "20", "--bins", "0,10,300", "--zones")
    tables = []
    for stream, zones in (("--no-stream", "zones.tif"), ("--stream", "zones.geojson")):
        extra = ("--report", f"{stream}.html", "--picture", f"{stream}.png", "--json")
        files = ("sr.tif", "hr.tif", "-l", "lr.tif")
        code, out, _ = evaluate(*files, *options, zones, stream, *extra)
        assert code == 0
        tables.append(json.loads(out)["rows"])
        page = Path(f"{stream}.html").read_text()
        assert "city R2" in page and "truth 10 to 300" in page and "core RMSE" in page
        assert Path(f"{stream}.png").stat().st_size > 1000
    for held, streamed in zip(*tables, strict=True):
        assert list(held) == list(streamed)
        for key, value in held.items():
            exact = value is None or isinstance(value, str)
            close = value if exact else pytest.approx(value, rel=1e-12, abs=1e-12)
            assert streamed[key] == close, key
    values = truth.read()[0][0].astype(float)
    ours = tables[0][0]
    assert ours["cities"] == 2
    assert ours["bin0_pixels"] + ours["bin1_pixels"] == values.size
    error = _native.Raster("sr.tif").read()[0][0] - values
    assert ours["core_rmse"] == pytest.approx(np.sqrt(np.mean(error[values >= 20] ** 2)))
    assert ours["bin0_mae"] == pytest.approx(np.abs(error[values < 10]).mean())


def test_widths_of_sources_stream_as_they_hold(folder, evaluate):
    rasterio = pytest.importorskip("rasterio")
    rows, columns = np.mgrid[0:120, 0:90]
    pair = {"wide.tif": np.zeros((120, 90)), "points.tif": np.zeros((120, 90))}
    for row, column in ((15, 20), (52, 60), (53, 30), (100, 70)):
        square = (rows - row) ** 2 + (columns - column) ** 2
        pair["points.tif"] += 200 * np.exp(-square / (2 * 1.2**2))
        pair["wide.tif"] += 90 * np.exp(-square / (2 * 2.0**2))
    for name, values in pair.items():
        profile = {"driver": "GTiff", "height": 120, "width": 90, "count": 1, "dtype": "float32"}
        place = {"crs": "EPSG:4326", "transform": rasterio.Affine(0.1, 0, 10, 0, -0.1, 50)}
        with rasterio.open(name, "w", **profile, **place) as out:
            out.write(values.astype("float32"), 1)
    options = {"data_range": 255, "min_peak": 100, "everything": True}
    truth, predictions = "points.tif", [("ours", "wide.tif")]
    scores = [
        _native.score_rasters(truth, predictions, block_pixels=90 * height, **options)
        for height in (1, 5, 64, 120)
    ]
    code, out, _ = evaluate(
        "wide.tif", "points.tif", "--data-range", "255", "--min-peak", "100", "--json", "--all",
        "--report", "r.html",
    )  # fmt: skip
    assert code == 0
    held = json.loads(out)["rows"][0]
    p, t = (_native.Raster(name).read()[0][0].astype(float) for name in pair)
    widths = metrics.source_widths(p, t, min_peak=100)
    assert held["sources"] == held["sources_measured"] == widths.row.numel() == 4
    assert held["source_width"] == pytest.approx(widths.prediction.mean().item(), rel=1e-12)
    assert held["source_width"] > 1.4 * held["source_width_truth"]
    difference = (widths.prediction - widths.target).square().mean().sqrt()
    assert held["source_width_rmse"] == pytest.approx(difference.item(), rel=1e-12)
    assert held["lit_average_gradient"] == pytest.approx(
        metrics.average_gradient(p, where=t > 0).item(), rel=1e-12
    )
    assert "isolated sources" in Path("r.html").read_text()
    for report in scores:
        streamed = report["rasters"][0]["scores"]
        for key in (*(k for k in held if "source" in k), "laplacian_variance", "average_gradient"):
            assert streamed[key] == pytest.approx(held[key], rel=1e-11), key


def test_streaming_prints_the_same(folder, evaluate):
    same = ("holes.tif", "hr.tif", "-l", "lr.tif", "--all", "--error-map", "e.tif", "--json")
    results, errors = [], []
    for options in ((), ("--stream",)):
        code, out, err = evaluate(*same, *options)
        assert (code, err) == (0, "")
        results.append(json.loads(out))
        errors.append(_native.Raster("e.tif").read())
    for rows in zip(*(result.pop("rows") for result in results), strict=True):
        assert list(rows[0]) == list(rows[1])
        for key, value in rows[0].items():
            exact = value is None or isinstance(value, str)
            close = value if exact else pytest.approx(value, rel=1e-12, abs=1e-12)
            assert rows[1][key] == close, key
    assert results[0] == results[1]
    for a, b in zip(*errors, strict=True):
        assert np.array_equal(a, b)


def test_without_low_resolution_there_is_one_row(folder, evaluate):
    code, out, _ = evaluate("sr.tif", "hr.tif", "--json", "--picture", "p.png")
    assert code == 0
    assert [row["name"] for row in json.loads(out)["rows"]] == ["ours"]
    assert (folder / "p.png").exists()


def test_nodata_is_excluded_and_said(folder, evaluate):
    code, out, err = evaluate("holes.tif", "hr.tif", "--json")
    assert code == 0
    result = json.loads(out)
    assert result["rows"][0]["psnr"] == "inf"
    assert result["valid_share"] == pytest.approx(63 / 64)
    assert result["notes"] == ["ours has no value at 96 of the truth's pixels; no row counts them"]
    code, _, err = evaluate("holes.tif", "hr.tif")
    assert code == 0 and "warning: ours has no value at 96" in err


def test_window_and_threshold(folder, evaluate):
    code, out, _ = evaluate(
        "sr.tif", "hr.tif", "--window", "8,16,32,40", "--lit-threshold", "90", "--json"
    )
    assert code == 0
    truth = _native.Raster("hr.tif").read()[0][0][8:40, 16:56]
    assert json.loads(out)["lit_share"] == pytest.approx((truth > 90).mean())


def test_ridge_row(folder, evaluate):
    ridge = baselines.GuideRidge(8, 2, (5,), [[9.0, 9.0]], [1.0, 2.0, 0.0, 0.0], 0.1)
    ridge.save("ridge.json")
    code, out, _ = evaluate(
        "sr.tif", "hr.tif", "-l", "lr.tif", "--ridge", "ridge.json", "-g", "dmo=dmo.tif", "--json",
    )  # fmt: skip
    assert code == 0
    rows = {row["name"]: row for row in json.loads(out)["rows"]}
    truth = _native.Raster("hr.tif").read()[0][0].sum()
    import torch

    low = torch.from_numpy(_native.Raster("lr.tif").read()[0][0]).double()
    image = (1 + 2 * baselines.bicubic(low, 8, clamp=False)).clamp_min(0)
    assert rows["ridge on guides"]["light"] == pytest.approx(image.sum().item() / truth)


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["sr.tif"], 2, "name the super-resolved raster and the truth"),
        (["sr.tif", "hr.tif", "--weights", "x"], 2, "not both"),
        (["sr.tif", "hr.tif", "--truth", "hr.tif"], 2, "two truths"),
        (["--weights", "x", "--truth", "hr.tif"], 2, "needs --low-resolution"),
        (["sr.tif", "hr.tif", "--guide", "dmo"], 2, "--guide needs --weights or --ridge"),
        (["sr.tif", "radiance.tif"], 2, "--data-range is needed: the truth is"),
        (["sr.tif", "hr.tif", "--data-range", "-1"], 2, "above 0, got -1"),
        (["sr.tif", "hr.tif", "--window", "1,2,3"], 2, "ROW,COLUMN,ROWS,COLUMNS, got '1,2,3'"),
        (["sr.tif", "hr.tif", "--window", "60,0,8,8"], 1, "leaves the truth of 64x96"),
        (["sr.tif", "hr.tif", "--csv", "none/t.csv"], 2, "folder of 'none/t.csv' does not exist"),
        (["sr.tif", "hr.tif", "--stream", "-l", "lr.tif", "--ridge", "text.tif"], 2, "or --stream"),
        (["sr.tif", "hr.tif", "--bins", "0,5,x"], 2, "--bins takes numbers with commas"),
        (["sr.tif", "hr.tif", "--bins", "5,0"], 2, "two or more ascending edges"),
        (["sr.tif", "hr.tif", "--saturation", "nan"], 2, "--saturation must be finite"),
        (["sr.tif", "hr.tif", "--min-peak", "inf"], 2, "--min-peak must be finite"),
        (["sr.tif", "hr.tif", "--niqe-model", "text.tif"], 2, "text.tif: no model of NIQE"),
        (["sr.tif", "hr.tif", "--zones", "missing.tif"], 1, "missing.tif"),
        (["moved.tif", "hr.tif", "--stream"], 1, "the prediction (moved.tif) covers"),
        (["sr.tif", "radiance.tif", "--stream"], 2, "--data-range is needed: the truth is"),
        (["sr.tif", "hr.tif", "--error-map", "sr.tif"], 2, "sr.tif is an input or another output"),
        (["sr.tif", "hr.tif", "--report", "./hr.tif"], 2, "hr.tif is an input or another output"),
        (["sr.tif", "hr.tif", "--csv", "a", "--report", "a"], 2, "a is an input or another"),
        (["sr.tif", "hr.tif", "--error-map", "none/e.tif"], 2, "folder of 'none/e.tif'"),
        (["sr.tif", "hr.tif", "--picture", "p.gyf"], 2, "'.gyf' is no picture format"),
        (["missing.tif", "hr.tif"], 1, "missing.tif"),
        (["text.tif", "hr.tif"], 1, "text.tif"),
        (["moved.tif", "hr.tif"], 1, "the prediction (moved.tif) covers"),
        (["small.tif", "hr.tif"], 1, "the prediction (small.tif) is 95x64"),
        (["sr.tif", "hr.tif", "-l", "lr.tif", "--scale", "4"], 1, "4 x low resolution"),
        (["sr.tif", "hr.tif", "-l", "lr.tif", "--ridge", "text.tif"], 1, "no saved guide ridge"),
    ],
)
def test_errors_are_one_line(folder, evaluate, arguments, code, message):
    got, out, err = evaluate(*arguments)
    assert (got, out) == (code, "")
    assert message in err.replace("'", "") or message in err
    assert err.count("\n") == 1 and err.startswith("deeplight: error: ")
    assert not list(folder.glob("*.png"))


@pytest.fixture
def weights_file(folder):
    import deeplight
    from deeplight import weights

    net = deeplight.create_model("deeplight_sr", scale=8, width=8, guides={"dmo": 2})
    card = {
        "name": "tiny",
        "architecture": "deeplight_sr",
        "options": net.options,
        "scale": 8,
        "preprocessing": {
            "low_resolution": {"units": "DN", "mean": 0.0, "std": 50.0, "minimum": 0.0},
            "guides": [{"name": "dmo", "bands": 2, "mean": [128.0] * 2, "std": [70.0] * 2}],
        },
        "cell_size": [0.8, 0.8],
        "cell_size_units": "degree",
    }
    return str(weights.save(net, card, folder / "tiny.safetensors"))


def test_weights_are_predicted_and_scored(folder, weights_file, evaluate):
    import deeplight

    common = ("--low-resolution", "lr.tif", "--guide", "dmo=dmo.tif", "--truth", "hr.tif")
    code, out, _ = evaluate("--weights", weights_file, *common, "--json", "--picture", "p.png")
    assert code == 0
    rows = {row["name"]: row for row in json.loads(out)["rows"]}
    assert list(rows) == ["ours", "bicubic", "bicubic + block mean"]
    deeplight.load(weights_file).predict("lr.tif", {"dmo": "dmo.tif"}, "own.tif")
    prediction, truth = (_native.Raster(f).read()[0][0] for f in ("own.tif", "hr.tif"))
    expected = metrics.psnr(prediction, truth, data_range=255).item()
    assert rows["ours"]["psnr"] == pytest.approx(expected, rel=1e-12)
    assert (folder / "p.png").exists()

    assert abs(rows["ours"]["light"] - 1) > 1e-3
    code, out, _ = evaluate(
        "--weights", weights_file, *common, "--json", "--consistency", "multiplicative"
    )
    assert code == 0
    assert json.loads(out)["rows"][0]["light"] == pytest.approx(1, abs=1e-5)


def test_weights_errors(folder, weights_file, evaluate):
    common = ["--low-resolution", "lr.tif", "--truth", "hr.tif"]
    code, _, err = evaluate("--weights", "no-such-weights", *common)
    assert code == 2 and "no-such-weights" in err
    code, _, err = evaluate("--weights", weights_file, *common)
    assert code in (1, 2) and "dmo" in err
    code, _, err = evaluate("--weights", weights_file, *common, "-g", "dmo=lr.tif")
    assert code in (1, 2) and "lr.tif" in err
    code, _, err = evaluate("sr.tif", "hr.tif", "--self-ensemble")
    assert code == 2 and "need --weights" in err

"""One name for one score: functions in Python and C++, classes, and what each must accept."""

import inspect
import re
from pathlib import Path

import pytest

from deeplight import _native, metrics
from deeplight.metrics import classes
from deeplight.metrics.documented import documented

HEADERS = Path(__file__).resolve().parents[3] / "include" / "deeplight" / "metrics"
FUNCTIONS = [name for name in metrics.__all__ if name[0].islower()]
#: Those without a score per image.
NOT_SCORES = {
    *("lit_mask", "ssim_map", "fit_niqe", "load_niqe_model", "niqe_features", "spectral_bands"),
    *("piqe_blocks", "zone_sums", "city_regression", "source_widths", "errors_by_brightness"),
    "source_width_means",
}
#: Scores that are tables, with classes all the same.
TABLES = {"errors_by_brightness", "city_regression", "source_widths"}
#: Accumulators of another name than their class.
ACCUMULATORS = {
    "CityRegression": "ZoneAccumulator",
    "SourceWidths": "SourceWidthAccumulator",
    "SpectralError": "SpectralAccumulator",
}
MORE = (metrics.ssim_map, metrics.source_widths, metrics.errors_by_brightness, metrics.zone_sums)
SCORES = [name for name in FUNCTIONS if name not in NOT_SCORES]


def test_every_function_has_the_same_name_in_cpp():
    text = "\n".join(path.read_text() for path in HEADERS.glob("*.hpp"))
    # In C++ a fit is an object that takes images one by one.
    missing = [
        name
        for name in FUNCTIONS
        if name != "fit_niqe" and not re.search(rf"^[\w:]+ {name}\(", text, re.MULTILINE)
    ]
    assert missing == []
    assert "class NiqeFit" in text


def test_every_score_takes_a_mask_and_a_reduction():
    for name in SCORES:
        parameters = inspect.signature(getattr(metrics, name)).parameters
        assert parameters["mask"].default is None, name
        assert parameters["reduction"].default == "mean", name


def test_every_score_has_a_class():
    named = {re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower() for name in classes.__all__}
    assert named == {*SCORES, *TABLES}


def test_every_class_stands_on_an_accumulator_in_cpp():
    """In C++ a class of its own, or a policy for the template that all point-wise scores share."""
    text = "\n".join(path.read_text() for path in HEADERS.glob("*.hpp"))
    for name in classes.__all__:
        accumulator = ACCUMULATORS.get(name, f"{name}Accumulator")
        native = getattr(_native.metrics, accumulator)
        for method in ("update", "merge", "compute", "reset"):
            assert callable(getattr(native, method, None)), f"{accumulator}.{method}"
        assert hasattr(native, "state"), accumulator
        own = re.search(rf"^class {accumulator}\b", text, re.MULTILINE)
        policy = re.search(rf"^(struct|using) {name}\b[^;]*[{{=]", text, re.MULTILINE)
        assert own or policy, name


def test_every_score_says_what_it_is():
    for name in (*SCORES, *(function.__name__ for function in MORE)):
        documentation = inspect.getdoc(getattr(metrics, name))
        assert documentation and documentation.splitlines()[0].endswith("."), name
        for parameter in inspect.signature(getattr(metrics, name)).parameters.values():
            if parameter.kind is not parameter.VAR_KEYWORD:
                assert re.search(rf"\b{parameter.name}\b", documentation), (name, parameter.name)


def test_a_docstring_that_leaves_an_argument_out_is_an_error():
    def score(prediction, target, depth=1):
        """A score.

        Returns:
            One number.
        """

    with pytest.raises(TypeError, match="depth"):
        documented()(score)
    with pytest.raises(TypeError, match="width"):
        documented(depth="how deep.", width="how wide.")(score)
    text = documented(depth="how deep.")(score).__doc__
    order = [text.index(part) for part in ("A score.", "depth: how deep.", "Returns:", "Raises:")]
    assert order == sorted(order)


def test_scores_without_a_truth_say_what_they_reward():
    for name in ("piqe", "niqe", "entropy", "average_gradient", "laplacian_variance"):
        documentation = inspect.getdoc(getattr(metrics, name))
        assert re.search(r"\b(rewards?|noise)\b", documentation, re.IGNORECASE), name

"""What all scores say of their arguments, written once: a decorator completes the docstrings."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

_SHAPES = "``[..., C, H, W]``, ``[C, H, W]`` or ``[H, W]``"

#: What an argument is unless a score says otherwise.
ARGUMENTS = {
    "prediction": f"{_SHAPES}; any real type, computed in float64.",
    "target": "the same shape.",
    "image": f"{_SHAPES}; any real type, computed in float64.",
    "data_range": "peak of the images' units (255 for 8-bit); needed, never guessed.",
    "mask": "valid pixels; boolean, broadcasts to the image.",
    "where": "pixels whose windows count; boolean, broadcasts to the image.",
    "reduction": '``"mean"`` of the images\' scores, ``"none"`` or ``"pooled"`` over all pixels.',
    "threshold": "a pixel is lit when strictly brighter, on both sides; needed.",
    "zones": "integer labels of the image's shape, above 0; 0 belongs to no zone.",
    "window_size": "odd, pixels.",
    "sigma": "of the Gaussian, pixels.",
    "k1": "luminance constant.",
    "k2": "contrast constant.",
    "window": '``"gaussian"`` or ``"uniform"``.',
    "padding": '``"valid"``, windows wholly inside, or ``"reflect"``, the border mirrored.',
    "sample_covariance": "moments times ``N / (N - 1)``, ``N = window_size ** 2``.",
}
_RAISES = "shapes differ, a needed option is missing, or a mask is not boolean."


def documented(**own: str) -> Callable[[Function], Function]:
    """Adds ``Args`` and ``Raises`` to a score's docstring, before ``Returns``.

    Args:
        own: argument -> text, for those that `ARGUMENTS` does not have or says differently;
            ``raises`` for the conditions of ``ValueError``.

    Raises:
        TypeError: an argument of the function has no text, or a text no argument.
    """

    def complete(function: Function) -> Function:
        names = list(inspect.signature(function).parameters)
        unknown = set(own) - {*names, "raises"}
        missing = [name for name in names if name not in own and name not in ARGUMENTS]
        if unknown or missing:
            raise TypeError(f"{function.__name__}: {sorted(unknown) or missing} in the docstring")
        lines = ["Args:"]
        for name in names:
            lines += _wrapped(f"{name}: {own.get(name) or ARGUMENTS[name]}")
        head, returns, tail = inspect.cleandoc(function.__doc__ or "").partition("Returns:")
        raises = ["", "Raises:", *_wrapped(f"ValueError: {own.get('raises', _RAISES)}")]
        parts = [head.rstrip(), "", *lines, ""]
        parts += [returns + tail.rstrip()] if returns else []
        function.__doc__ = "\n".join([*parts, *raises]).replace("\n\n\n", "\n\n") + "\n"
        return function

    return complete


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(
        text, 92, initial_indent=" " * 4, subsequent_indent=" " * 8, break_long_words=False,
        break_on_hyphens=False,
    )  # fmt: skip

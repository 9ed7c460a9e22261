"""What other packages make of the scores of night-light practice, for metric_conventions.py.

Arrays are ``[rows, columns]``; every function gives one number.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray

#: Pixels around a source; what `metrics.source_widths` takes when nothing is said.
RADIUS, REACH = 7, 5


def sources() -> tuple[Array, Array]:
    """Nine isolated lights, and the same wider, dimmer and on a bright ground."""
    rows, columns = np.mgrid[0:66, 0:66]
    truth, prediction = np.zeros((66, 66)), np.full((66, 66), 2.0)
    for i in range(9):
        square = (rows - 11 - i // 3 * 22) ** 2 + (columns - 11 - i % 3 * 22) ** 2
        truth += (90 + 10 * i) * np.exp(-square / (2 * (1.1 + 0.05 * i) ** 2))
        prediction += 60 * np.exp(-square / (2 * (1.6 + 0.05 * i) ** 2))
    return prediction, truth


def zones(shape: tuple[int, int]) -> Array:
    """Labels 1 to 20 of a chequered plan, and 0."""
    rows, columns = np.mgrid[0 : shape[0], 0 : shape[1]]
    return (rows * 5 // shape[0] * 5 + columns * 5 // shape[1]).astype(np.int64) % 21


def scipy_width(image: Array) -> float:
    """Mean width of the nine lights, by rows and columns."""
    from scipy.signal import peak_widths

    widths = []
    for i in range(9):
        row, column = 11 + i // 3 * 22, 11 + i % 3 * 22
        around = image[row - RADIUS : row + RADIUS + 1, column - RADIUS : column + RADIUS + 1]
        ring = np.concatenate([around[0], around[-1], around[1:-1, 0], around[1:-1, -1]])
        height = np.array([image[row, column] - np.median(ring)])
        for line, place in ((image[row], column), (image[:, column], row)):
            bases = (np.array([place - REACH]), np.array([place + REACH]))
            found = peak_widths(line, [place], 0.5, (height, *bases))
            widths.append(found[0][0])
    return float(np.mean(widths))


def scipy_bin(p: Array, t: Array, edges: list[float], index: int) -> float:
    """Mean absolute error where the truth is in a bin."""
    from scipy.stats import binned_statistic

    error = np.abs(p - t).ravel()
    return float(binned_statistic(t.ravel(), error, "mean", edges).statistic[index])


def scipy_zone(image: Array, label: int) -> float:
    """Sum of lights of one zone."""
    from scipy.ndimage import sum_labels

    return float(sum_labels(image, zones(image.shape), label))


def scipy_line(p: Array, t: Array) -> tuple[float, float]:
    """Slope and R2 of the prediction's sums of lights on the truth's."""
    from scipy.ndimage import sum_labels
    from scipy.stats import linregress

    plan = zones(p.shape)
    labels = np.arange(1, plan.max() + 1)
    line = linregress(sum_labels(t, plan, labels), sum_labels(p, plan, labels))
    return float(line.slope), float(line.rvalue) ** 2


def torchmetrics_lit(name: str, p: Array, t: Array, threshold: float) -> float:
    """``binary_precision``, ``binary_recall`` or ``binary_f1_score`` of what is lit."""
    import torch
    from torchmetrics.functional import classification

    lit = (torch.from_numpy((image > threshold).astype(np.int64)) for image in (p, t))
    return getattr(classification, name)(*lit).item()


def numpy_average_gradient(image: Array) -> float:
    """Differences to the next pixel right and below."""
    right, below = np.diff(image, axis=1)[:-1], np.diff(image, axis=0)[:, :-1]
    return float(np.sqrt((right**2 + below**2) / 2).mean())

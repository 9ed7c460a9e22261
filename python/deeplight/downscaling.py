"""Temperature downscaling on held-out parts: a table of regression scores beside the baselines.

Candidates see the low resolution and the guides of a held-out region alone. Scores are in kelvin
over all valid pixels of a part together; intervals are 95 %, from a bootstrap over blocks of
low-resolution cells, since neighbouring pixels err together.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from deeplight import baselines, metrics
from deeplight.sharpening import sharpen
from deeplight.training.data import Region, TrainingData
from deeplight.training.guide_ridge import fit_ridge, guide_bands

__all__ = [
    "COLUMNS", "Candidate", "Scores", "WorstCells", "averaged", "baseline_candidates", "lines",
    "network_candidate", "prepared_alike", "score", "worst_cells",
]  # fmt: skip

#: Scores and their units, in the table's order.
COLUMNS = {"rmse": "K", "mae": "K", "bias": "K", "cc": "", "rsd": "", "r2": ""}
#: The image ``[r*h, r*w]`` of a region, NaN where there is none.
Candidate = Callable[[Region], torch.Tensor]
_SAMPLES, _SEED = 2000, 0


@dataclass(frozen=True)
class Scores:
    """One row of the table.

    Attributes:
        values: of :data:`COLUMNS`, over all pixels of the part; bias is prediction - truth.
        averaged: the same of each region (image) by itself, then averaged, as papers do; regions in
            which a score is not defined are left out.
        rmse_interval: 95 %, K.
        gain: RMSE of the row that others are held against minus this one's, K; above 0 is better.
        gain_interval: 95 %, in pairs over the same blocks.
    """

    values: dict[str, float]
    averaged: dict[str, float]
    rmse_interval: tuple[float, float]
    gain: float
    gain_interval: tuple[float, float]


def score(
    data: TrainingData,
    part: str,
    candidates: Mapping[str, Candidate],
    *,
    against: str = "bicubic",
    block: int = 3,
) -> dict[str, Scores]:
    """Scores every candidate over the pixels that the truth and all candidates have.

    Args:
        data: from :func:`deeplight.training.load_data`.
        part: "train", "validation" or "test".
        candidates: by name.
        against: the row that gains are measured against.
        block: side of a bootstrap block, low-resolution cells.

    Raises:
        ValueError: the split has no such part, ``against`` is no candidate, or no pixel is valid.
    """
    if not data.regions[part]:
        raise ValueError(f"the split has no {part} part")
    if against not in candidates:
        raise ValueError(f"'{against}' is no candidate; there are {', '.join(candidates)}")
    images: dict[str, list[torch.Tensor]] = {name: [] for name in candidates}
    truths, blocks, count = [], [], 0
    for region in data.regions[part]:
        truth = data.window(data.target, region)[0, 0].double()
        valid = data.window(data.valid, region)[0, 0].clone()
        found = {name: make(region).double() for name, make in candidates.items()}
        for image in found.values():
            valid &= image.isfinite()
        numbers, count = _block_numbers(truth.shape, block * data.scale, count)
        truths.append(truth[valid])
        blocks.append(numbers[valid])
        for name, image in found.items():
            images[name].append(image[valid])
    truth, of_block = torch.cat(truths), torch.cat(blocks)
    if truth.numel() == 0:
        raise ValueError(f"no pixel of the {part} part is valid in the truth and every candidate")
    joined = {name: torch.cat(parts) for name, parts in images.items()}
    draws = _draws(of_block, count)
    errors = {
        name: _sampled_rmse((image - truth).square(), of_block, count, draws)
        for name, image in joined.items()
    }
    rows = {}
    reference = _values(joined[against], truth)["rmse"]
    for name, image in joined.items():
        values = _values(image, truth)
        of_region = [_values(*pair) for pair in zip(images[name], truths, strict=True)]
        rows[name] = Scores(
            values,
            {key: _mean([region[key] for region in of_region]) for key in COLUMNS},
            _interval(errors[name]),
            reference - values["rmse"],
            _interval(errors[against] - errors[name]),
        )
    return rows


@dataclass(frozen=True)
class WorstCells:
    """Where a candidate's error is.

    Attributes:
        closer: share of the pixels that are closer to the truth than the other candidate's.
        share: of the squared error that the worst cells hold.
        cells: row and column of each in the low resolution, worst first.
        guide_extreme: largest absolute guide value in them, standard deviations of training.
        known_extreme: the same over the training part.
    """

    closer: float
    share: float
    cells: list[tuple[int, int]]
    guide_extreme: float
    known_extreme: float


def worst_cells(
    data: TrainingData, part: str, candidate: Candidate, against: Candidate, count: int = 5
) -> WorstCells:
    """The low-resolution cells of a part that hold most of a candidate's squared error."""
    scale, squares, cells, closer = data.scale, [], [], []
    bands = guide_bands(data).abs()
    for region in data.regions[part]:
        truth, valid = (data.window(image, region)[0, 0] for image in (data.target, data.valid))
        errors = [(make(region).double() - truth) for make in (candidate, against)]
        valid = valid & errors[0].isfinite() & errors[1].isfinite()
        closer.append((errors[0].abs() < errors[1].abs())[valid])
        squared = errors[0].square().where(valid, 0)
        blocks = squared.reshape(region[2], scale, region[3], scale).sum((1, 3))
        squares.append(blocks.flatten())
        cells += [
            (region[0] + row, region[1] + column)
            for row in range(region[2])
            for column in range(region[3])
        ]
    largest = torch.cat(squares).topk(min(count, len(cells)))
    worst = [cells[index] for index in largest.indices.tolist()]
    windows = [data.window(bands, (row, column, 1, 1)) for row, column in worst]
    known = [data.window(bands, region) for region in data.regions["train"]]
    return WorstCells(
        float(torch.cat(closer).double().mean()),
        float(largest.values.sum() / torch.cat(squares).sum()),
        worst,
        max(float(window.nan_to_num(0).max()) for window in windows),
        max(float(window.nan_to_num(0).max()) for window in known),
    )


def _values(image: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
    """Scores of a list of pixels; NaN without any."""
    if truth.numel() == 0:
        return dict.fromkeys(COLUMNS, math.nan)
    return {key: float(getattr(metrics, key)(image[None], truth[None])) for key in COLUMNS}


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def baseline_candidates(data: TrainingData, index: str = "ndvi") -> dict[str, Candidate]:
    """Interpolation, sharpening by an index, and a ridge on all guides.

    Sharpening is fitted anew to the coarse cells of each region, as practitioners do; the ridge is
    fitted to the fine truth of the training part, its penalty chosen on the validation part.

    Args:
        data: from :func:`deeplight.training.load_data`.
        index: name of the guide band that holds the vegetation index.

    Raises:
        ValueError: no guide has a band of that name.
    """
    scale = data.scale

    def low(region: Region) -> torch.Tensor:
        return data.low_resolution_of(region)[0, 0].double()

    def smooth(region: Region) -> torch.Tensor:
        return baselines.bicubic(low(region), scale)

    def block_mean(region: Region) -> torch.Tensor:
        return baselines.consistent(smooth(region), low(region), scale, "additive")

    candidates: dict[str, Candidate] = {
        "bilinear": lambda region: baselines.bilinear(low(region), scale),
        "bicubic": smooth,
        "bicubic + block mean": block_mean,
    }
    if not data.guides:
        return candidates
    vegetation = _guide_band(data, index)

    def sharpened(method: str, residual: str) -> Candidate:
        return lambda region: (
            sharpen(
                low(region),
                data.window(vegetation[None], region)[0, 0],
                scale,
                method=method,
                residual=residual,
            ).image
        )

    candidates["DisTrad"] = sharpened("distrad", "block")
    candidates["TsHARP"] = sharpened("tsharp", "block")
    candidates["TsHARP, smooth residual"] = sharpened("tsharp", "smooth")
    candidates["ridge on guides"] = _ridge(data)
    return candidates


def network_candidate(network: torch.nn.Module, data: TrainingData) -> Candidate:
    """A network in evaluation mode, through the preprocessing of ``data``."""
    from deeplight.training.prediction import predict_region

    return lambda region: predict_region(network, data, region, contextlib.nullcontext)[0, 0]


def prepared_alike(of_card: Any, data: Any) -> bool:
    """Whether a card's ``preprocessing`` states all that ``TrainingData.preprocessing`` does.

    A card also states the defaults of what the data leave out.
    """
    if isinstance(data, Mapping):
        return isinstance(of_card, Mapping) and all(
            key in of_card and prepared_alike(of_card[key], value) for key, value in data.items()
        )
    if isinstance(data, Sequence) and not isinstance(data, str):
        return (
            isinstance(of_card, Sequence)
            and len(of_card) == len(data)
            and all(map(prepared_alike, of_card, data))
        )
    return of_card == data


def averaged(candidates: Sequence[Candidate]) -> Candidate:
    """The mean image of several candidates."""
    return lambda region: torch.stack([make(region).double() for make in candidates]).mean(0)


def _guide_band(data: TrainingData, name: str) -> torch.Tensor:
    """A guide's band ``[H, W]`` float64, in its own units again."""
    for guide in data.preprocessing["guides"]:
        if name in guide["band_names"]:
            band = guide["band_names"].index(name)
            values = data.guides[guide["name"]][band].double()
            return values * guide["std"][band] + guide["mean"][band]
    known = [band for guide in data.preprocessing["guides"] for band in guide["band_names"]]
    raise ValueError(f"no guide band is named '{name}'; there are {', '.join(known)}")


def _ridge(data: TrainingData) -> Candidate:
    rows, columns = (side // data.scale for side in data.target.shape[1:])
    whole = data.low_resolution_of((0, 0, rows, columns))[0, 0]
    missing = float(whole.nanmean())
    fitted, bands = fit_ridge(data, whole.nan_to_num(missing)), guide_bands(data)

    def predict(region: Region) -> torch.Tensor:
        low = data.low_resolution_of(region)[0, 0]
        return fitted.predict(low.nan_to_num(missing), data.window(bands, region)[0])

    return predict


def _block_numbers(shape: torch.Size, side: int, first: int) -> tuple[torch.Tensor, int]:
    rows, columns = (torch.arange(size) // side for size in shape)
    across = int(columns[-1]) + 1
    numbers = first + rows[:, None] * across + columns[None]
    return numbers, first + (int(rows[-1]) + 1) * across


def _draws(of_block: torch.Tensor, count: int) -> torch.Tensor:
    """How often each block is drawn in each sample, ``[samples, blocks]``."""
    generator = torch.Generator().manual_seed(_SEED)
    present = of_block.unique()
    chosen = present[torch.randint(len(present), (_SAMPLES, len(present)), generator=generator)]
    return torch.zeros(_SAMPLES, count, dtype=torch.float64).scatter_add_(
        1, chosen, torch.ones(chosen.shape, dtype=torch.float64)
    )


def _sampled_rmse(
    squared: torch.Tensor, of_block: torch.Tensor, count: int, draws: torch.Tensor
) -> torch.Tensor:
    sums = torch.zeros(count, dtype=torch.float64).index_add_(0, of_block, squared)
    sizes = torch.zeros(count, dtype=torch.float64).index_add_(
        0, of_block, torch.ones_like(squared)
    )
    return ((draws @ sums) / (draws @ sizes)).sqrt()


def _interval(samples: torch.Tensor) -> tuple[float, float]:
    low, high = samples.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64)).tolist()
    return low, high


def lines(rows: Mapping[str, Scores], *, averaged_images: bool = False) -> Iterator[str]:
    """The table as text; scores of images one by one, averaged, where that is asked for."""
    units = [f"{key.upper()}{f' [{unit}]' if unit else ''}" for key, unit in COLUMNS.items()]
    yield f"{'':28s}" + "".join(f"{unit:>10s}" for unit in units) + f"{'gain [K]':>26s}"
    for name, row in rows.items():
        values = row.averaged if averaged_images else row.values
        numbers = "".join(f"{value:10.3f}" for value in values.values())
        low, high = row.gain_interval
        yield f"{name:28s}{numbers}{f'{row.gain:.3f} [{low:.3f}, {high:.3f}]':>26s}"

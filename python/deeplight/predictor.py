"""Trained weights, ready for rasters: what ``deeplight.load`` gives."""

from __future__ import annotations

import json
import math
import os
import warnings as python_warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from . import _native
from .models import NativeNetwork, load_network

__all__ = ["PredictedRaster", "Prediction", "Predictor", "load"]

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class PredictedRaster:
    """What became of one low-resolution raster.

    Attributes:
        low_resolution: path of the input.
        output: path of the result.
        mean_in: mean of the input's valid pixels, physical units.
        mean_out: mean of the output's valid pixels.
        light_ratio: light out over light in; 1 when all light is kept.
        valid_pixels: of the input.
        invalid_pixels: of the input; nodata in the output.
        tiles: of the raster.
        seconds: taken.
        resumed: of the tiles, taken over from an interrupted run.
    """

    low_resolution: str
    output: str
    mean_in: float
    mean_out: float
    light_ratio: float
    valid_pixels: int
    invalid_pixels: int
    tiles: int
    seconds: float
    resumed: int = 0

    def __str__(self) -> str:
        kept = f" ({self.resumed} from before)" if self.resumed else ""
        return (
            f"{self.output}: total light {self.light_ratio:.3f} of the input's, "
            f"{self.tiles} tile{'' if self.tiles == 1 else 's'}{kept}, {self.seconds:.1f} s"
        )


@dataclass(frozen=True)
class Prediction:
    """Report of one call of :meth:`Predictor.predict`.

    Attributes:
        rasters: one for each low-resolution raster.
        warnings: sentences on inputs unlike those of the training.
        seconds: taken in all, checks included.
    """

    rasters: list[PredictedRaster]
    warnings: list[str]
    seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Plain data, for JSON: a light ratio that is not finite becomes None."""
        data = asdict(self)
        for raster in data["rasters"]:
            if not math.isfinite(raster["light_ratio"]):
                raster["light_ratio"] = None
        return data

    def __str__(self) -> str:
        return "\n".join(str(raster) for raster in self.rasters)


class Predictor:
    """A network with its card, which says how rasters become its inputs.

    Attributes:
        network: the network, a ``torch.nn.Module``.
        card: the card, plain data; see ``deeplight/weights/card.hpp``.
    """

    def __init__(self, network: NativeNetwork, card: Mapping[str, Any]):
        self.network = network
        self.card = dict(card)

    @property
    def scale(self) -> int:
        """Output pixels per low-resolution pixel along each side."""
        return self.network.scale

    @property
    def guides(self) -> dict[str, int]:
        """Guides that rasters must be given for, and how many bands each has."""
        return {guide["name"]: guide["bands"] for guide in self.card["preprocessing"]["guides"]}

    @property
    def unused_guides(self) -> tuple[str, ...]:
        """Guides that an ablation does not look at (its option `without`): they may be left out."""
        without = self.network.options.get("without", ())
        return tuple(name for name in self.guides if name in without)

    def __repr__(self) -> str:
        guides = ", ".join(
            f"{name} ({bands} band{'' if bands == 1 else 's'})"
            for name, bands in self.guides.items()
            if name not in self.unused_guides
        )
        name = self.card.get("name") or self.network.architecture
        return f"Predictor({name}: x{self.scale}, guides: {guides or 'none'})"

    def predict(
        self,
        low_resolution: PathLike | Sequence[PathLike],
        guides: Mapping[str, PathLike] | None = None,
        out: PathLike | Sequence[PathLike] | None = None,
        *,
        qa: PathLike | Sequence[PathLike] | None = None,
        align: bool = False,
        tile: int = 256,
        consistency: str = "none",
        non_negative: bool = False,
        self_ensemble: bool = False,
        uncertainty: bool = False,
        nodata: float | None = None,
        overwrite: bool = False,
        resume: bool = False,
        compression: str = "deflate",
        format: str = "",
        precision: str = "float32",
        batch: int = 1,
        prefetch: int = 1,
        threads: int = 0,
        devices: Sequence[str] = (),
        scratch: PathLike | None = None,
        progress: bool | Callable[[int, int], bool | None] = True,
    ) -> Prediction:
        """Super-resolves one raster, or several with the same guides.

        Everything is checked before work begins. An output has its name only once it is whole; an
        error, Ctrl-C or a power cut leaves none half-written, and keeps the finished tiles for
        ``resume``.

        Args:
            low_resolution: one band each; a path or several.
            guides: a path by guide name: those of :attr:`guides`, of which :attr:`unused_guides`
                may be left out.
            out: a path for each low-resolution raster, or a folder, where a result is named
                ``<name of its input>_x<scale>.tif`` (``.vrt``, ``.zarr`` as `format` says).
            qa: ``FILE:BITS``, such as ``"qa.tif:0,1,4-7"``: a raster on the low resolution's grid
                and the bits of it, from 0, the lowest, that make a pixel invalid; so does its
                nodata. ``FILE@BAND:BITS`` names another band than the first, counted from 0. One
                for all rasters, or a list of one for each.
            align: warp guides that lie on another grid; otherwise they are refused.
            tile: side of a tile in low-resolution pixels. Smaller needs less memory and more time;
                the result is the same, but for networks that pool over their image (MoCoLSK-Net).
            consistency: ``"additive"`` or ``"multiplicative"`` makes block means of the output
                equal the input.
            non_negative: no output below 0; with additive consistency the nearest such image that
                has the block means.
            self_ensemble: average over eight flips and rotations; eight times the work.
            uncertainty: a second band with the standard deviation (n - 1) of the eight images of
                the self-ensemble, in physical units, before consistency. Implies ``self_ensemble``.
            nodata: of the output; by default the input's where it is negative, else NaN.
            overwrite: replace existing outputs, discard what interrupted runs left.
            resume: continue where an interrupted run of the same job stopped; the result has the
                bytes of an undisturbed run. Outputs of the same job that are there already stay.
            compression: ``"deflate"``, ``"lzw"``, ``"zstd"`` or ``"none"``.
            format: of the output, ``"gtiff"``, ``"gtiff-overviews"``, ``"cog"``, ``"vrt"`` (parts
                of at most 8192 x 8192 pixels) or ``"zarr"``; by default what the name says.
            precision: ``"float32"``, or ``"bfloat16"`` for PyTorch's autocast.
            batch: tiles of equal shape that go through the network together.
            prefetch: tiles read ahead while others are computed; each takes its guides' memory.
            threads: of PyTorch's operators; 0 leaves them as they are.
            devices: such as ``["cuda:0", "cuda:1"]``, a copy of the network on each; by default
                where the network is.
            scratch: folder for finished tiles; by default a hidden one beside each output. It needs
                room for the uncompressed output.
            progress: a bar on standard error when that is a terminal; or a function of tiles done
                and in all, whose False cancels.

        Returns:
            Light ratio, tiles and time of each raster, and warnings, which are also given through
            the ``warnings`` module.

        Raises:
            ValueError: rasters that do not fit each other or the weights, damaged files.
            OSError: a missing input, an output that cannot be written.
            MemoryError: a tile does not fit into memory.
            KeyboardInterrupt: Ctrl-C, or ``progress`` returned False.

        Example:
            >>> sr = deeplight.load("black-marble-x8")  # doctest: +SKIP
            >>> sr.predict("ntl.tif", {"dem": "dem.tif"}, "sr.tif")  # doctest: +SKIP
        """
        inputs = as_paths(low_resolution)
        outputs = self.outputs(inputs, out, format)
        with progress_of(progress) as report_progress:
            report = _native.predict(
                self.network.native,
                json.dumps(self.card),
                inputs,
                outputs,
                guide_pairs(guides),
                qa=quality_texts(qa),
                tile=tile,
                align=align,
                consistency=consistency,
                non_negative=non_negative,
                self_ensemble=self_ensemble,
                uncertainty=uncertainty,
                nodata=nodata,
                overwrite=overwrite,
                resume=resume,
                compression=compression,
                format=format,
                precision=precision,
                batch=batch,
                prefetch=prefetch,
                threads=threads,
                devices=[*devices],
                scratch=None if scratch is None else Path(scratch),
                progress=report_progress,
            )
        return prediction_of(report)

    def outputs(
        self,
        inputs: Sequence[Path],
        out: PathLike | Sequence[PathLike] | None,
        format: str = "",
    ) -> list[Path]:
        """A path for each input: `out`, or names in the folder `out` that suit the format.

        Raises:
            ValueError: `out` is missing or of another length.
        """
        if out is None:
            raise ValueError("out is missing: a path for each low-resolution raster, or a folder")
        outputs = as_paths(out)
        if len(outputs) == 1 and outputs[0].is_dir() and outputs[0].suffix != ".zarr":
            suffix = f".{format}" if format in ("vrt", "zarr") else ".tif"
            return [outputs[0] / f"{path.stem}_x{self.scale}{suffix}" for path in inputs]
        if len(outputs) != len(inputs):
            raise ValueError(
                f"{len(outputs)} output{'' if len(outputs) == 1 else 's'} for {len(inputs)} "
                "low-resolution rasters; give one for each, or an existing folder"
            )
        return outputs


def load(weights: PathLike, *, average: Sequence[PathLike] = ()) -> Predictor:
    """Loads trained weights.

    Args:
        weights: a shipped name (``deeplight.list_weights()``), or a ``.safetensors`` file with its
            ``.json`` card beside it.
        average: further weights of the same architecture, options and preprocessing; the network's
            parameters are the means of all. See :mod:`deeplight.averaging`.

    Returns:
        A predictor; its ``network`` is in evaluation mode.

    Raises:
        OSError: a file is missing or unreadable.
        ValueError: a file is damaged, hostile, or of another architecture than its card says;
            weights to average that differ in more than their values.
    """
    if average:
        from .averaging import average_networks

        return Predictor(*average_networks([weights, *as_paths(average)]))
    return Predictor(*load_network(weights))


def scratch_folder(output: PathLike, scratch: PathLike | None = None) -> Path:
    """Where the finished tiles of an output wait until it is whole."""
    beside = Path(_native.scratch_folder(Path(output)))
    return beside if scratch is None else Path(scratch) / beside.name


def guide_pairs(guides: Mapping[str, PathLike] | None) -> list[tuple[str, Path]]:
    """Guides as the native engine takes them."""
    return [(name, Path(path)) for name, path in (guides or {}).items()]


def quality_texts(qa: PathLike | Sequence[PathLike] | None) -> list[str]:
    """Quality masks as the native engine takes them."""
    if qa is None:
        return []
    return [os.fspath(qa)] if isinstance(qa, str | os.PathLike) else [os.fspath(one) for one in qa]


def prediction_of(report: Mapping[str, Any]) -> Prediction:
    """A native report; its warnings go through the ``warnings`` module."""
    for text in report["warnings"]:
        python_warnings.warn(text, stacklevel=3)
    rasters = [PredictedRaster(**raster) for raster in report["rasters"]]
    return Prediction(rasters, report["warnings"], report["seconds"])


def as_paths(value: PathLike | Sequence[PathLike]) -> list[Path]:
    if isinstance(value, (str, os.PathLike)):
        return [Path(value)]
    return [Path(path) for path in value]


@contextmanager
def progress_of(
    wanted: bool | Callable[[int, int], bool | None],
) -> Iterator[Callable[[int, int], bool | None] | None]:
    if callable(wanted):
        yield wanted
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    if not wanted or not console.is_terminal:
        yield None
        return
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("tiles, {task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("passed,"),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("predict", total=None, rate="...")

        def advance(done: int, total: int) -> None:
            speed = bar.tasks[0].speed
            rate = "..." if not speed else _rate(speed)
            bar.update(task, completed=done, total=total, rate=rate)

        yield advance


def _rate(tiles_per_second: float) -> str:
    if tiles_per_second >= 1:
        return f"{tiles_per_second:.1f}/s"
    return f"{1 / tiles_per_second:.1f} s each"

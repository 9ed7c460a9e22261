"""
Native networks, operators, rasters and metrics of deeplight.
"""
from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import os
import pathlib
import torch
import typing
from . import functional
from . import losses
from . import metrics
from . import nn
from . import radiometry
__all__: list[str] = ['BandInfo', 'Grid', 'ImageStatistics', 'Network', 'PatchBatch', 'PatchSampler', 'Preprocessor', 'Raster', 'RasterInfo', 'RasterWriter', 'Warp', 'align_guide', 'check_comparable', 'check_guide', 'check_split', 'create_model', 'functional', 'gaussian_kernel', 'gdal_version', 'has_raster', 'losses', 'masked_box_mean', 'merge_shards', 'metrics', 'needs_bigtiff', 'nn', 'plan_prediction', 'point_spread', 'point_spread_kernel', 'predict', 'predict_shard', 'radiometry', 'raster_info', 'read_card', 'read_safetensors', 'read_zones', 'registered_networks', 'safetensors_bytes', 'safetensors_metadata', 'safetensors_sha256', 'score_rasters', 'scratch_folder', 'simulate_low_resolution', 'tile_plan', 'validate_card', 'write_card', 'write_raster']
class Preprocessor:
    """
    Physical values <-> normalised units, as the JSON text of a card's 'preprocessing' says.
    """
    def __init__(self, preprocessing: str, scale: typing.SupportsInt) -> None:
        ...
    def guide(self, name: str, values: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
        """
        [B, bands, H, W] physical -> normalised; [B, (1 + windows) bands, H, W] with contrast.
        """
    def low_resolution(self, values: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
        """
        [B, 1, h, w] physical -> normalised float32; invalid and non-finite pixels 0.
        """
    def restore(self, image: torch.Tensor) -> torch.Tensor:
        """
        A network's image [B, 1, H, W] -> physical values. Never clamps.
        """
    def target(self, values: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
        """
        [B, 1, H, W] physical truth -> units of the network's output.
        """
    @property
    def json(self) -> str:
        """
        The description as JSON text.
        """
    @property
    def margin(self) -> int:
        """
        Reach of the preparation in low-resolution pixels.
        """
    @property
    def network_guides(self) -> dict:
        """
        Bands per guide as the network sees them, in order.
        """
    @property
    def scale(self) -> int:
        ...
class PatchBatch:
    """
    Patches of one step; light in physical units, guides normalised.
    """
    @property
    def auxiliary(self) -> torch.Tensor | None:
        ...
    @property
    def guides(self) -> dict[str, torch.Tensor]:
        ...
    @property
    def low_resolution(self) -> torch.Tensor:
        ...
    @property
    def target(self) -> torch.Tensor:
        ...
    @property
    def valid(self) -> torch.Tensor:
        ...
    @property
    def windows(self) -> list[tuple[int, int, int, int]]:
        """
        (row, column, height, width) of each patch on the high-resolution grid.
        """
class PatchSampler:
    """
    Draws training patches; sample(step) depends on seed and step alone.
    """
    def __init__(self, target: torch.Tensor, guides: collections.abc.Mapping[str, torch.Tensor], regions: collections.abc.Sequence[tuple[typing.SupportsInt, typing.SupportsInt, typing.SupportsInt, typing.SupportsInt]], low_resolution: torch.Tensor | None = None, auxiliary: torch.Tensor | None = None, valid: torch.Tensor | None = None, options: str = '{}', kernel: torch.Tensor | None = None) -> None:
        """
        Tensors [C, H, W]; regions (row, column, height, width) of the high-resolution grid; options as the JSON text of PatchSamplerOptions; kernel [k, l] blurs the target before its block means.
        """
    def sample(self, step: typing.SupportsInt) -> PatchBatch:
        """
        The batch of a step, 0 or above.
        """
    @property
    def options(self) -> str:
        ...
    @property
    def position_count(self) -> int:
        ...
    @property
    def total_weight(self) -> float:
        ...
class Warp:
    @property
    def centre_x(self) -> float:
        ...
    @property
    def centre_y(self) -> float:
        ...
    @property
    def matrix(self) -> torch.Tensor:
        ...
class ImageStatistics:
    def for_tile(self, row: typing.SupportsInt, column: typing.SupportsInt) -> ImageStatistics:
        ...
    @property
    def pooled(self) -> dict[str, torch.Tensor]:
        ...
    @pooled.setter
    def pooled(self, arg0: collections.abc.Mapping[str, torch.Tensor]) -> None:
        ...
    @property
    def warp(self) -> Warp | None:
        ...
class Network(nn.NativeModule):
    checkpoint_activations: bool
    def architecture(self) -> str:
        ...
    def can_checkpoint_activations(self) -> bool:
        ...
    def forward(self, low_resolution: torch.Tensor, guides: collections.abc.Mapping[str, torch.Tensor], statistics: ImageStatistics | None = None) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor | None]:
        ...
    def forward_part(self, low_resolution: torch.Tensor, guides: collections.abc.Mapping[str, torch.Tensor], part: typing.Annotated[collections.abc.Sequence[typing.SupportsInt], "FixedSize(4)"], statistics: ImageStatistics | None = None) -> torch.Tensor:
        ...
    def guides(self) -> list[tuple[str, int]]:
        ...
    def image_statistics(self, low_resolution: torch.Tensor) -> ImageStatistics:
        ...
    def load_state(self, path: str) -> None:
        ...
    def margin(self) -> int:
        ...
    def needs_representative_pass(self) -> bool:
        ...
    def options(self) -> str:
        ...
    def representative_statistics(self, low_resolution: torch.Tensor, guides: collections.abc.Mapping[str, torch.Tensor], statistics: ImageStatistics | None = None) -> ImageStatistics:
        ...
    def scale(self) -> int:
        ...
    def statistic_names(self) -> list[str]:
        ...
    def tile_multiple(self) -> int:
        ...
class Grid:
    """
    Size and georeference of a raster.
    """
    def __init__(self, rows: typing.SupportsInt, columns: typing.SupportsInt, geotransform: typing.Annotated[collections.abc.Sequence[typing.SupportsFloat], "FixedSize(6)"] | None = None, crs_wkt: str = '') -> None:
        ...
    def __repr__(self) -> str:
        ...
    def cropped(self, window: tuple[typing.SupportsInt, typing.SupportsInt, typing.SupportsInt, typing.SupportsInt]) -> Grid:
        ...
    def refined(self, scale: typing.SupportsInt) -> Grid:
        ...
    def same_crs(self, arg0: Grid) -> bool:
        ...
    @property
    def cell_size(self) -> typing.Annotated[list[float], "FixedSize(2)"]:
        ...
    @property
    def columns(self) -> int:
        ...
    @property
    def crs(self) -> str:
        ...
    @property
    def crs_wkt(self) -> str:
        ...
    @property
    def georeferenced(self) -> bool:
        ...
    @property
    def geotransform(self) -> typing.Annotated[list[float], "FixedSize(6)"]:
        """
        As GDAL orders it.
        """
    @property
    def rows(self) -> int:
        ...
class BandInfo:
    """
    What a file states about a band.
    """
    def __repr__(self) -> str:
        ...
    @property
    def color(self) -> str:
        ...
    @property
    def dtype(self) -> str:
        """
        As stored; values are read as float32.
        """
    @property
    def name(self) -> str:
        ...
    @property
    def nodata(self) -> float | None:
        ...
    @property
    def offset(self) -> float:
        ...
    @property
    def scale(self) -> float:
        ...
    @property
    def units(self) -> str:
        ...
class RasterInfo:
    """
    What a raster file states about itself.
    """
    def __repr__(self) -> str:
        ...
    @property
    def bands(self) -> list[BandInfo]:
        """
        Without alpha.
        """
    @property
    def block(self) -> tuple[int, int]:
        ...
    @property
    def driver(self) -> str:
        ...
    @property
    def grid(self) -> Grid:
        ...
    @property
    def has_alpha(self) -> bool:
        ...
    @property
    def metadata(self) -> dict[str, str]:
        ...
    @property
    def path(self) -> str:
        ...
class Raster:
    """
    An open raster; close it by forgetting it.
    """
    def __init__(self, path: os.PathLike | str | bytes) -> None:
        ...
    def __repr__(self) -> str:
        ...
    def read(self, window: tuple[typing.SupportsInt, typing.SupportsInt, typing.SupportsInt, typing.SupportsInt] | None = None, bands: collections.abc.Sequence[typing.SupportsInt] = []) -> tuple:
        """
        (values float32, valid bool), both [bands, rows, columns]; values are 0 where invalid.
        window is (row, column, rows, columns); bands count from 0.
        """
    @property
    def grid(self) -> Grid:
        ...
    @property
    def info(self) -> RasterInfo:
        ...
class RasterWriter:
    """
    A float32 GeoTIFF that has its name only once close() returned.
    """
    def __init__(self, path: os.PathLike | str | bytes, grid: Grid, bands: typing.SupportsInt = 1, compression: str = 'deflate', nodata: typing.SupportsFloat = ..., band_names: collections.abc.Sequence[str] = [], units: str = '', metadata: collections.abc.Mapping[str, str] = {}, overwrite: bool = False, tile: typing.SupportsInt = 256) -> None:
        ...
    def close(self) -> None:
        ...
    def write(self, values: typing.Annotated[numpy.typing.ArrayLike, numpy.float32], window: tuple[typing.SupportsInt, typing.SupportsInt, typing.SupportsInt, typing.SupportsInt] | None = None, valid: typing.Annotated[numpy.typing.ArrayLike, numpy.bool] | None = None) -> None:
        ...
def align_guide(guide: os.PathLike | str | bytes, low_resolution: Grid, scale: typing.SupportsInt, resampling: str = 'automatic') -> Raster:
    """
    The guide warped onto the fine grid, computed while it is read.
    """
def check_comparable(coarse: RasterInfo, fine: RasterInfo, name: str, scale: typing.SupportsInt) -> None:
    """
    Raises ValueError unless two rasters share extent and unit of temperature.
    """
def check_guide(low_resolution: RasterInfo, guide: RasterInfo, name: str, scale: typing.SupportsInt) -> None:
    """
    Raises ValueError unless the guide lies on the grid scale times finer.
    """
def check_split(train: collections.abc.Sequence[tuple[typing.SupportsInt, typing.SupportsInt, typing.SupportsInt, typing.SupportsInt]], validation: collections.abc.Sequence[tuple[typing.SupportsInt, typing.SupportsInt, typing.SupportsInt, typing.SupportsInt]], test: collections.abc.Sequence[tuple[typing.SupportsInt, typing.SupportsInt, typing.SupportsInt, typing.SupportsInt]], height: typing.SupportsInt, width: typing.SupportsInt, buffer: typing.SupportsInt) -> None:
    """
    Raises ValueError unless the parts of a split are whole and a buffer apart.
    """
def create_model(name: str, options: str = '{}') -> Network:
    ...
def gaussian_kernel(sigma: typing.SupportsFloat) -> torch.Tensor:
    """
    [k, k] float64 Gaussian out to 4 sigma (in pixels), sum 1.
    """
def gdal_version() -> str:
    ...
def masked_box_mean(values: torch.Tensor, window: typing.SupportsInt, valid: torch.Tensor | None = None) -> torch.Tensor:
    """
    Mean over a window x window box, invalid pixels and the outside left out; float64.
    """
def merge_shards(card: str, low_resolution: collections.abc.Sequence[os.PathLike | str | bytes], outputs: collections.abc.Sequence[os.PathLike | str | bytes], plans: collections.abc.Sequence[str], **kwargs) -> dict:
    """
    Assembles the outputs from shards; options as `predict`.
    """
def needs_bigtiff(rows: typing.SupportsInt, columns: typing.SupportsInt, bands: typing.SupportsInt, tile: typing.SupportsInt = 256) -> bool:
    ...
def plan_prediction(network: Network, card: str, low_resolution: collections.abc.Sequence[os.PathLike | str | bytes], outputs: collections.abc.Sequence[os.PathLike | str | bytes], guides: collections.abc.Sequence[tuple[str, os.PathLike | str | bytes]], **kwargs) -> list[str]:
    """
    Describes the job of each output as JSON text; arguments as `predict`.
    """
def point_spread(image: torch.Tensor, kernel: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
    """
    Convolution of [1, H, W] over valid pixels, divided by the kernel's weight on them; float32, NaN where invalid.
    """
def point_spread_kernel(measured: torch.Tensor) -> torch.Tensor:
    """
    A measured kernel of odd sides, checked and normalised to sum 1; float64.
    """
def predict(network: Network, card: str, low_resolution: collections.abc.Sequence[os.PathLike | str | bytes], outputs: collections.abc.Sequence[os.PathLike | str | bytes], guides: collections.abc.Sequence[tuple[str, os.PathLike | str | bytes]], **kwargs) -> dict:
    """
    Super-resolves rasters; `card` is JSON text, `guides` are (name, path) pairs, options
    those of deeplight.Predictor.predict; `progress(done, total)` may return False to
    cancel. Gives the report as plain data.
    """
def predict_shard(network: Network, card: str, low_resolution: collections.abc.Sequence[os.PathLike | str | bytes], outputs: collections.abc.Sequence[os.PathLike | str | bytes], guides: collections.abc.Sequence[tuple[str, os.PathLike | str | bytes]], plans: collections.abc.Sequence[str], index: typing.SupportsInt, count: typing.SupportsInt, **kwargs) -> dict:
    """
    Computes one shard of planned work; arguments as `predict`.
    """
def raster_info(path: os.PathLike | str | bytes) -> RasterInfo:
    """
    Description of a raster file.
    """
def read_card(path: str) -> str:
    """
    A card as JSON text, checked, with every field.
    """
def read_safetensors(path: str) -> dict:
    """
    Name -> (dtype, shape) of a safetensors file, checked as a whole.
    """
def read_zones(path: os.PathLike | str | bytes, truth: os.PathLike | str | bytes, window: tuple[typing.SupportsInt, typing.SupportsInt, typing.SupportsInt, typing.SupportsInt] | None = None) -> torch.Tensor:
    """
    Labels of zones, int64 [rows, columns], on the grid of the raster `truth`.
    """
def registered_networks() -> list:
    ...
def safetensors_bytes(path: str, name: str) -> bytes:
    """
    One tensor's bytes, row-major and little endian.
    """
def safetensors_metadata(path: str) -> dict[str, str]:
    """
    The free-form metadata of a safetensors file.
    """
def safetensors_sha256(path: str) -> str:
    """
    Hash of a whole, valid safetensors file, as a card states it.
    """
def score_rasters(truth: os.PathLike | str | bytes, predictions: collections.abc.Sequence[tuple[str, os.PathLike | str | bytes]], *, data_range: typing.SupportsFloat | None = None, low_resolution: os.PathLike | str | bytes | None = None, scale: typing.SupportsInt = 0, lit_threshold: typing.SupportsFloat = 0.0, window: tuple[typing.SupportsInt, typing.SupportsInt, typing.SupportsInt, typing.SupportsInt] | None = None, everything: bool = False, error_map: os.PathLike | str | bytes | None = None, block_pixels: typing.SupportsInt = 2097152, zones: os.PathLike | str | bytes | None = None, saturation: typing.SupportsFloat | None = None, brightness_edges: collections.abc.Sequence[typing.SupportsFloat] = [], niqe_model: metrics.NiqeModel | None = None, min_peak: typing.SupportsFloat | None = None, progress: typing.Any = None) -> dict:
    """
    Scores rasters by blocks of rows; `predictions` are (name, path) pairs and
    `progress(done, total)` may return False to cancel. Gives the report as plain data.
    """
def scratch_folder(output: os.PathLike | str | bytes) -> pathlib.Path:
    """
    Where the finished tiles of an output wait.
    """
def simulate_low_resolution(target: torch.Tensor, scale: typing.SupportsInt, valid: torch.Tensor | None = None, kernel: torch.Tensor | None = None, saturation: typing.SupportsFloat = 0.0) -> torch.Tensor:
    """
    [1, H, W] physical -> [1, H/r, W/r]: point spread, block mean of valid pixels (NaN without any), values above a positive saturation cut to it.
    """
def tile_plan(rows: typing.SupportsInt, columns: typing.SupportsInt, tile: typing.SupportsInt, halo: typing.SupportsInt, multiple: typing.SupportsInt = 1) -> list[tuple[tuple[int, int, int, int], tuple[int, int, int, int]]]:
    """
    List of (owner, read) windows (row, column, rows, columns); every pixel has one owner.
    """
def validate_card(text: str, where: str = 'card') -> str:
    """
    Checks JSON text as a card; gives it back with every field.
    """
def write_card(path: str, text: str) -> None:
    """
    Checks JSON text and writes it atomically as a card.
    """
def write_raster(path: os.PathLike | str | bytes, values: typing.Annotated[numpy.typing.ArrayLike, numpy.float32], grid: Grid, valid: typing.Annotated[numpy.typing.ArrayLike, numpy.bool] | None = None, compression: str = 'deflate', nodata: typing.SupportsFloat = ..., band_names: collections.abc.Sequence[str] = [], units: str = '', metadata: collections.abc.Mapping[str, str] = {}, overwrite: bool = False) -> None:
    """
    Writes [rows, columns] or [bands, rows, columns] as one float32 GeoTIFF.
    """
__version__: str = '0.1.0'
has_raster: bool = True

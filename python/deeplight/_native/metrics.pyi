"""
Scores on tensors, float64.
"""
from __future__ import annotations
import collections.abc
import torch
import typing
__all__: list[str] = ['AverageGradientAccumulator', 'BiasAccumulator', 'CcAccumulator', 'EntropyAccumulator', 'ErgasAccumulator', 'ErrorsByBrightnessAccumulator', 'GradientErrorAccumulator', 'ImageSamAccumulator', 'LaplacianVarianceAccumulator', 'LitF1Accumulator', 'LitPrecisionAccumulator', 'LitRecallAccumulator', 'MaeAccumulator', 'MsSsimAccumulator', 'NiqeAccumulator', 'NiqeFit', 'NiqeModel', 'PiqeAccumulator', 'PsnrAccumulator', 'R2Accumulator', 'RmseAccumulator', 'RsdAccumulator', 'SamAccumulator', 'SaturatedCoreErrorAccumulator', 'SourceWidthAccumulator', 'SpectralAccumulator', 'SsimAccumulator', 'TotalLightRatioAccumulator', 'UiqiAccumulator', 'ZoneAccumulator', 'average_gradient', 'bias', 'cc', 'city_regression', 'entropy', 'ergas', 'errors_by_brightness', 'gradient_error', 'laplacian_variance', 'lit_f1', 'lit_mask', 'lit_precision', 'lit_recall', 'mae', 'ms_ssim', 'niqe', 'niqe_features', 'piqe', 'piqe_blocks', 'psnr', 'r2', 'rmse', 'rsd', 'sam', 'saturated_core_error', 'source_width_means', 'source_widths', 'spectral_bands', 'spectral_error', 'ssim', 'total_light_ratio', 'uiqi', 'zone_sums']
class ZoneAccumulator:
    """
    Sums of lights by zone over blocks of a raster.
    """
    state: torch.Tensor
    @typing.overload
    def __init__(self, zones: typing.SupportsInt) -> None:
        ...
    @typing.overload
    def __init__(self, labels: torch.Tensor) -> None:
        ...
    def compute(self) -> typing.Annotated[list[torch.Tensor], "FixedSize(4)"]:
        ...
    def merge(self, other: ZoneAccumulator) -> None:
        ...
    def merge_state(self, state: torch.Tensor) -> None:
        ...
    def reset(self) -> None:
        ...
    def sums(self) -> typing.Annotated[list[torch.Tensor], "FixedSize(4)"]:
        ...
    def update(self, prediction: torch.Tensor, target: torch.Tensor, zones: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        ...
    @property
    def labels(self) -> torch.Tensor:
        ...
class SourceWidthAccumulator:
    """
    Widths of the sources of batches or of pieces of a raster.
    """
    state: torch.Tensor
    def __init__(self, min_peak: typing.SupportsFloat | None = None, radius: typing.SupportsInt = 7, dark: typing.SupportsFloat = 0.1, shift: typing.SupportsInt = 2) -> None:
        ...
    def compute(self) -> typing.Annotated[list[torch.Tensor], "FixedSize(5)"]:
        ...
    def merge(self, other: SourceWidthAccumulator) -> None:
        ...
    def merge_state(self, state: torch.Tensor) -> None:
        ...
    def reset(self) -> None:
        ...
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None, top: typing.SupportsInt = 0, left: typing.SupportsInt = 0, bottom: typing.SupportsInt = 0, right: typing.SupportsInt = 0) -> None:
        ...
    @property
    def halo(self) -> int:
        ...
class RmseAccumulator:
    """
    A score over everything it was given, as one image.
    """
    def __init__(self) -> None:
        ...
    def compute(self) -> torch.Tensor:
        """
        The score, float64; NaN when nothing was valid.
        """
    def count(self) -> torch.Tensor:
        """
        Pixels seen.
        """
    def merge(self, other: RmseAccumulator) -> None:
        """
        Adds what another accumulator has seen.
        """
    def merge_state(self, state: torch.Tensor) -> None:
        """
        Adds a state that another process hands over.
        """
    def per_image(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Scores of the images of a batch and what each stands on, [N] each; adds nothing.
        """
    def reset(self) -> None:
        """
        Forgets everything seen.
        """
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """
        Adds every valid pixel of [..., C, H, W], [C, H, W] or [H, W].
        """
    @property
    def state(self) -> torch.Tensor:
        """
        All that was seen, a float64 tensor.
        """
    @state.setter
    def state(self, arg1: torch.Tensor) -> None:
        ...
class MaeAccumulator:
    """
    A score over everything it was given, as one image.
    """
    def __init__(self) -> None:
        ...
    def compute(self) -> torch.Tensor:
        """
        The score, float64; NaN when nothing was valid.
        """
    def count(self) -> torch.Tensor:
        """
        Pixels seen.
        """
    def merge(self, other: MaeAccumulator) -> None:
        """
        Adds what another accumulator has seen.
        """
    def merge_state(self, state: torch.Tensor) -> None:
        """
        Adds a state that another process hands over.
        """
    def per_image(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Scores of the images of a batch and what each stands on, [N] each; adds nothing.
        """
    def reset(self) -> None:
        """
        Forgets everything seen.
        """
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """
        Adds every valid pixel of [..., C, H, W], [C, H, W] or [H, W].
        """
    @property
    def state(self) -> torch.Tensor:
        """
        All that was seen, a float64 tensor.
        """
    @state.setter
    def state(self, arg1: torch.Tensor) -> None:
        ...
class BiasAccumulator:
    """
    A score over everything it was given, as one image.
    """
    def __init__(self) -> None:
        ...
    def compute(self) -> torch.Tensor:
        """
        The score, float64; NaN when nothing was valid.
        """
    def count(self) -> torch.Tensor:
        """
        Pixels seen.
        """
    def merge(self, other: BiasAccumulator) -> None:
        """
        Adds what another accumulator has seen.
        """
    def merge_state(self, state: torch.Tensor) -> None:
        """
        Adds a state that another process hands over.
        """
    def per_image(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Scores of the images of a batch and what each stands on, [N] each; adds nothing.
        """
    def reset(self) -> None:
        """
        Forgets everything seen.
        """
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """
        Adds every valid pixel of [..., C, H, W], [C, H, W] or [H, W].
        """
    @property
    def state(self) -> torch.Tensor:
        """
        All that was seen, a float64 tensor.
        """
    @state.setter
    def state(self, arg1: torch.Tensor) -> None:
        ...
class RsdAccumulator:
    """
    A score over everything it was given, as one image.
    """
    def __init__(self) -> None:
        ...
    def compute(self) -> torch.Tensor:
        """
        The score, float64; NaN when nothing was valid.
        """
    def count(self) -> torch.Tensor:
        """
        Pixels seen.
        """
    def merge(self, other: RsdAccumulator) -> None:
        """
        Adds what another accumulator has seen.
        """
    def merge_state(self, state: torch.Tensor) -> None:
        """
        Adds a state that another process hands over.
        """
    def per_image(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Scores of the images of a batch and what each stands on, [N] each; adds nothing.
        """
    def reset(self) -> None:
        """
        Forgets everything seen.
        """
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """
        Adds every valid pixel of [..., C, H, W], [C, H, W] or [H, W].
        """
    @property
    def state(self) -> torch.Tensor:
        """
        All that was seen, a float64 tensor.
        """
    @state.setter
    def state(self, arg1: torch.Tensor) -> None:
        ...
class R2Accumulator:
    """
    A score over everything it was given, as one image.
    """
    def __init__(self) -> None:
        ...
    def compute(self) -> torch.Tensor:
        """
        The score, float64; NaN when nothing was valid.
        """
    def count(self) -> torch.Tensor:
        """
        Pixels seen.
        """
    def merge(self, other: R2Accumulator) -> None:
        """
        Adds what another accumulator has seen.
        """
    def merge_state(self, state: torch.Tensor) -> None:
        """
        Adds a state that another process hands over.
        """
    def per_image(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Scores of the images of a batch and what each stands on, [N] each; adds nothing.
        """
    def reset(self) -> None:
        """
        Forgets everything seen.
        """
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """
        Adds every valid pixel of [..., C, H, W], [C, H, W] or [H, W].
        """
    @property
    def state(self) -> torch.Tensor:
        """
        All that was seen, a float64 tensor.
        """
    @state.setter
    def state(self, arg1: torch.Tensor) -> None:
        ...
class CcAccumulator:
    """
    A score over everything it was given, as one image.
    """
    def __init__(self) -> None:
        ...
    def compute(self) -> torch.Tensor:
        """
        The score, float64; NaN when nothing was valid.
        """
    def count(self) -> torch.Tensor:
        """
        Pixels seen.
        """
    def merge(self, other: CcAccumulator) -> None:
        """
        Adds what another accumulator has seen.
        """
    def merge_state(self, state: torch.Tensor) -> None:
        """
        Adds a state that another process hands over.
        """
    def per_image(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Scores of the images of a batch and what each stands on, [N] each; adds nothing.
        """
    def reset(self) -> None:
        """
        Forgets everything seen.
        """
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """
        Adds every valid pixel of [..., C, H, W], [C, H, W] or [H, W].
        """
    @property
    def state(self) -> torch.Tensor:
        """
        All that was seen, a float64 tensor.
        """
    @state.setter
    def state(self, arg1: torch.Tensor) -> None:
        ...
class TotalLightRatioAccumulator:
    """
    A score over everything it was given, as one image.
    """
    def __init__(self) -> None:
        ...
    def compute(self) -> torch.Tensor:
        """
        The score, float64; NaN when nothing was valid.
        """
    def count(self) -> torch.Tensor:
        """
        Pixels seen.
        """
    def merge(self, other: TotalLightRatioAccumulator) -> None:
        """
        Adds what another accumulator has seen.
        """
    def merge_state(self, state: torch.Tensor) -> None:
        """
        Adds a state that another process hands over.
        """
    def per_image(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Scores of the images of a batch and what each stands on, [N] each; adds nothing.
        """
    def reset(self) -> None:
        """
        Forgets everything seen.
        """
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """
        Adds every valid pixel of [..., C, H, W], [C, H, W] or [H, W].
        """
    @property
    def state(self) -> torch.Tensor:
        """
        All that was seen, a float64 tensor.
        """
    @state.setter
    def state(self, arg1: torch.Tensor) -> None:
        ...
class PsnrAccumulator:
    """
    A score over everything it was given, as one image.
    """
    def __init__(self, data_range: typing.SupportsFloat | None = None) -> None:
        ...
    def compute(self) -> torch.Tensor:
        """
        The score, float64; NaN when nothing was valid.
        """
    def count(self) -> torch.Tensor:
        """
        Pixels seen.
        """
    def merge(self, other: PsnrAccumulator) -> None:
        """
        Adds what another accumulator has seen.
        """
    def merge_state(self, state: torch.Tensor) -> None:
        """
        Adds a state that another process hands over.
        """
    def per_image(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Scores of the images of a batch and what each stands on, [N] each; adds nothing.
        """
    def reset(self) -> None:
        """
        Forgets everything seen.
        """
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """
        Adds every valid pixel of [..., C, H, W], [C, H, W] or [H, W].
        """
    @property
    def state(self) -> torch.Tensor:
        """
        All that was seen, a float64 tensor.
        """
    @state.setter
    def state(self, arg1: torch.Tensor) -> None:
        ...
class LitPrecisionAccumulator:
    """
    A score over everything it was given, as one image.
    """
    def __init__(self, threshold: typing.SupportsFloat | None = None) -> None:
        ...
    def compute(self) -> torch.Tensor:
        """
        The score, float64; NaN when nothing was valid.
        """
    def count(self) -> torch.Tensor:
        """
        Pixels seen.
        """
    def merge(self, other: LitPrecisionAccumulator) -> None:
        """
        Adds what another accumulator has seen.
        """
    def merge_state(self, state: torch.Tensor) -> None:
        """
        Adds a state that another process hands over.
        """
    def per_image(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Scores of the images of a batch and what each stands on, [N] each; adds nothing.
        """
    def reset(self) -> None:
        """
        Forgets everything seen.
        """
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """
        Adds every valid pixel of [..., C, H, W], [C, H, W] or [H, W].
        """
    @property
    def state(self) -> torch.Tensor:
        """
        All that was seen, a float64 tensor.
        """
    @state.setter
    def state(self, arg1: torch.Tensor) -> None:
        ...
class LitRecallAccumulator:
    """
    A score over everything it was given, as one image.
    """
    def __init__(self, threshold: typing.SupportsFloat | None = None) -> None:
        ...
    def compute(self) -> torch.Tensor:
        """
        The score, float64; NaN when nothing was valid.
        """
    def count(self) -> torch.Tensor:
        """
        Pixels seen.
        """
    def merge(self, other: LitRecallAccumulator) -> None:
        """
        Adds what another accumulator has seen.
        """
    def merge_state(self, state: torch.Tensor) -> None:
        """
        Adds a state that another process hands over.
        """
    def per_image(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Scores of the images of a batch and what each stands on, [N] each; adds nothing.
        """
    def reset(self) -> None:
        """
        Forgets everything seen.
        """
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """
        Adds every valid pixel of [..., C, H, W], [C, H, W] or [H, W].
        """
    @property
    def state(self) -> torch.Tensor:
        """
        All that was seen, a float64 tensor.
        """
    @state.setter
    def state(self, arg1: torch.Tensor) -> None:
        ...
class LitF1Accumulator:
    """
    A score over everything it was given, as one image.
    """
    def __init__(self, threshold: typing.SupportsFloat | None = None) -> None:
        ...
    def compute(self) -> torch.Tensor:
        """
        The score, float64; NaN when nothing was valid.
        """
    def count(self) -> torch.Tensor:
        """
        Pixels seen.
        """
    def merge(self, other: LitF1Accumulator) -> None:
        """
        Adds what another accumulator has seen.
        """
    def merge_state(self, state: torch.Tensor) -> None:
        """
        Adds a state that another process hands over.
        """
    def per_image(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Scores of the images of a batch and what each stands on, [N] each; adds nothing.
        """
    def reset(self) -> None:
        """
        Forgets everything seen.
        """
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """
        Adds every valid pixel of [..., C, H, W], [C, H, W] or [H, W].
        """
    @property
    def state(self) -> torch.Tensor:
        """
        All that was seen, a float64 tensor.
        """
    @state.setter
    def state(self, arg1: torch.Tensor) -> None:
        ...
class ErgasAccumulator:
    """
    A score over everything it was given, as one image.
    """
    def __init__(self, ratio: typing.SupportsFloat | None = None, bands: typing.SupportsInt = 1) -> None:
        ...
    def compute(self) -> torch.Tensor:
        """
        The score, float64; NaN when nothing was valid.
        """
    def count(self) -> torch.Tensor:
        """
        Pixels seen.
        """
    def merge(self, other: ErgasAccumulator) -> None:
        """
        Adds what another accumulator has seen.
        """
    def merge_state(self, state: torch.Tensor) -> None:
        """
        Adds a state that another process hands over.
        """
    def per_image(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Scores of the images of a batch and what each stands on, [N] each; adds nothing.
        """
    def reset(self) -> None:
        """
        Forgets everything seen.
        """
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """
        Adds every valid pixel of [..., C, H, W], [C, H, W] or [H, W].
        """
    @property
    def state(self) -> torch.Tensor:
        """
        All that was seen, a float64 tensor.
        """
    @state.setter
    def state(self, arg1: torch.Tensor) -> None:
        ...
class SaturatedCoreErrorAccumulator:
    """
    A score over everything it was given, as one image.
    """
    def __init__(self, saturation: typing.SupportsFloat | None = None, statistic: str = 'rmse') -> None:
        ...
    def compute(self) -> torch.Tensor:
        """
        The score, float64; NaN when nothing was valid.
        """
    def count(self) -> torch.Tensor:
        """
        Pixels seen.
        """
    def merge(self, other: SaturatedCoreErrorAccumulator) -> None:
        """
        Adds what another accumulator has seen.
        """
    def merge_state(self, state: torch.Tensor) -> None:
        """
        Adds a state that another process hands over.
        """
    def per_image(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Scores of the images of a batch and what each stands on, [N] each; adds nothing.
        """
    def reset(self) -> None:
        """
        Forgets everything seen.
        """
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """
        Adds every valid pixel of [..., C, H, W], [C, H, W] or [H, W].
        """
    @property
    def state(self) -> torch.Tensor:
        """
        All that was seen, a float64 tensor.
        """
    @state.setter
    def state(self, arg1: torch.Tensor) -> None:
        ...
class ErrorsByBrightnessAccumulator:
    """
    A score over everything it was given, as one image.
    """
    def __init__(self, edges: collections.abc.Sequence[typing.SupportsFloat]) -> None:
        ...
    def compute(self) -> torch.Tensor:
        """
        The score, float64; NaN when nothing was valid.
        """
    def count(self) -> torch.Tensor:
        """
        Pixels seen.
        """
    def merge(self, other: ErrorsByBrightnessAccumulator) -> None:
        """
        Adds what another accumulator has seen.
        """
    def merge_state(self, state: torch.Tensor) -> None:
        """
        Adds a state that another process hands over.
        """
    def per_image(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Scores of the images of a batch and what each stands on, [N] each; adds nothing.
        """
    def reset(self) -> None:
        """
        Forgets everything seen.
        """
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """
        Adds every valid pixel of [..., C, H, W], [C, H, W] or [H, W].
        """
    @property
    def state(self) -> torch.Tensor:
        """
        All that was seen, a float64 tensor.
        """
    @state.setter
    def state(self, arg1: torch.Tensor) -> None:
        ...
class SamAccumulator:
    """
    A score over everything it was given, as one image.
    """
    def __init__(self, unit: str = 'radians', allow_one_band: bool = False) -> None:
        ...
    def compute(self) -> torch.Tensor:
        """
        The score, float64; NaN when nothing was valid.
        """
    def count(self) -> torch.Tensor:
        """
        Pixels seen.
        """
    def merge(self, other: SamAccumulator) -> None:
        """
        Adds what another accumulator has seen.
        """
    def merge_state(self, state: torch.Tensor) -> None:
        """
        Adds a state that another process hands over.
        """
    def per_image(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Scores of the images of a batch and what each stands on, [N] each; adds nothing.
        """
    def reset(self) -> None:
        """
        Forgets everything seen.
        """
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """
        Adds every valid pixel of [..., C, H, W], [C, H, W] or [H, W].
        """
    @property
    def state(self) -> torch.Tensor:
        """
        All that was seen, a float64 tensor.
        """
    @state.setter
    def state(self, arg1: torch.Tensor) -> None:
        ...
class ImageSamAccumulator:
    """
    A score over everything it was given, as one image.
    """
    def __init__(self, unit: str = 'radians') -> None:
        ...
    def compute(self) -> torch.Tensor:
        """
        The score, float64; NaN when nothing was valid.
        """
    def count(self) -> torch.Tensor:
        """
        Pixels seen.
        """
    def merge(self, other: ImageSamAccumulator) -> None:
        """
        Adds what another accumulator has seen.
        """
    def merge_state(self, state: torch.Tensor) -> None:
        """
        Adds a state that another process hands over.
        """
    def per_image(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Scores of the images of a batch and what each stands on, [N] each; adds nothing.
        """
    def reset(self) -> None:
        """
        Forgets everything seen.
        """
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        """
        Adds every valid pixel of [..., C, H, W], [C, H, W] or [H, W].
        """
    @property
    def state(self) -> torch.Tensor:
        """
        All that was seen, a float64 tensor.
        """
    @state.setter
    def state(self, arg1: torch.Tensor) -> None:
        ...
class PiqeAccumulator:
    """
    PIQE of all blocks of all pieces.
    """
    halo: typing.ClassVar[int] = 3
    def __init__(self, options: str) -> None:
        ...
    def compute(self) -> float:
        ...
    def load_state(self, state: typing.Annotated[collections.abc.Sequence[typing.SupportsFloat], "FixedSize(4)"]) -> None:
        ...
    def merge(self, other: PiqeAccumulator) -> None:
        ...
    def reset(self) -> None:
        ...
    def state(self) -> typing.Annotated[list[float], "FixedSize(4)"]:
        ...
    def update(self, piece: torch.Tensor, top: typing.SupportsInt = 0, left: typing.SupportsInt = 0, bottom: typing.SupportsInt = 0, right: typing.SupportsInt = 0, mask: torch.Tensor | None = None, where: torch.Tensor | None = None) -> None:
        ...
    @property
    def count(self) -> int:
        ...
class GradientErrorAccumulator:
    def __init__(self, options: str = '{}') -> None:
        ...
    def compute(self) -> float:
        ...
    def load_state(self, state: typing.Annotated[collections.abc.Sequence[typing.SupportsFloat], "FixedSize(5)"]) -> None:
        ...
    def merge(self, other: GradientErrorAccumulator) -> None:
        ...
    def reset(self) -> None:
        ...
    def state(self) -> typing.Annotated[list[float], "FixedSize(5)"]:
        ...
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None, where: torch.Tensor | None = None) -> None:
        ...
    @property
    def count(self) -> int:
        ...
    @property
    def overlap(self) -> int:
        ...
class AverageGradientAccumulator:
    def __init__(self) -> None:
        ...
    def compute(self) -> float:
        ...
    def load_state(self, state: typing.Annotated[collections.abc.Sequence[typing.SupportsFloat], "FixedSize(5)"]) -> None:
        ...
    def merge(self, other: AverageGradientAccumulator) -> None:
        ...
    def reset(self) -> None:
        ...
    def state(self) -> typing.Annotated[list[float], "FixedSize(5)"]:
        ...
    def update(self, image: torch.Tensor, mask: torch.Tensor | None = None, where: torch.Tensor | None = None) -> None:
        ...
    @property
    def count(self) -> int:
        ...
    @property
    def overlap(self) -> int:
        ...
class LaplacianVarianceAccumulator:
    def __init__(self) -> None:
        ...
    def compute(self) -> float:
        ...
    def load_state(self, state: typing.Annotated[collections.abc.Sequence[typing.SupportsFloat], "FixedSize(5)"]) -> None:
        ...
    def merge(self, other: LaplacianVarianceAccumulator) -> None:
        ...
    def reset(self) -> None:
        ...
    def state(self) -> typing.Annotated[list[float], "FixedSize(5)"]:
        ...
    def update(self, image: torch.Tensor, mask: torch.Tensor | None = None, where: torch.Tensor | None = None) -> None:
        ...
    @property
    def count(self) -> int:
        ...
    @property
    def overlap(self) -> int:
        ...
class EntropyAccumulator:
    def __init__(self, data_range: typing.SupportsFloat | None, options: str = '{}') -> None:
        ...
    def compute(self) -> float:
        ...
    def load_state(self, state: collections.abc.Sequence[typing.SupportsInt]) -> None:
        ...
    def merge(self, other: EntropyAccumulator) -> None:
        ...
    def reset(self) -> None:
        ...
    def state(self) -> list[int]:
        ...
    def update(self, image: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        ...
    @property
    def count(self) -> int:
        ...
class MsSsimAccumulator:
    def __init__(self, data_range: typing.SupportsFloat | None, options: str = '{}') -> None:
        ...
    def compute(self) -> float:
        ...
    def load_state(self, state: collections.abc.Sequence[typing.SupportsFloat]) -> None:
        ...
    def merge(self, other: MsSsimAccumulator) -> None:
        ...
    def reset(self) -> None:
        ...
    def state(self) -> list[float]:
        ...
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None, where: torch.Tensor | None = None) -> None:
        ...
    @property
    def count(self) -> int:
        ...
class NiqeModel:
    """
    The normal that the features of good images have.
    """
    @staticmethod
    def load(path: str) -> NiqeModel:
        ...
    def __getstate__(self) -> str:
        ...
    def __init__(self, json: str, name: str = 'niqe model') -> None:
        ...
    def __setstate__(self, arg0: str) -> None:
        ...
    def options(self) -> str:
        ...
    def save(self, path: str) -> None:
        ...
    def to_json(self) -> str:
        ...
    @property
    def blocks(self) -> int:
        ...
    @property
    def covariance(self) -> torch.Tensor:
        ...
    @property
    def mean(self) -> torch.Tensor:
        ...
class NiqeFit:
    """
    Fits a model of NIQE to good images.
    """
    def __init__(self, options: str, sharpness: typing.SupportsFloat = 0.75) -> None:
        ...
    def compute(self) -> NiqeModel:
        ...
    def update(self, images: torch.Tensor, mask: torch.Tensor | None = None) -> None:
        ...
    @property
    def blocks(self) -> int:
        ...
class NiqeAccumulator:
    """
    NIQE of all blocks of all pieces.
    """
    halo: typing.ClassVar[int] = 10
    def __init__(self, model: NiqeModel) -> None:
        ...
    def compute(self) -> float:
        ...
    def merge(self, other: NiqeAccumulator) -> None:
        ...
    def merge_state(self, state: torch.Tensor) -> None:
        ...
    def reset(self) -> None:
        ...
    def update(self, piece: torch.Tensor, top: typing.SupportsInt = 0, left: typing.SupportsInt = 0, bottom: typing.SupportsInt = 0, right: typing.SupportsInt = 0, mask: torch.Tensor | None = None, where: torch.Tensor | None = None) -> None:
        ...
    @property
    def count(self) -> int:
        ...
    @property
    def state(self) -> torch.Tensor:
        ...
class SpectralAccumulator:
    """
    Spectral error of all windows of all blocks.
    """
    def __init__(self, options: str = '{}') -> None:
        ...
    def compute(self) -> float:
        ...
    def merge(self, other: SpectralAccumulator) -> None:
        ...
    def merge_state(self, state: torch.Tensor) -> None:
        ...
    def reset(self) -> None:
        ...
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None, where: torch.Tensor | None = None) -> None:
        ...
    @property
    def count(self) -> int:
        ...
    @property
    def overlap(self) -> int:
        ...
    @property
    def state(self) -> torch.Tensor:
        ...
    @property
    def stride(self) -> int:
        ...
class SsimAccumulator:
    def __init__(self, data_range: typing.SupportsFloat | None, options: str = '{}') -> None:
        ...
    def compute(self) -> float:
        ...
    def load_state(self, state: typing.Annotated[collections.abc.Sequence[typing.SupportsFloat], "FixedSize(3)"]) -> None:
        ...
    def merge(self, other: SsimAccumulator) -> None:
        ...
    def reset(self) -> None:
        ...
    def state(self) -> typing.Annotated[list[float], "FixedSize(3)"]:
        ...
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None, where: torch.Tensor | None = None) -> None:
        ...
    @property
    def count(self) -> int:
        ...
    @property
    def overlap(self) -> int:
        ...
class UiqiAccumulator:
    def __init__(self, options: str = '{}') -> None:
        ...
    def compute(self) -> float:
        ...
    def load_state(self, state: typing.Annotated[collections.abc.Sequence[typing.SupportsFloat], "FixedSize(3)"]) -> None:
        ...
    def merge(self, other: UiqiAccumulator) -> None:
        ...
    def reset(self) -> None:
        ...
    def state(self) -> typing.Annotated[list[float], "FixedSize(3)"]:
        ...
    def update(self, prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None, where: torch.Tensor | None = None) -> None:
        ...
    @property
    def count(self) -> int:
        ...
    @property
    def overlap(self) -> int:
        ...
def average_gradient(image: torch.Tensor, mask: torch.Tensor | None = None, where: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def bias(prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def cc(prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def city_regression(prediction: torch.Tensor, target: torch.Tensor, zones: torch.Tensor, mask: torch.Tensor | None = None) -> typing.Annotated[list[torch.Tensor], "FixedSize(4)"]:
    """
    [r2, slope, intercept, zones].
    """
def entropy(image: torch.Tensor, data_range: typing.SupportsFloat | None, options: str = '{}', mask: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def ergas(prediction: torch.Tensor, target: torch.Tensor, ratio: typing.SupportsFloat | None = None, mask: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def errors_by_brightness(prediction: torch.Tensor, target: torch.Tensor, edges: collections.abc.Sequence[typing.SupportsFloat], mask: torch.Tensor | None = None, reduction: str = 'pooled') -> typing.Annotated[list[torch.Tensor], "FixedSize(4)"]:
    """
    [count, bias, mae, rmse], one value per bin each.
    """
def gradient_error(prediction: torch.Tensor, target: torch.Tensor, options: str = '{}', mask: torch.Tensor | None = None, where: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def laplacian_variance(image: torch.Tensor, mask: torch.Tensor | None = None, where: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def lit_f1(prediction: torch.Tensor, target: torch.Tensor, threshold: typing.SupportsFloat | None = None, mask: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def lit_mask(target: torch.Tensor, threshold: typing.SupportsFloat = 0.0) -> torch.Tensor:
    ...
def lit_precision(prediction: torch.Tensor, target: torch.Tensor, threshold: typing.SupportsFloat | None = None, mask: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def lit_recall(prediction: torch.Tensor, target: torch.Tensor, threshold: typing.SupportsFloat | None = None, mask: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def mae(prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def ms_ssim(prediction: torch.Tensor, target: torch.Tensor, data_range: typing.SupportsFloat | None, options: str = '{}', mask: torch.Tensor | None = None, where: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def niqe(image: torch.Tensor, model: NiqeModel, mask: torch.Tensor | None = None, where: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def niqe_features(image: torch.Tensor, options: str, mask: torch.Tensor | None = None, where: torch.Tensor | None = None) -> typing.Annotated[list[torch.Tensor], "FixedSize(3)"]:
    """
    [features, sharpness, counted] of every block.
    """
def piqe(image: torch.Tensor, options: str = '{}', mask: torch.Tensor | None = None, where: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def piqe_blocks(image: torch.Tensor, options: str = '{}', mask: torch.Tensor | None = None, where: torch.Tensor | None = None) -> typing.Annotated[list[torch.Tensor], "FixedSize(5)"]:
    """
    [distortion, counted, active, artifact, noise] of every block.
    """
def psnr(prediction: torch.Tensor, target: torch.Tensor, data_range: typing.SupportsFloat | None = None, mask: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def r2(prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def rmse(prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def rsd(prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def sam(prediction: torch.Tensor, target: torch.Tensor, vectors: str = 'bands', unit: str = 'radians', allow_one_band: bool = False, mask: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def saturated_core_error(prediction: torch.Tensor, target: torch.Tensor, saturation: typing.SupportsFloat | None = None, statistic: str = 'rmse', mask: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def source_width_means(widths: typing.Annotated[collections.abc.Sequence[torch.Tensor], "FixedSize(5)"]) -> typing.Annotated[list[torch.Tensor], "FixedSize(5)"]:
    """
    [sources, measured, prediction, target, rmse] of source_widths.
    """
def source_widths(prediction: torch.Tensor, target: torch.Tensor, min_peak: typing.SupportsFloat | None = None, radius: typing.SupportsInt = 7, dark: typing.SupportsFloat = 0.1, shift: typing.SupportsInt = 2, mask: torch.Tensor | None = None) -> typing.Annotated[list[torch.Tensor], "FixedSize(5)"]:
    """
    [plane, row, column, prediction, target], [S].
    """
def spectral_bands(prediction: torch.Tensor, target: torch.Tensor, options: str = '{}', mask: torch.Tensor | None = None, where: torch.Tensor | None = None, reduction: str = 'none') -> typing.Annotated[list[torch.Tensor], "FixedSize(3)"]:
    """
    [frequency, prediction, target].
    """
def spectral_error(prediction: torch.Tensor, target: torch.Tensor, options: str = '{}', mask: torch.Tensor | None = None, where: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def ssim(prediction: torch.Tensor, target: torch.Tensor, data_range: typing.SupportsFloat | None, options: str, mask: torch.Tensor | None = None, where: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def total_light_ratio(prediction: torch.Tensor, target: torch.Tensor, mask: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def uiqi(prediction: torch.Tensor, target: torch.Tensor, options: str = '{}', mask: torch.Tensor | None = None, where: torch.Tensor | None = None, reduction: str = 'mean') -> torch.Tensor:
    ...
def zone_sums(prediction: torch.Tensor, target: torch.Tensor, zones: torch.Tensor, mask: torch.Tensor | None = None) -> typing.Annotated[list[torch.Tensor], "FixedSize(4)"]:
    """
    [labels, count, prediction, target], [Z] each.
    """

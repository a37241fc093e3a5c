"""One set of options for every command that predicts."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from typer import BadParameter, Option

from spcnet.cli.options import DEVICE, MODEL, PRECISION
from spcnet.errors import UserError
from spcnet.runtime.contract import Precision, Runtime

if TYPE_CHECKING:
    from spcnet.inference.estimator import PoseEstimator

RUNTIME = Option(help="What runs the network; auto: torch, or onnxruntime for an .onnx.")
FLIP = Option("--flip", help="Average with the mirror image: better, half as fast.")
SCALES = Option(help="Average over sizes of the crop: pyranet, chu, or 0.8,1,1.2; slow.")
ROTATIONS = Option(help="Average over turned crops: --rotations=-15,15 (degrees).")
REFINEMENT = Option(
    help="How joints are placed more finely than a heatmap's cells: none, quarter, dark (by the "
    "curvature) or mass (by the mean about the peak); by default the model's own."
)
FINDER = Option(
    help="Find persons by this .safetensors (of a recipe of task: finder), not the bundled one."
)


@dataclass(frozen=True)
class EstimatorOptions:
    """What a command's user asked of the estimator; see `PoseEstimator`."""

    model: Annotated[str, MODEL] = "default"
    device: Annotated[str, DEVICE] = "auto"
    runtime: Annotated[Runtime, RUNTIME] = "auto"
    precision: Annotated[Precision, PRECISION] = "fp32"
    flip: Annotated[bool, FLIP] = False
    scales: Annotated[str | None, SCALES] = None
    rotations: Annotated[str | None, ROTATIONS] = None
    refinement: Annotated[str | None, REFINEMENT] = None
    finder: Annotated[Path | None, FINDER] = None

    def __post_init__(self) -> None:
        """Refuse values that are wrong usage, before anything is done."""
        if self.scales or self.rotations or self.refinement:
            from spcnet.codec import check_refinement
            from spcnet.inference.pyramid import parse_rotations, parse_scales

            try:
                parse_scales(self.scales)
                parse_rotations(self.rotations)
                check_refinement(self.refinement or "none")
            except UserError as error:
                raise BadParameter(str(error)) from None

    def open(self, detector: Path | None = None, **others: Any) -> "PoseEstimator":
        """The estimator, whose persons an ONNX detector finds if one is named."""
        from spcnet.inference.detectors import OnnxDetector, PersonDetector
        from spcnet.inference.estimator import PoseEstimator

        finder: PersonDetector | Path | None = self.finder and self.finder.expanduser()
        if detector is not None:
            finder = OnnxDetector(detector.expanduser(), device=self.device)
        return PoseEstimator(**vars(self) | {"finder": finder}, **others)


BY_DEFAULT = EstimatorOptions()


def with_estimator(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter `options` is made of the options above, where it stands."""
    shared = inspect.signature(EstimatorOptions).parameters
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        parameters += shared.values() if name == "options" else [parameter]

    @wraps(command)
    def called(*first: Any, **values: Any) -> None:
        asked = {name: values.pop(name) for name in shared if name in values}
        command(*first, **values, options=EstimatorOptions(**asked))

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called

"""One set of options for every command that predicts."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from spcnet.cli.completion import model_names
from spcnet.errors import UserError
from spcnet.runtime.contract import Precision, Runtime

if TYPE_CHECKING:
    from spcnet.inference.estimator import PoseEstimator


MODEL = typer.Option(
    help="A model with weights, a .safetensors, or an .onnx of spcnet export.",
    autocompletion=model_names,
)
DEVICE = typer.Option(
    help="auto, cpu, cuda, cuda:1, ...", autocompletion=lambda: ["auto", "cpu", "cuda", "mps"]
)
RUNTIME = typer.Option(help="What runs the network; auto: torch, or onnxruntime for an .onnx.")
PRECISION = typer.Option(
    help="Precision of the network; auto: bf16 where it is faster and finds the same; int8 "
    "is that of files of spcnet export --int8."
)
FLIP = typer.Option("--flip", help="Average with the mirror image: better, half as fast.")
SCALES = typer.Option(help="Average over sizes of the crop: pyranet, chu, or 0.8,1,1.2; slow.")
ROTATIONS = typer.Option(help="Average over turned crops: --rotations=-15,15 (degrees).")
REFINEMENT = typer.Option(
    help="Where in a heatmap a joint is: none, quarter, dark or mass; by default the model's own."
)
FINDER = typer.Option(
    help="Look for persons with this .safetensors (of a recipe of task: finder), not the bundled "
    "finder."
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

    def check(self) -> None:
        """Refuse values that are wrong usage, before anything is done."""
        if self.scales or self.rotations or self.refinement:
            from spcnet.codec import check_refinement
            from spcnet.inference.pyramid import parse_rotations, parse_scales

            try:
                parse_scales(self.scales)
                parse_rotations(self.rotations)
                check_refinement(self.refinement or "none")
            except UserError as error:
                raise typer.BadParameter(str(error)) from None

    def open(self, **others: Any) -> "PoseEstimator":
        """The estimator."""
        from spcnet.inference.estimator import PoseEstimator

        values = {each.name: getattr(self, each.name) for each in fields(self)}
        values["finder"] = self.finder and self.finder.expanduser()
        return PoseEstimator(**values, **others)


BY_DEFAULT = EstimatorOptions()


def with_estimator(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter `options` is made of the options above, where it stands."""
    hints = get_type_hints(command, include_extras=True)
    shared = inspect.signature(EstimatorOptions).parameters
    types = get_type_hints(EstimatorOptions, include_extras=True)
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name == "options":
            parameters += [each.replace(annotation=types[key]) for key, each in shared.items()]
        else:
            parameters.append(parameter.replace(annotation=hints[name]))

    @wraps(command)
    def called(*first: Any, **values: Any) -> None:
        asked = {name: values.pop(name) for name in shared if name in values}
        options = EstimatorOptions(**asked)
        options.check()
        command(*first, **values, options=options)

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called

"""One set of options for every command that predicts."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from spcnet.cli.completion import device_kinds, model_names
from spcnet.runtime.contract import Precision, Runtime

if TYPE_CHECKING:
    from spcnet.inference.estimator import PoseEstimator


def _wrong_usage_unless(check: Callable[[str], object]) -> Callable[[str | None], str | None]:
    """A callback by which a value that `check` refuses is wrong usage, before anything is done."""
    from spcnet.errors import UserError

    def called(value: str | None) -> str | None:
        if value is not None:
            try:
                check(value)
            except UserError as error:
                raise typer.BadParameter(str(error)) from None
        return value

    return called


def _check_scales(value: str) -> None:
    from spcnet.inference.pyramid import parse_scales

    parse_scales(value)


def _check_rotations(value: str) -> None:
    from spcnet.inference.pyramid import parse_rotations

    parse_rotations(value)


def _check_refinement(value: str) -> None:
    from spcnet.codec import check_refinement

    check_refinement(value)


MODEL = typer.Option(
    help="A model with weights, a .safetensors, or an .onnx of spcnet export.",
    autocompletion=model_names,
)
DEVICE = typer.Option(help="auto, cpu, cuda, cuda:1, ...", autocompletion=device_kinds)
RUNTIME = typer.Option(help="What runs the network; auto: torch, or onnxruntime for an .onnx.")
PRECISION = typer.Option(
    help="Precision of the network; auto: bf16 where it is faster and finds the same; int8 "
    "is that of files of spcnet export --int8."
)
FLIP = typer.Option("--flip", help="Average with the mirror image: better, half as fast.")
SCALES = typer.Option(
    help="Average over sizes of the crop: pyranet, chu, or 0.8,1,1.2; slow.",
    callback=_wrong_usage_unless(_check_scales),
)
ROTATIONS = typer.Option(
    help="Average over turned crops: --rotations=-15,15 (degrees).",
    callback=_wrong_usage_unless(_check_rotations),
)
REFINEMENT = typer.Option(
    help="Where in a heatmap a joint is: none, quarter, dark or mass; by default the model's own.",
    callback=_wrong_usage_unless(_check_refinement),
)
FINDER = typer.Option(
    help="Look for persons with this .safetensors (of a recipe of task: finder), not the bundled "
    "finder.",
    callback=lambda path: None if path is None else path.expanduser(),
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

    def open(self, **others: Any) -> "PoseEstimator":
        """The estimator.

        Raises:
            UserError: as of `PoseEstimator`.
        """
        from spcnet.inference.estimator import PoseEstimator

        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return PoseEstimator(**values, **others)


BY_DEFAULT = EstimatorOptions()


def with_estimator(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose parameter `options` is made of the options above, where it stands."""
    hints = get_type_hints(command, include_extras=True)
    shared = get_type_hints(EstimatorOptions, include_extras=True)
    named = {each.name: each.default for each in fields(EstimatorOptions)}
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name != "options":
            parameters.append(parameter.replace(annotation=hints[name]))
            continue
        parameters += [
            parameter.replace(name=each, default=default, annotation=shared[each])
            for each, default in named.items()
        ]

    @wraps(command)
    def called(*first: Any, **values: Any) -> None:
        asked = {name: values.pop(name) for name in named if name in values}
        command(*first, **values, options=EstimatorOptions(**asked))

    called.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    called.__annotations__ = {each.name: each.annotation for each in parameters}
    return called

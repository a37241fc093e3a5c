"""Options that several commands have."""

from collections.abc import Callable

import typer

from spcnet.cli.completion import dataset_names, device_kinds, model_names, skeleton_names
from spcnet.errors import UserError


def _wrong_usage_unless(check: Callable[[str], object]) -> Callable[[str | None], str | None]:
    """A callback by which a value that `check` refuses is wrong usage, before anything is done."""

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
TRAINED = typer.Option(help="A model with weights, or a .safetensors.", autocompletion=model_names)
DATASET = typer.Option(
    help="mpii, lsp, lspet, flic, coco (or own data so) or synthetic.",
    autocompletion=dataset_names,
)
ROOT = typer.Option(help="Folder of the data set.")
FLIP = typer.Option("--flip", help="Average with the mirror image: better, half as fast.")
SMOOTH = typer.Option("--smooth", help="Keep the joints from trembling (one-euro filter).")
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
BOX = typer.Option(
    help="A person's box x0,y0,x1,y1 in pixels, for every picture; may be repeated. "
    "Without boxes the bundled finder looks for persons."
)
FINDER = typer.Option(
    help="Look for persons with this .safetensors (of a recipe of task: finder), not the bundled "
    "finder.",
    callback=lambda path: None if path is None else path.expanduser(),
)
PEOPLE = typer.Option(help="Without boxes: one, the main person, or all.")
SKELETON = typer.Option(
    help="Joints of the results: lsp14, coco17, mpii16, ... as far as the model predicts them; by "
    "default all that it does.",
    autocompletion=skeleton_names,
)
BOXES = typer.Option(help="Person boxes by picture: a COCO-style JSON file.")
DEVICE = typer.Option(help="auto, cpu, cuda, cuda:1, ...", autocompletion=device_kinds)
RUNNER = typer.Option(
    help="auto, cpu, cuda, cuda:1, ...; or openvino, for an .onnx.", autocompletion=device_kinds
)
PRECISION = typer.Option(
    help="Precision of the network; auto: bf16 where it is faster and finds the same; int8 "
    "is that of files of spcnet export --int8."
)
FORCE = typer.Option("--force", help="Overwrite earlier results.")


def parse_box(text: str) -> list[float]:
    """Four numbers of ``x0,y0,x1,y1``.

    Raises:
        BadParameter: they are not four numbers.
    """
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(
            f"--box {text}: write it as x0,y0,x1,y1, such as 40,20,180,300"
        ) from None
    return [x0, y0, x1, y1]

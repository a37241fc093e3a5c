"""``spcnet export``: a model as one ONNX file, checked against torch."""

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import BadParameter, Option

from spcnet.cli.console import prepare_output, say
from spcnet.cli.options import DATASET, FORCE, ROOT, TRAINED
from spcnet.errors import UserError, needs_extra
from spcnet.files import replacing

if TYPE_CHECKING:
    from spcnet.codec import Codec
    from spcnet.geometry import Array

INT8_CROPS = 256
INT8_CHECK_CROPS = 16

OUTPUT = Option("--output", "-o", help="The .onnx file; by default MODEL.onnx.")
HEATMAPS = Option("--heatmaps", help="Give heatmaps, not keypoints: for --flip and the like.")
INT8 = Option("--int8", help="Quantise convolutions: half the size, faster.")
SPLIT = Option(help="Images that --int8 may look at; by default train.")


def export(
    model: Annotated[str, TRAINED] = "default",
    output: Annotated[Path | None, OUTPUT] = None,
    heatmaps: Annotated[bool, HEATMAPS] = False,
    int8: Annotated[bool, INT8] = False,
    dataset: Annotated[str | None, DATASET] = None,
    root: Annotated[Path | None, ROOT] = None,
    split: Annotated[str | None, SPLIT] = None,
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Write a model as one ONNX file, which needs nothing but onnxruntime.

    Its input is crops (N, S, S, 3) uint8, its outputs keypoints (N, K, 2) in crop pixels and scores
    (N, K): normalisation, decoding and calibration are in the graph, the model card in the file's
    metadata. It is compared with torch before it appears; docs/onnx.md shows how to run it.

    --int8 fits the scales of the activations on rendered figures, or better on training images of
    --dataset; never on those that the result is scored on.

    Example: spcnet export --model default -o default.onnx
    """
    if not int8 and (dataset or root or split):
        raise BadParameter("--dataset, --root and --split go with --int8")
    if output is not None and output.suffix != ".onnx":
        raise UserError(f"{output}: the file's name must end in .onnx")
    with needs_extra("onnx", "spcnet export"):
        for package in ("onnx", "onnxscript", "onnxruntime"):
            import_module(package)

    from spcnet.checkpoints import find_weights, load_checkpoint
    from spcnet.export.agreement import BATCHES, agreement
    from spcnet.export.graph import OPSET, trace
    from spcnet.export.onnx_file import OUTPUTS, Form, finish
    from spcnet.export.samples import check_crops

    path = find_weights(model)
    target = output or Path(f"{path.stem}.onnx")
    prepare_output([target], force=force)
    network, card = load_checkpoint(path)
    say(f"model {path.stem} ({card.variant}, {card.codec.input_size} px)")
    if int8:
        crops, seen, text = _int8_crops(card.codec, dataset or "synthetic", root, split or "train")
    say("tracing the network; a large one takes minutes")
    traced = trace(network, card)
    form: Form = "heatmaps" if heatmaps else "keypoints"
    finished = finish(traced, card, form)
    found = agreement(finished, network, card.codec, check_crops(card.codec))
    found.check()
    at = " and ".join(map(str, BATCHES))
    say(
        f"agrees with torch at batch {at}: heatmaps differ by {found.heatmaps:.1e} of their range, "
        f"{len(found.moved)} clear keypoints by at most {found.moved.max(initial=0.0):.1g} px"
    )
    if int8:
        from spcnet.export.quantise import quantise

        finished = finish(quantise(traced, crops), card, form, int8=text)
        _tell_moves(agreement(finished, network, card.codec, seen, batches=BATCHES[:1]).moved)
    with replacing(target) as partial:
        partial.write_bytes(finished.SerializeToString())
    size = target.stat().st_size / 1e6
    print(f"{target}: {' and '.join(OUTPUTS[form])}, {size:.1f} MB, opset {OPSET}")


def _int8_crops(
    codec: "Codec", name: str, root: Path | None, split: str
) -> "tuple[Array, Array, str]":
    """Crops to fit ranges on, others to see how far keypoints move, and whose crops they are."""
    import numpy as np

    from spcnet.data.datasets import default_crop, open_dataset
    from spcnet.export.samples import dataset_crops

    opened = open_dataset(name, root, split)
    if len(opened) < 2:
        raise UserError(f"{name} {split}: --int8 wants at least 2 persons, better 300")
    crops = dataset_crops(opened, codec, INT8_CROPS + INT8_CHECK_CROPS, crop=default_crop(name))
    every = max(2, len(crops) // INT8_CHECK_CROPS)
    seen = np.arange(len(crops)) % every == every - 1
    text = f"{(~seen).sum()} persons of {name} {split}"
    say(f"int8: ranges of {text}")
    return crops[~seen], crops[seen], text


def _tell_moves(moved: "Array") -> None:
    """How far quantisation moved keypoints, in a line."""
    import numpy as np

    if len(moved) == 0:
        say("int8: no keypoint is clear enough to say how far it moved")
        return
    median, most = np.quantile(moved, [0.5, 0.95])
    say(
        f"int8: {len(moved)} clear keypoints of other persons moved by {median:.2f} px in the "
        f"median, 95 % by less than {most:.2f} px, at most {moved.max():.1f} px"
    )

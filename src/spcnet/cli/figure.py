"""``spcnet figure``: the paper's figures of your own pictures and runs."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spcnet.cli.completion import model_names
from spcnet.cli.console import progress, say
from spcnet.cli.estimator_options import DEVICE, FLIP, MODEL
from spcnet.cli.figures import draw_runs, prepare_figure, save_figure, short_names
from spcnet.cli.options import BOX, BOXES, DATASET, FORCE, ROOT, parse_box
from spcnet.cli.prediction_options import (
    AXES,
    GROUND_TRUTH,
    INDEX_BASE,
    JOINTS,
    KEY,
    PREDICTIONS,
    PROTOCOL,
    SPLIT,
    read_both,
)
from spcnet.errors import UserError

if TYPE_CHECKING:
    from spcnet.geometry import Array
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.viz.panels import View

MOST_MODELS = 2
MOST_PERSONS = 100  # rows of one figure; a picture of many more could not be drawn

Images = Annotated[list[str], typer.Argument(help="Picture files.", show_default=False)]
Output = Annotated[
    Path,
    typer.Option(
        "--output", "-o", help="The figure; .png, .pdf or .svg decides the format.",
        show_default=False,
    ),
]  # fmt: skip
Box = Annotated[list[str] | None, BOX]
Boxes = Annotated[Path | None, BOXES]
Device = Annotated[str, DEVICE]
Force = Annotated[bool, FORCE]

app = typer.Typer(
    help="Draw the paper's figures of your own pictures and runs.",
    epilog="Example: spcnet figure panels photo.jpg -o panels.png",
    no_args_is_help=True,
)


@app.command("panels")
def panels(
    images: Images,
    output: Output,
    box: Box = None,
    boxes: Boxes = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A model with weights, or a .safetensors; twice to compare two. "
            "By default: default.",
            autocompletion=model_names,
        ),
    ] = None,
    flip: Annotated[bool, FLIP] = False,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Draw heatmaps and skeletons: one row per person, two columns per model (Figures 1, 5, 6).

    Joints' heatmaps are combined by their maximum. Left is orange, right is blue.

    Example: spcnet figure panels photo.jpg --box 40,20,180,300 -o panels.png
    """
    models = model or ["default"]
    if len(models) > MOST_MODELS:
        raise typer.BadParameter(f"at most {MOST_MODELS} models are compared, got {len(models)}")
    given = _read_given(box, boxes)
    prepare_figure(output, force=force)

    from spcnet.inference.estimator import PoseEstimator
    from spcnet.viz.panels import draw_panels

    estimators = [PoseEstimator(name, device=device, flip=flip) for name in models]
    for estimator in estimators:
        say(f"model {estimator.describe()}")
    rows = [
        [_view(estimator, person) for estimator in estimators]
        for person in _persons(images, given, estimators[0])
    ]
    save_figure(draw_panels(rows, short_names(models)), output)


@app.command("levels")
def levels(
    images: Images,
    output: Output,
    box: Box = None,
    boxes: Boxes = None,
    model: Annotated[
        str,
        typer.Option(
            help="A model with weights and a Selective Information Module.",
            autocompletion=model_names,
        ),
    ] = "default",
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Draw which level the network takes where: one row per person.

    The second column names the level of the largest weight by its colour, and by its opacity how
    far it leads; then follow the weights of every level. Sizes are in cells.

    Example: spcnet figure levels photo.jpg -o levels.png
    """
    given = _read_given(box, boxes)
    prepare_figure(output, force=force)

    import numpy as np

    from spcnet.inference.estimator import PoseEstimator
    from spcnet.inference.views import level_view
    from spcnet.models.summary import level_sizes
    from spcnet.viz.panels import draw_levels

    estimator = PoseEstimator(model, device=device)
    say(f"model {estimator.describe()}")
    # A network without levels is refused before anybody is looked for.
    estimator.attention(np.zeros((8, 8, 3), np.uint8), [0, 0, 7, 7])
    rows = [
        level_view(estimator, person.picture, pose)
        for person in _persons(images, given, estimator)
        for pose in estimator.predict(person.picture, [person.box], maps=True)
    ]
    sizes = level_sizes(estimator.network, input_size=estimator.codec.input_size)
    save_figure(draw_levels(rows, sizes), output)


@app.command("curves")
def curves(
    predictions: Annotated[Path, PREDICTIONS],
    protocol: Annotated[str, PROTOCOL],
    ground_truth: Annotated[Path, GROUND_TRUTH],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .png, .pdf or .svg.")],
    split: Annotated[str | None, SPLIT] = None,
    limit: Annotated[
        float | None, typer.Option(help="Largest threshold; by default the protocol's own.")
    ] = None,
    joints: Annotated[str | None, JOINTS] = None,
    index_base: Annotated[int | None, INDEX_BASE] = None,
    axes: Annotated[str | None, AXES] = None,
    key: Annotated[str | None, KEY] = None,
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Draw the share of correct joints over the threshold (Figure 7b).

    Example: spcnet figure curves p.npz --protocol lspet-pck --ground-truth joints.mat -o c.png
    """
    import numpy as np

    from spcnet.evaluation.scoring import curves_of_predictions
    from spcnet.metrics.protocols import find_rule
    from spcnet.viz.curves import draw_threshold_curves

    prepare_figure(output, force=force)
    highest = find_rule(protocol).threshold if limit is None else limit
    if not 0 < highest <= 100:
        raise UserError(f"--limit {highest}: wanted a number of reference lengths above 0")
    found, labels = read_both(
        predictions, ground_truth,
        split=split, index_base=index_base, axes=axes, key=key, joints=joints,
    )  # fmt: skip
    steps = np.linspace(0, highest, 51)
    result = curves_of_predictions(found, labels, protocol=protocol, thresholds=steps.tolist())
    lines = {**(result.parts or result.joints), "Mean": result.mean}
    title = f"{protocol}, {labels.name} {labels.split}, {result.persons} persons"
    figure = draw_threshold_curves(
        result.thresholds, lines, xlabel="largest error, in reference lengths", title=title
    )
    save_figure(figure, output)


@app.command("reliability")
def reliability(
    output: Output,
    model: Annotated[str, MODEL] = "default",
    dataset: Annotated[str, DATASET] = "lspet",
    root: Annotated[Path | None, ROOT] = None,
    split: Annotated[str | None, typer.Option(help="By default val or test.")] = None,
    device: Device = "auto",
    force: Force = False,
) -> None:
    """Draw how often joints of some score are right, by the data set's protocol.

    Prints the expected calibration error: how far, in points, scores and shares are apart.

    Example: spcnet figure reliability --root PATH/lspet -o reliability.png
    """
    from spcnet.calibration import reliability as count
    from spcnet.data.datasets import default_crop, default_protocol, default_split, open_dataset
    from spcnet.evaluation.calibrate import joint_outcomes
    from spcnet.evaluation.evaluate import evaluate
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.viz.curves import draw_reliability

    prepare_figure(output, force=force)
    opened = open_dataset(dataset, root, split or default_split(dataset, root))
    estimator = PoseEstimator(model, device=device)
    with progress("persons", len(opened)) as report:
        found = evaluate(
            estimator, opened, protocol=default_protocol(dataset), crop=default_crop(dataset),
            report=report,
        )  # fmt: skip
    bins = count(*joint_outcomes(found))
    text = f"{100 * bins.error:.1f} points apart on {int(bins.counts.sum())} joints"
    name = estimator.path.stem
    title = f"{name}, {found.score.protocol}, {opened.name} {opened.split}\n{text}"
    save_figure(draw_reliability(bins, title=title), output)
    print(f"{name}: scores and shares are {text}")


@app.command("epochs")
def epochs(
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders that spcnet train wrote, or their log.jsonl.", show_default=False
        ),
    ],
    output: Output,
    force: Force = False,
) -> None:
    """Draw the held-out scores of training runs over the epochs (Figure 7a).

    Example: spcnet figure epochs runs/a runs/b -o epochs.pdf
    """
    prepare_figure(output, force=force)
    save_figure(draw_runs(runs), output)


@dataclass(frozen=True)
class _Person:
    """RGB uint8 picture (H, W, 3), and the box (4,) of one person in it."""

    picture: "Array"
    box: "Array"


Given = Callable[[str], list[list[float]] | None]


def _read_given(box: list[str] | None, boxes: Path | None) -> Given:
    """The boxes that were given for a picture, by its path; None where there are none."""
    if box and boxes:
        raise typer.BadParameter("use either --box or --boxes, not both")
    if boxes:
        from spcnet.inference.box_files import read_boxes

        return read_boxes(boxes).of
    of_every_picture = [parse_box(text) for text in box or []] or None
    return lambda path: of_every_picture


def _persons(images: Sequence[str], given: Given, locator: "PoseEstimator") -> Iterator[_Person]:
    """Every person of every picture; where no boxes were given, the main one."""
    from spcnet.inference.people import check_boxes
    from spcnet.media.images import read_image

    count = 0
    with progress("pictures", len(images)) as report:
        for done, path in enumerate(images, start=1):
            picture = read_image(path)
            try:
                of_picture = given(path)
                if of_picture is None:
                    found = [pose.box for pose in locator.predict(picture)]
                else:
                    found = list(check_boxes(of_picture, picture.shape))
            except UserError as error:
                raise UserError(f"{path}: {error}") from None
            count += len(found)
            if count > MOST_PERSONS:
                raise UserError(f"more than {MOST_PERSONS} persons are too many for one figure")
            yield from (_Person(picture, one) for one in found)
            report(done)
    if not count:
        raise UserError("no person to draw: nobody was found in these pictures; --box gives one")


def _view(estimator: "PoseEstimator", person: _Person) -> "View":
    """What a model says of a person, in the pixels of a panel."""
    from spcnet.inference.views import view

    (pose,) = estimator.predict(person.picture, [person.box], maps=True)
    return view(estimator, person.picture, pose)

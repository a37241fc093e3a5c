"""``spcnet figure``: the paper's figures of your own pictures and runs."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, BadParameter, Option, Typer

from spcnet.cli import scoring
from spcnet.cli.completion import model_names
from spcnet.cli.console import prepare_figure, progress, save_figure, say
from spcnet.cli.estimator_options import FLIP
from spcnet.cli.options import BOX, BOXES, DATASET, DEVICE, FORCE, MODEL, ROOT, TRAINED
from spcnet.cli.parsing import parse_box
from spcnet.errors import UserError, counted
from spcnet.files import check_file

if TYPE_CHECKING:
    from spcnet.geometry import Array
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.inference.pose import Pose

MOST_PERSONS = 100  # rows of one figure; a picture of many more could not be drawn

IMAGES = Argument(help="Picture files.")
RUNS = Argument(help="Folders that spcnet train wrote, or their log.jsonl.")
FILES = Argument(help="Predicted joints: .mat, .h5, .npz or COCO .json; several are compared.")
OUTPUT = Option("--output", "-o", help="The figure; .png, .pdf or .svg is its format.")
MODELS = Option(help="With weights, or .safetensors; two are compared.", autocompletion=model_names)

app = Typer(
    help="Draw the paper's figures of your own pictures and runs.",
    epilog="Example: spcnet figure panels photo.jpg -o panels.png",
    no_args_is_help=True,
)


@app.command("panels")
def panels(
    images: Annotated[list[str], IMAGES],
    output: Annotated[Path, OUTPUT],
    box: Annotated[list[str] | None, BOX] = None,
    boxes: Annotated[Path | None, BOXES] = None,
    model: Annotated[list[str] | None, MODELS] = None,
    flip: Annotated[bool, FLIP] = False,
    device: Annotated[str, DEVICE] = "auto",
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Draw heatmaps and skeletons: one row per person, two columns per model (Figures 1, 5, 6).

    Joints' heatmaps are combined by their maximum. Left is orange, right is blue.

    Example: spcnet figure panels photo.jpg --box 40,20,180,300 -o panels.png
    """
    models = model or ["default"]
    if len(models) > 2:
        raise BadParameter(f"at most 2 models are compared, got {len(models)}")
    given = _read_given(images, box, boxes)
    prepare_figure(output, force=force)

    from spcnet.evaluation.training_curves import short_names
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.inference.views import view
    from spcnet.viz.panels import draw_panels

    estimators = [PoseEstimator(name, device=device, flip=flip) for name in models]
    rows = [
        [view(picture, pose) for pose in poses]
        for picture, poses in _persons(images, given, estimators)
    ]
    save_figure(draw_panels(rows, short_names(models)), output)


@app.command("levels")
def levels(
    images: Annotated[list[str], IMAGES],
    output: Annotated[Path, OUTPUT],
    box: Annotated[list[str] | None, BOX] = None,
    boxes: Annotated[Path | None, BOXES] = None,
    model: Annotated[str, TRAINED] = "default",
    device: Annotated[str, DEVICE] = "auto",
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Draw which level a network with a Selective Information Module takes where, person by person.

    The second column names the level of the largest weight by its colour, and by its opacity how
    far it leads; then follow the weights of every level. Sizes are in cells.

    Example: spcnet figure levels photo.jpg -o levels.png
    """
    given = _read_given(images, box, boxes)
    prepare_figure(output, force=force)

    from spcnet.inference.estimator import PoseEstimator
    from spcnet.inference.views import level_view
    from spcnet.models.summary import level_sizes
    from spcnet.viz.panels import draw_levels

    estimator = PoseEstimator(model, device=device)
    if not estimator.backend.gives_heatmaps:
        raise estimator.backend.without_attention()
    rows = [
        level_view(estimator, picture, pose)
        for picture, (pose,) in _persons(images, given, [estimator])
    ]
    sizes = level_sizes(estimator.network, input_size=estimator.codec.input_size)
    save_figure(draw_levels(rows, sizes), output)


@app.command("curves")
def curves(
    predictions: Annotated[list[Path], FILES],
    protocol: Annotated[str, scoring.PROTOCOL],
    ground_truth: Annotated[Path, scoring.GROUND_TRUTH],
    output: Annotated[Path, OUTPUT],
    split: Annotated[str | None, scoring.SPLIT] = None,
    joints: Annotated[str | None, scoring.JOINTS] = None,
    index_base: Annotated[int | None, scoring.INDEX_BASE] = None,
    axes: Annotated[str | None, scoring.AXES] = None,
    key: Annotated[str | None, scoring.KEY] = None,
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Draw the share of correct joints over thresholds up to the protocol's (Figure 7b).

    Of one file each part of the body has a curve, of several each file its mean.

    Example: spcnet figure curves p.npz --protocol lspet-pck --ground-truth joints.mat -o c.png
    """
    import numpy as np

    from spcnet.evaluation.scoring import curves_of_predictions
    from spcnet.evaluation.training_curves import short_names
    from spcnet.metrics.protocols import find_rule
    from spcnet.viz.curves import draw_threshold_curves

    prepare_figure(output, force=force)
    steps = np.linspace(0, find_rule(protocol).threshold, 51).tolist()
    results = []
    for path in predictions:
        found, labels = scoring.read_both(
            path, ground_truth,
            split=split, index_base=index_base, axes=axes, key=key, joints=joints,
        )  # fmt: skip
        results.append(curves_of_predictions(found, labels, protocol=protocol, thresholds=steps))
    result = results[0]
    lines = {**(result.parts or result.joints), "Mean": result.mean}
    if len(results) > 1:
        names = short_names([str(path) for path in predictions])
        lines = {name: each.mean for name, each in zip(names, results, strict=True)}
    title = f"{protocol}, {labels.name} {labels.split}, {counted(result.persons, 'person')}"
    figure = draw_threshold_curves(
        result.thresholds, lines, xlabel="largest error, in reference lengths", title=title
    )
    save_figure(figure, output)


@app.command("angles")
def angles(
    table: Annotated[Path, Argument(help="A table of --save angles, or a video's JSON.")],
    output: Annotated[Path, OUTPUT],
    angle: Annotated[
        list[str] | None, Option(help="By default the joints' and the trunk's.")
    ] = None,
    person: Annotated[int, Option(min=0, help="By the table's numbers.")] = 0,
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Draw a person's angles over time, each with the interval that holds nine of ten.

    Example: spcnet figure angles poses/dance.pose.angles.csv -o angles.png --angle left_knee
    """
    import dataclasses

    from spcnet.angles import JOINT_ANGLES
    from spcnet.inference.result_files import result_angles
    from spcnet.tables import read_angles
    from spcnet.viz.angle_curves import draw_angle_curves

    prepare_figure(output, force=force)
    read = result_angles if table.suffix.lower() in (".json", ".gz") else read_angles
    times, found = read(table, person)
    wanted = [name for text in angle or [] for name in text.split(",")] or [
        name for name in found.names if name in JOINT_ANGLES or name == "trunk"
    ]
    if missing := set(wanted) - set(found.names):
        raise UserError(
            f"--angle {sorted(missing)[0]}: not in {table}; there are {', '.join(found.names)}"
        )
    chosen = [found.names.index(name) for name in wanted]
    values = {f.name: getattr(found, f.name)[:, chosen] for f in dataclasses.fields(found)[1:]}
    found = type(found)(tuple(wanted), **values)
    save_figure(draw_angle_curves(times, found, title=f"{table.name}, person {person}"), output)


@app.command("reliability")
def reliability(
    output: Annotated[Path, OUTPUT],
    model: Annotated[str, MODEL] = "default",
    dataset: Annotated[str, DATASET] = "lspet",
    root: Annotated[Path | None, ROOT] = None,
    split: Annotated[str | None, scoring.PERSONS] = None,
    device: Annotated[str, DEVICE] = "auto",
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Draw how often joints of some score are right, by the data set's protocol.

    Prints the expected calibration error: how far, in points, scores and shares are apart.

    Example: spcnet figure reliability --root PATH/lspet -o reliability.png
    """
    from spcnet.calibration import reliability as count
    from spcnet.data.datasets import default_split, open_dataset
    from spcnet.evaluation.calibrate import joint_outcomes
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.viz.curves import draw_reliability

    prepare_figure(output, force=force)
    opened = open_dataset(dataset, root, split or default_split(dataset, root))
    estimator = PoseEstimator(model, device=device)
    found = scoring.evaluate_persons(estimator, opened, dataset)
    bins = count(*joint_outcomes(found))
    text = f"{100 * bins.error:.1f} points apart on {counted(int(bins.counts.sum()), 'joint')}"
    name = estimator.path.stem
    title = f"{name}, {found.score.protocol}, {opened.name} {opened.split}\n{text}"
    save_figure(draw_reliability(bins, title=title), output)
    print(f"{name}: scores and shares are {text}")


@app.command("epochs")
def epochs(
    runs: Annotated[list[Path], RUNS],
    output: Annotated[Path, OUTPUT],
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Draw the held-out scores of training runs over the epochs (Figure 7a).

    Example: spcnet figure epochs runs/a runs/b -o epochs.pdf
    """
    from spcnet.evaluation.training_curves import draw_runs

    prepare_figure(output, force=force)
    save_figure(draw_runs(runs), output)


Given = Callable[[str], list[list[float]] | None]


def _read_given(images: Sequence[str], box: list[str] | None, boxes: Path | None) -> Given:
    """The boxes given for a picture, by its path, None where there are none; pictures are there."""
    for path in images:
        check_file(Path(path))
    if box and boxes:
        raise BadParameter("use either --box or --boxes, not both")
    if boxes:
        from spcnet.inference.box_files import read_boxes

        return read_boxes(boxes).of
    of_every_picture = [parse_box(text) for text in box or []] or None
    return lambda path: of_every_picture


def _persons(
    images: Sequence[str], given: Given, estimators: "Sequence[PoseEstimator]"
) -> "Iterator[tuple[Array, tuple[Pose, ...]]]":
    """Every person's picture, and pose by each model; where no boxes were given, the main one's."""
    from spcnet.media.images import read_image

    for estimator in estimators:
        say(f"model {estimator.describe()}")
    count = 0
    with progress("pictures", len(images)) as report:
        for done, path in enumerate(images, start=1):
            picture = read_image(path)
            try:
                boxes = given(path)
                if boxes is None:
                    boxes = [pose.box.tolist() for pose in estimators[0].predict(picture)]
                count += len(boxes)
                if count > MOST_PERSONS:
                    raise UserError(f"more than {MOST_PERSONS} persons are too many for a figure")
                found = [each.predict(picture, boxes, maps=True) for each in estimators]
            except UserError as error:
                raise UserError(f"{path}: {error}") from None
            yield from ((picture, poses) for poses in zip(*found, strict=True))
            report(done)
    if not count:
        raise UserError("no person to draw: nobody was found in these pictures; --box gives one")

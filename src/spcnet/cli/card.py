"""``spcnet card``: a model card, from the checkpoint and an evaluation made for it."""

import heapq
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spcnet.cli.console import prepare_output, progress, replacing, say
from spcnet.cli.estimator_options import DEVICE, MODEL
from spcnet.cli.options import DATASET, FORCE, ROOT
from spcnet.errors import UserError
from spcnet.files import picture_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spcnet.cli.card_page import Tested
    from spcnet.geometry import Array
    from spcnet.inference.estimator import PoseEstimator

FAILURES = 6
OFF = 0.08  # of the crop's side: an error that anyone sees
TILE = 256  # side of a failure's picture, pixels


def card(
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="The page, a .md; its pictures go to images/ beside."),
    ],
    model: Annotated[str, MODEL] = "default",
    dataset: Annotated[str, DATASET] = "lspet",
    root: Annotated[Path | None, ROOT] = None,
    split: Annotated[
        str | None,
        typer.Option(help="Persons the model never saw; by default val or test."),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            help="Score on these persons too, one line each: DATASET:ROOT:SPLIT; may be repeated."
        ),
    ] = None,
    rotations: Annotated[
        str, typer.Option(help="The turned crops of the strongest test (degrees).")
    ] = "-15,15",
    runs: Annotated[
        list[Path] | None,
        typer.Option("--run", help="A training run, for its curve; may be repeated."),
    ] = None,
    pictures: Annotated[
        Path | None,
        typer.Option(
            help="Labels (COCO JSON) of pictures that may be shown: the worst of them are."
        ),
    ] = None,
    turns: Annotated[int, typer.Option(min=1, help="Turns of the timing.")] = 50,
    device: Annotated[str, DEVICE] = "auto",
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Test a model and write its card: scores, sizes, speed, training, what it fails on.

    Example: spcnet card --root PATH/lspet --run runs/mine -o card.md
    """
    from spcnet.calibration import auroc, reliability
    from spcnet.cli.card_page import Measured, write_page
    from spcnet.cli.figures import draw_runs
    from spcnet.data.datasets import default_protocol, default_split, open_dataset
    from spcnet.evaluation.calibrate import joint_outcomes, presence
    from spcnet.evaluation.overlap import learned_from
    from spcnet.evaluation.sources import evaluate_sources, parse_source
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.viz.curves import draw_reliability

    if output.suffix != ".md":
        raise UserError(f"{output}: the page is Markdown; let its name end in .md")
    name = model if not model.endswith(".safetensors") else Path(model).stem
    folder = output.parent / "images"
    kinds = ["reliability", *(["epochs"] if runs else []), *(["failures"] if pictures else [])]
    images = {kind: folder / f"{name}-{kind}.png" for kind in kinds}
    prepare_output([output, *images.values()], force=force)
    # What may be wrong with the arguments is found before minutes of measuring.
    curves = {"epochs": draw_runs(runs)} if runs else {}
    chosen = [parse_source(text) for text in source or []]

    split = split or default_split(dataset, root)
    opened = open_dataset(dataset, root, split)
    protocol = default_protocol(dataset)
    plain = PoseEstimator(model, device=device)
    seen = learned_from(plain.card.training, opened, root)
    if seen.shared:
        raise UserError(
            f"--split {split}: the model learned from {len(seen.shared)} of its pictures, such as "
            f"{seen.shared[0]}; name pictures that are new to it"
        )
    mirrored = PoseEstimator(model, device=device, flip=True)
    turned = PoseEstimator(model, device=device, flip=True, rotations=rotations)
    tests: list[Tested] = []
    for estimator in (plain, mirrored, turned):
        tests.append(_test(estimator, dataset, root, split, protocol))
    sources = {
        str(estimator.testing): [scored.group for scored in evaluate_sources(estimator, chosen)]
        for estimator in (plain, mirrored)
        if chosen
    }
    scores, right = joint_outcomes(tests[0].found)
    bins = reliability(scores, right)
    with progress("persons, their pictures cut at the hips", len(opened)) as report:
        there = presence(plain, opened, report=report)

    title = f"{name}, {protocol}, {opened.name} {opened.split}"
    drawn: dict[str, Figure | Array] = {
        "reliability": draw_reliability(bins, title=title),
        **curves,
    }
    if pictures:
        drawn["failures"] = _failures(plain, pictures)
    for kind, path in images.items():
        _save(drawn[kind], path)
    measured = Measured(
        name=name,
        estimator=plain,
        tests=tests,
        sources=sources,
        unseen=seen.known,
        milliseconds=_latency(plain, turns),
        reliability_error=bins.error,
        auroc=auroc(*there),
        images={kind: path.relative_to(output.parent).as_posix() for kind, path in images.items()},
    )
    with replacing(output) as partial:
        partial.write_text(write_page(measured))
    say(f"card -> {output}")


def _test(
    estimator: "PoseEstimator", dataset: str, root: Path | None, split: str, protocol: str
) -> "Tested":
    from spcnet.cli.card_page import Tested
    from spcnet.data.datasets import default_crop, open_dataset
    from spcnet.evaluation.evaluate import evaluate
    from spcnet.metrics.breakdown import score_by_torso

    opened = open_dataset(dataset, root, split)
    with progress(f"persons, {estimator.testing}", len(opened)) as report:
        found = evaluate(
            estimator, opened, protocol=protocol, crop=default_crop(dataset), report=report
        )
    return Tested(str(estimator.testing), found, score_by_torso(*found.judged()))


def _latency(estimator: "PoseEstimator", turns: int) -> dict[str, float]:
    from spcnet.bench.inference import latency

    with progress("turns of timing", turns + 1) as report:
        return latency(estimator, turns=turns, report=report)


def _failures(estimator: "PoseEstimator", labels: Path) -> "Array":
    """The pictures with the largest errors, the joints that were found over them."""
    import numpy as np

    from spcnet.codec import square_of_box
    from spcnet.data.datasets import open_pictures
    from spcnet.evaluation.evaluate import predict_dataset
    from spcnet.geometry import apply_affine, crop_affine
    from spcnet.media.crops import extract_crop
    from spcnet.viz.contact_sheet import contact_sheet, draw_labels

    opened = open_pictures("coco", labels, "all")
    points, _, persons = predict_dataset(estimator, opened)
    skeleton = estimator.skeleton
    pairs = [
        (n, opened.skeleton.index(joint))
        for n, joint in enumerate(skeleton.joints)
        if joint in opened.skeleton.joints
    ]
    errors: list[dict[str, float]] = []
    for found, person in zip(points, persons, strict=True):
        side = square_of_box(person.box)[1]
        errors.append(
            {
                skeleton.joints[n]: float(np.hypot(*(found[n] - person.points[there]))) / side
                for n, there in pairs
                if person.annotated[there]
            }
        )
    means = {row: float(np.mean(list(each.values()))) for row, each in enumerate(errors) if each}
    worst = heapq.nlargest(FAILURES, means, key=lambda row: means[row])
    everywhere = np.ones(len(skeleton), dtype=bool)
    tiles = {}
    for row, (image, person) in enumerate(opened.samples()):
        if row in worst:
            affine = crop_affine(*square_of_box(person.box), TILE)
            tiles[row] = draw_labels(
                extract_crop(image, affine, TILE), apply_affine(affine, points[row]),
                everywhere, everywhere, skeleton,
            )  # fmt: skip
    captions = []
    for row in worst:
        off = [joint.replace("_", " ") for joint, error in errors[row].items() if error > OFF]
        captions.append((persons[row].image, ", ".join(off) or "all joints right"))
    return contact_sheet(
        [tiles[row] for row in worst],
        captions,
        columns=3,
        title=f"joints that {estimator.path.stem} found; under each, those that are off",
    )


def _save(drawn: "Figure | Array", path: Path) -> None:
    from matplotlib.figure import Figure
    from PIL import Image

    with replacing(path) as partial:
        if isinstance(drawn, Figure):
            partial.write_bytes(picture_bytes(drawn, "png"))
        else:
            partial.write_bytes(picture_bytes(Image.fromarray(drawn), "png", optimize=True))

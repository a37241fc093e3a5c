"""``spcnet card``: a model card, from the checkpoint and an evaluation made for it."""

from pathlib import Path
from typing import Annotated, Any

from typer import Option

from spcnet.cli import scoring
from spcnet.cli.console import prepare_output, progress, replacing, save_figure, say
from spcnet.cli.options import DATASET, DEVICE, FORCE, MODEL, ROOT
from spcnet.errors import UserError

OUTPUT = Option("--output", "-o", help="The page, a .md; its pictures go to images/ beside.")
ROTATIONS = Option(help="The turned crops of the strongest test (degrees).")
RUNS = Option("--run", help="A training run, for its curve; may be repeated.")
PICTURES = Option(help="Labels (COCO JSON) of pictures that may be shown: the worst of them are.")


def card(
    output: Annotated[Path, OUTPUT],
    model: Annotated[str, MODEL] = "default",
    dataset: Annotated[str, DATASET] = "lspet",
    root: Annotated[Path | None, ROOT] = None,
    split: Annotated[str | None, scoring.PERSONS] = None,
    source: Annotated[list[str] | None, scoring.SOURCE] = None,
    rotations: Annotated[str, ROTATIONS] = "-15,15",
    runs: Annotated[list[Path] | None, RUNS] = None,
    pictures: Annotated[Path | None, PICTURES] = None,
    turns: Annotated[int, Option(min=1, help="Turns of the timing.")] = 50,
    device: Annotated[str, DEVICE] = "auto",
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Test a model and write its card: scores, sizes, speed, training, what it fails on.

    Example: spcnet card --root PATH/lspet --run runs/mine -o card.md
    """
    from spcnet.calibration import auroc, reliability
    from spcnet.cli.card_page import write_page
    from spcnet.data.datasets import default_split, open_dataset
    from spcnet.evaluation.calibrate import joint_outcomes, presence
    from spcnet.evaluation.sources import evaluate_sources, parse_source
    from spcnet.evaluation.speed import measure_speed
    from spcnet.evaluation.training_curves import draw_runs
    from spcnet.evaluation.worst import draw_worst
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.viz.curves import draw_reliability

    if output.suffix != ".md":
        raise UserError(f"{output}: the page is Markdown; let its name end in .md")
    name = Path(model).name.removesuffix(".safetensors")
    wanted = {"reliability": True, "epochs": runs, "failures": pictures}
    images = {kind: f"images/{name}-{kind}.png" for kind, given in wanted.items() if given}
    files = {kind: output.parent / image for kind, image in images.items()}
    prepare_output([output, *files.values()], force=force)
    drawn: dict[str, Any] = {}
    # What may be wrong with the arguments is found before minutes of measuring.
    if runs:
        drawn["epochs"] = draw_runs(runs)
    chosen = [parse_source(text) for text in source or []]
    opened = open_dataset(dataset, root, split := split or default_split(dataset, root))
    plain = PoseEstimator(model, device=device)
    known = scoring.refuse_learned(plain, opened, root, f"--split {split}")
    mirrored = PoseEstimator(model, device=device, flip=True)
    turned = PoseEstimator(model, device=device, flip=True, rotations=rotations)
    tests = {
        str(estimator.testing): scoring.evaluate_persons(estimator, opened, dataset)
        for estimator in (plain, mirrored, turned)
    }
    sources = {
        str(estimator.testing): [scored.group for scored in evaluate_sources(estimator, chosen)]
        for estimator in (plain, mirrored)
        if chosen
    }
    first = next(iter(tests.values()))
    bins = reliability(*joint_outcomes(first))
    with progress("persons, their pictures cut at the hips", len(opened)) as report:
        there = presence(plain, opened, report=report)
    title = f"{name}, {first.score.protocol}, {opened.name} {opened.split}"
    drawn["reliability"] = draw_reliability(bins, title=title)
    if pictures:
        drawn["failures"] = draw_worst(plain, pictures)
    with progress("turns of timing", turns + 1) as report:
        speed = measure_speed({name: plain}, turns=turns, report=report)[name]
    for kind, path in files.items():
        save_figure(drawn[kind], path, say=say)
    page = write_page(
        name, plain, tests, sources, known=known, milliseconds=speed.crop,
        reliability_error=bins.error, auroc=auroc(*there), images=images,
    )  # fmt: skip
    with replacing(output) as partial:
        partial.write_bytes(page.encode(errors="backslashreplace"))
    say(f"card -> {output}")

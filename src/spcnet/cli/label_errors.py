"""``spcnet data errors``: labels that are probably wrong, shown and corrected."""

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, BadParameter, Option

from spcnet.cli.completion import photograph_sets
from spcnet.cli.console import prepare_output, progress, say, table
from spcnet.cli.options import DEVICE, FORCE, MODEL, ROOT
from spcnet.errors import UserError, counted
from spcnet.files import output_folder, refuse_existing, replacing

if TYPE_CHECKING:
    from spcnet.data.annotations import AnnotatedPictures
    from spcnet.evaluation.label_errors import Beliefs

DATASET = Argument(help="mpii, lsp, lspet, flic or coco.", autocompletion=photograph_sets)
OUTPUT = Option(
    "--output", "-o", help="Folder for errors.json and index.html, or with --apply a file."
)
FOLD = Option(help="MODEL:SPLIT, a model that did not learn from this split; may be repeated.")
SPLIT = Option(help="A split, or numbers such as 1-500; by default val or test.")
APPLY = Option(help="Carry out the decisions that the page saved, and write a COCO file.")


def errors(
    output: Annotated[Path, OUTPUT],
    dataset: Annotated[str | None, DATASET] = None,
    root: Annotated[Path | None, ROOT] = None,
    split: Annotated[str | None, SPLIT] = None,
    model: Annotated[str, MODEL] = "default",
    fold: Annotated[list[str] | None, FOLD] = None,
    device: Annotated[str, DEVICE] = "auto",
    limit: Annotated[int, Option(min=1, help="Most rows.")] = 200,
    apply: Annotated[Path | None, APPLY] = None,
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Find labels that are probably wrong: rank them by what a model sees, and show them.

    A model that learned from the labels agrees with them. Train two, each on one half, and have
    each judge the other's half: --fold a.safetensors:501-1000 --fold b.safetensors:1-500.

    Example: spcnet data errors lspet --root PATH/lspet --split 7761-8060 -o wrong

    Example: spcnet data errors --apply decisions.json --root labels.json -o corrected.json
    """
    if apply is not None:
        if dataset or split or fold:
            raise BadParameter("--apply goes without a data set, --split and --fold: it names them")
        _apply(apply, root, output, force=force)
        return
    if dataset is None:
        raise BadParameter("name a data set, such as coco, or --apply decisions.json")
    if fold and (split or model != "default"):
        raise BadParameter("--fold names models and splits; leave --model and --split out")
    from spcnet.data.datasets import default_protocol, default_split
    from spcnet.evaluation.label_errors import find_errors
    from spcnet.evaluation.label_views import label_cases
    from spcnet.viz.label_page import label_page

    paths = output / "errors.json", output / "index.html"
    if not force:
        refuse_existing(paths)
    folds = [_fold(text) for text in fold or ()]
    folds = folds or [(model, split or default_split(dataset, root))]
    with output_folder(output):  # what is wrong with it is said before minutes of judging
        labels, beliefs = _judge(folds, dataset, root, device)
    prepare_output(paths, force=force)
    found = find_errors(labels, beliefs, default_protocol(dataset))
    rows = [asdict(suspect) for suspect in found[:limit]]
    document = {"dataset": dataset, "splits": [of for _, of in folds], "rows": rows}
    cases = label_cases(labels, beliefs, found[:limit], dataset)
    joints = sum(int(person.annotated.sum()) for person in labels.annotations)
    note = (
        f"{len(rows)} of {counted(len(found), 'suspicious label')}; {counted(joints, 'label')} of "
        f"{counted(len(labels), 'person')}, judged by {', '.join(name for name, _ in folds)}"
    )
    page = label_page(cases, document, title=f"{dataset} {labels.split}: wrong labels", note=note)
    for path, text in zip(paths, (json.dumps(document, indent=1) + "\n", page), strict=True):
        with replacing(path) as partial:
            partial.write_bytes(text.encode(errors="backslashreplace"))
    kinds = Counter(suspect.kind for suspect in found)
    if kinds:
        print(table([{"Kind": kind, "Labels": n} for kind, n in kinds.items()], right=["Labels"]))
    say(note)
    print(paths[1])


def _fold(text: str) -> tuple[str, str]:
    model, _, split = text.rpartition(":")
    if not (model and split):
        raise UserError(f"--fold {text}: write MODEL:SPLIT, such as a.safetensors:1-500")
    return model, split


def _judge(
    folds: list[tuple[str, str]], dataset: str, root: Path | None, device: str
) -> "tuple[AnnotatedPictures, Beliefs]":
    """All persons of the folds, and what each fold's model says of its own."""
    from spcnet.data.datasets import default_crop, default_protocol
    from spcnet.evaluation.label_errors import believe, join_beliefs, join_folds, reaches
    from spcnet.evaluation.overlap import learned_from
    from spcnet.evaluation.sources import Source
    from spcnet.inference.estimator import PoseEstimator

    if root is None:
        raise UserError(f"data set {dataset!r} needs its folder: --root PATH")
    parts = [Source(dataset, str(root.expanduser()), split).open() for _, split in folds]
    everyone, seen = join_folds(parts), []
    for (name, _), labels in zip(folds, parts, strict=True):
        estimator = PoseEstimator(name, device=device)
        learned = learned_from(estimator.card.training, labels, root)
        if learned.shared:
            say(
                f"warning: {name} learned from {len(learned.shared)} of these pictures, such as "
                f"{learned.shared[0]}; a model agrees with labels that it learned from: judge each "
                "part by a model of the others, --fold MODEL:SPLIT"
            )
        elif not learned.known:
            say(f"warning: what {name} learned from is not known in full; see --fold")
        reach, _, _ = reaches(labels, default_protocol(dataset))
        with progress("persons", len(labels)) as report:
            crop = default_crop(dataset)
            seen.append(believe(estimator, labels, reach, crop=crop, report=report))
    return everyone, join_beliefs(seen)


def _apply(decisions: Path, root: Path | None, output: Path, *, force: bool) -> None:
    """Write the labels with the accepted rows carried out."""
    from spcnet.data.corrections import REMEDIES, corrected

    if root is None:
        raise UserError("--apply needs the labels that were judged: --root LABELS.json")
    prepare_output([output], force=force)
    document, rows = corrected(decisions, root.expanduser())
    with replacing(output) as partial:
        partial.write_text(json.dumps(document) + "\n", encoding="utf-8")
    counts = [f"{sum(row['remedy'] == of for row in rows)} {of}" for of in REMEDIES]
    print(f"{output}: {counted(len(rows), 'row')} carried out: {', '.join(counts)}")

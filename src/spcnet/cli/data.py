"""``spcnet data``: check, browse and pack data sets; labels of tools, files of results."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Annotated

from typer import Argument, BadParameter, Exit, Option, Typer

from spcnet.cli import label_errors
from spcnet.cli.completion import dataset_names, label_formats, photograph_sets
from spcnet.cli.console import prepare_output, progress, save_figure, say, table
from spcnet.cli.options import AS_JSON, FORCE, ROOT
from spcnet.cli.scoring import CROP, PERSONS
from spcnet.errors import UserError, counted
from spcnet.files import picture_bytes, replacing, whole_folder
from spcnet.skeletons import LSP14, Skeleton
from spcnet.viz.contact_page import Entry, contact_page

if TYPE_CHECKING:
    from spcnet.data.annotations import Annotation, Dataset
    from spcnet.data.inspection import Finding, Inspection
    from spcnet.data.regions import Region
    from spcnet.geometry import Array

TILE = 256  # side of a thumbnail
MOST_TILES = 600  # more make a sheet that few programs open
WIDTH = 100  # of a report

app = Typer(
    help="Check, browse and pack data sets; convert labels and results.",
    epilog="Example: spcnet data check lspet --root PATH/lspet",
    no_args_is_help=True,
)

PHOTOGRAPHS = Argument(help="mpii, lsp, lspet, flic or coco.", autocompletion=photograph_sets)
ANY_SET = Argument(help="mpii, lsp, lspet, flic, coco or synthetic.", autocompletion=dataset_names)
SPLITS = Option(help="A split; may be repeated. By default all whose labels are there.")
PACKED = Option(
    help="The data set's own, such as train or val2017; of lsp, lspet and synthetic also 1-500."
)
FAST = Option("--fast", help="Read the pictures' headers only, not their pixels.")
TO = Option(
    help="Labels: coco, yolo, cvat, label-studio, labelme, dlc or sleap.",
    autocompletion=label_formats,
)
FROM = Option("--from", help="Read labels as this format.", autocompletion=label_formats)
RANDOM = Option(min=0, metavar="SEED", help="Draw persons by this seed instead.")

app.command("errors")(label_errors.errors)


@app.command("check")
def check(
    dataset: Annotated[str, PHOTOGRAPHS],
    root: Annotated[Path | None, ROOT] = None,
    split: Annotated[list[str] | None, SPLITS] = None,
    fast: Annotated[bool, FAST] = False,
    as_json: Annotated[bool, AS_JSON] = False,
) -> None:
    """Tell what a data set's folder holds, and what is missing, broken or odd.

    A file or folder of your own is named by its path alone; of another tool's labels, which are
    recognised, the command that converts them is printed too.

    Exit status 0 if it can be used, 1 if pictures are missing or cannot be read, labels cannot be
    read or persons are too many or too few.

    Example: spcnet data check lspet --root PATH/lspet
    """
    from spcnet.data.datasets import DATASETS
    from spcnet.data.inspection import inspect_folder, read_folder

    if root is None and not DATASETS.knows(dataset) and Path(dataset).exists():
        dataset, root = "coco", Path(dataset)
    labels = read_folder(dataset, root, split or ())
    with progress("opening pictures", len(labels.pictures)) as report:
        found = inspect_folder(labels, fast=fast, report=report)
    print(json.dumps(found.to_dict()) if as_json else _report(found))
    if labels.form:
        say(f"To train on them, first: spcnet data convert {labels.root} -o FOLDER --to coco")
    if not found.usable:
        raise Exit(1)


def _report(found: "Inspection") -> str:
    rows = []
    for row in found.splits:
        counts = {"persons": row.persons, "release has": row.expected, "pictures": row.pictures}
        counts |= {"missing": row.missing, "unreadable": row.unreadable}
        shown = {name: "-" if n is None else f"{n:,}" for name, n in counts.items()}
        rows.append({"split": row.split, **shown})
    blocks = [f"{found.title} in {found.root}", table(rows, right=list(rows[0])[1:])]
    if found.absent:
        blocks.append("\n".join(f"no {split}: {why}" for split, why in found.absent.items()))
    for heading, problem in (("Problems", True), ("Worth knowing", False)):
        if texts := [_finding_text(each) for each in found.findings if each.problem is problem]:
            blocks.append("\n".join([heading, *texts]))
    sources = (f"Terms  {found.terms}", f"Cite   {found.citation}")
    blocks.append("\n".join(fill(text, WIDTH, subsequent_indent=" " * 7) for text in sources))
    read = "every picture that is there was decoded"
    if not any(row.pictures - row.missing for row in found.splits):
        read = "no picture was there to be read"
    elif found.fast:
        read = "of the pictures, only the headers were read"
    verdict = "Can be used" if found.usable else "Cannot be used as it is"
    return "\n\n".join([*blocks, f"{verdict}; {read}."])


def _finding_text(finding: "Finding") -> str:
    many = f"{finding.count:,} of {finding.of:,}"
    if finding.count < finding.of >= 100:
        many += f" ({100 * finding.count / finding.of:.2f} %)"
    line = "; ".join(filter(None, [f"{finding.text}: {many}", finding.note]))
    wrapped = fill(
        "- " + line, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
    rest = finding.count - len(finding.examples)
    return "\n    ".join([wrapped, *finding.examples, *[f"and {rest:,} more"] * (rest > 0)])


@app.command("browse")
def browse(
    dataset: Annotated[str, ANY_SET],
    output: Annotated[Path, Option("--output", "-o", help="Folder for sheet.png and index.html.")],
    root: Annotated[Path | None, ROOT] = None,
    split: Annotated[str | None, PERSONS] = None,
    count: Annotated[int, Option(min=1, max=MOST_TILES, help="How many persons.")] = 24,
    first: Annotated[int | None, Option(min=1, help="Begin with this person of the split.")] = None,
    random: Annotated[int | None, RANDOM] = None,
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Show labelled persons: a contact sheet, and a page that opens in any browser.

    Each person is cropped as the data set's rule has it, with the labelled joints over it: a dot
    where a joint is visible, a ring where it is occluded, nothing where it is not labelled.
    Persons whose picture is not there are passed over.

    Example: spcnet data browse lspet --root PATH/lspet --split val -o lspet-val
    """
    if first is not None and random is not None:
        raise BadParameter("use either --first or --random, not both")
    from PIL import Image

    from spcnet.data.datasets import default_crop, default_split, open_dataset, shuffled
    from spcnet.data.regions import region_rule
    from spcnet.viz.contact_sheet import contact_sheet

    opened = open_dataset(dataset, root, split := split or default_split(dataset, root))
    region = region_rule(default_crop(dataset), opened)
    total = len(opened)
    if first is not None and first > total:
        raise UserError(f"--first {first}: this split has {counted(total, 'person')}")
    order = list(range((first or 1) - 1, total))
    if random is not None:
        order = shuffled(total, seed=random, epoch=0).tolist()
    sheet, page = output / "sheet.png", output / "index.html"
    prepare_output([sheet, page], force=force)
    passed: Counter[str] = Counter()
    shown: list[tuple[Array, Entry]] = []
    for n in order:
        try:
            shown.append(_tile(*_sample(opened, n), opened.skeleton, region))
        except FileNotFoundError:
            passed["without a picture file"] += 1
        except UserError as error:
            say(f"passed over: {error}")
            passed["with a picture that cannot be read or cropped"] += 1
        if len(shown) == count:
            break
    over = ", ".join(f"{n:,} {why}" for why, n in passed.items())
    if not shown:
        raise UserError(f"{dataset} {split}: nobody to show; passed over: {over or 'nobody'}")
    tiles, entries = zip(*shown, strict=True)
    title = f"{dataset} {split}"
    note = f"{len(shown)} of {counted(total, 'person')}{over and f'; passed over: {over}'}"
    captions = [(entry.picture, _caption(entry)) for entry in entries]
    columns = round((1.5 * len(tiles)) ** 0.5)  # wider than high, as screens are
    drawn = contact_sheet(tiles, captions, columns=columns, title=f"{title}: {note}")
    save_figure(Image.fromarray(drawn), sheet)
    with replacing(page) as partial:
        content = contact_page(entries, title=title, note=note)
        partial.write_bytes(content.encode(errors="backslashreplace"))  # names may be no Unicode
    say(note)
    print(page)


def _sample(dataset: "Dataset", n: int) -> "tuple[Array, Annotation]":
    """The picture of one person, counted from 0, and the person."""
    from spcnet.data.annotations import AnnotatedPictures
    from spcnet.data.datasets import SyntheticFigures

    if isinstance(dataset, SyntheticFigures):
        return next(SyntheticFigures(str(dataset.numbers[n])).samples())
    assert isinstance(dataset, AnnotatedPictures)
    person = dataset.annotations[n]
    if not dataset.picture(person).is_file():
        raise FileNotFoundError
    return next(replace(dataset, annotations=[person]).samples())


def _tile(
    picture: "Array", person: "Annotation", skeleton: Skeleton, region: "Region"
) -> "tuple[Array, Entry]":
    """A person's crop with the labels over it, and what a page says of it."""
    from PIL import Image

    from spcnet.data.annotations import JointState
    from spcnet.geometry import apply_affine, crop_affine
    from spcnet.media.crops import extract_crop
    from spcnet.viz.contact_sheet import draw_labels

    centre, side = region(person, (picture.shape[0], picture.shape[1]))
    affine = crop_affine(centre, side, TILE)
    crop, points = extract_crop(picture, affine, TILE), apply_affine(affine, person.points)
    visible = person.states == JointState.VISIBLE
    tile = draw_labels(crop, points, person.annotated, visible, skeleton)
    states = list(zip(skeleton.joints, person.states, strict=True))
    return tile, Entry(
        thumbnail=picture_bytes(Image.fromarray(tile), "jpeg", quality=88),
        picture=person.image,
        number="" if person.number is None else str(person.number),
        joints=skeleton.joints,
        missing=tuple(joint for joint, state in states if state == JointState.MISSING),
        occluded=tuple(joint for joint, state in states if state == JointState.OCCLUDED),
        crop_side=side,
    )


def _caption(entry: Entry) -> str:
    counts = {"missing": len(entry.missing), "occluded": len(entry.occluded)}
    text = ", ".join(f"{count} {state}" for state, count in counts.items() if count)
    text = text or f"all {len(entry.joints)} joints"
    return f"#{entry.number}  {text}" if entry.number else text


@app.command("pack")
def pack(
    dataset: Annotated[str, ANY_SET],
    output: Annotated[Path, Option("--output", "-o", help="New folder for the store.")],
    root: Annotated[Path | None, ROOT] = None,
    split: Annotated[str, PACKED] = "train",
    side: Annotated[int, Option(min=32, help="Largest side of a person's crop.")] = 256,
    crop: Annotated[str | None, CROP] = None,
) -> None:
    """Cut every person out with a margin and write a store that travels.

    Training packs by itself, into the cache; this writes a store to keep or to carry to another
    machine, where a recipe takes it by data.dataset=store data.train=FOLDER.

    Example: spcnet data pack lspet --root PATH/lspet --split train -o lspet-train
    """
    from spcnet.data.datasets import default_crop, open_dataset
    from spcnet.data.packing import pack as write_store
    from spcnet.data.regions import check_rule
    from spcnet.data.store import PackedStore

    rule = check_rule(crop or default_crop(dataset))
    opened = open_dataset(dataset, root, split)
    with progress(f"packing {dataset} {split}", len(opened)) as report:
        write_store(opened, output, side=side, crop=rule, report=report)
    store = PackedStore(output)
    sizes = [shard["bytes"] / 1e6 for shard in store.header["shards"]]
    content = f"{sum(sizes):.1f} MB in {counted(len(sizes), 'shard')}"
    print(f"{output}: {counted(len(store), 'person')} cropped by the rule {rule!r}, {content}")


@app.command("sigmas")
def sigmas(
    first: Annotated[Path, Argument(help="Labels of a data set, such as COCO's .json.")],
    second: Annotated[Path, Argument(help="Somebody else's labels of the same persons.")],
    output: Annotated[Path | None, Option("--output", "-o", help="Write them as JSON.")] = None,
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Estimate the constants of OKS from persons who were labelled twice.

    Example: spcnet data sigmas mine.json yours.json -o sigmas.json
    """
    from spcnet.data.datasets import read_labels
    from spcnet.evaluation.sigmas import sigmas_of

    if output is not None:
        prepare_output([output], force=force)
    found = sigmas_of(read_labels(first, None), read_labels(second, None))
    rows = [
        {"Joint": joint, "Persons": count, "Sigma": f"{sigma:.4f}"}
        for joint, (sigma, count) in found.items()
    ]
    print(table(rows, right=["Persons", "Sigma"]))
    if output is not None:
        content = {joint: round(sigma, 5) for joint, (sigma, _) in found.items()}
        with replacing(output) as partial:
            partial.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        say(f"{output}: for --protocol oks --sigmas {output}")


@app.command("synth")
def synth(
    output: Annotated[Path, Option("--output", "-o", help="New folder for the pictures.")],
    count: Annotated[int, Option(min=1, help="How many figures.")] = 16,
    first: Annotated[int, Option(min=1, help="Number of the first figure.")] = 1,
    size: Annotated[int, Option(min=32, help="Side of the pictures.")] = 160,
) -> None:
    """Draw synthetic figures as PNG files with a COCO keypoint file.

    Example: spcnet data synth -o figures --count 16
    """
    from PIL import Image

    from spcnet.data.annotations import Annotation, ListedPicture
    from spcnet.data.coco_files import keypoint_file, label_row
    from spcnet.synthetic.figure import render_figure

    persons, rows, pictures = [], [], []
    with whole_folder(output) as folder:
        for number in range(first, first + count):
            figure, name = render_figure(number, size=size), f"figure{number:06d}.png"
            (folder / name).write_bytes(picture_bytes(Image.fromarray(figure.image), "png"))
            points, states = figure.points.round(2), figure.states
            person = Annotation(name, points, states, number=number, image_number=number)
            pictures.append(ListedPicture(name, str(number), (size, size)))
            x, y, *opposite = person.box.tolist()
            width, height = round(opposite[0] - x, 2), round(opposite[1] - y, 2)
            box = {"bbox": [x, y, width, height], "area": round(width * height, 2)}
            persons.append(person)
            rows.append({**label_row(person), **box})
        document = keypoint_file(persons, rows, LSP14, pictures)
        (folder / "annotations.json").write_text(
            json.dumps(document, indent=1) + "\n", encoding="utf-8"
        )
    print(f"{output}: {counted(count, 'figure')} and annotations.json")


@app.command("convert")
def convert(
    source: Annotated[Path, Argument(help="Labels of a tool, or results of an earlier version.")],
    output: Annotated[Path, Option("--output", "-o", help=".json; with --to a new folder.")],
    to: Annotated[str | None, TO] = None,
    form: Annotated[str | None, FROM] = None,
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Write labels in the format of another tool, or results of an earlier version as of this one.

    With --to, labels of COCO, Roboflow, CVAT, Label Studio, YOLO-pose, LabelMe, DeepLabCut or SLEAP
    are read, and what the other format cannot hold is named. Pictures are not copied.

    Without it, the frames of a video, an answer of the service or what its page saved, and the COCO
    JSON of predict are read. What made the results is kept as far as the file says it.

    Example: spcnet data convert annotations.xml -o labels --to coco
    """
    if to is not None:
        if force:
            raise BadParameter("--to writes a new folder; --force is for results")
        print(_convert_labels(source, output, form, to))
        return
    from spcnet.inference.result_files import read_result

    if form is not None or source.is_dir():
        raise BadParameter(f"{source}: labels are converted --to a format: coco, yolo, ...")
    document = read_result(source)
    prepare_output([output], force=force)
    with replacing(output) as partial:
        partial.write_text(json.dumps(document) + "\n", encoding="utf-8")
    poses = counted(len(document["annotations"]), "pose")
    print(f"{source} -> {output}: {counted(len(document['images']), 'image')}, {poses}")


def _convert_labels(source: Path, output: Path, form: str | None, to: str) -> str:
    from spcnet.data.formats.table import FORMATS, LOSSES, read_document, write_document
    from spcnet.data.inspection import KINDS

    document = read_document(source, form)
    lost = write_document(document, to, output)
    title, parts = FORMATS[to].title, document.values()
    for kind, count in lost.items():
        say(f"lost in {title}: {LOSSES[kind]} ({count:,})")
    for kind, rows in ((kind, of) for part in parts for kind, of in part.passed_over.items()):
        say(f"passed over: {len(rows):,} {KINDS[kind]}")
    place = FORMATS[to].pictures.format(split="SPLIT" if len(document) > 1 else "")
    say(f"the pictures belong in {output / place.strip('/')}; copy them there")
    pictures = counted(sum(len(part.listed) for part in parts), "picture")
    persons = counted(sum(map(len, parts)), "person")
    return f"{source} -> {output} ({title}): {pictures}, {persons}"


@app.command("schema")
def schema() -> None:
    """Print the JSON Schema of results.

    Example: spcnet data schema > result.schema.json
    """
    from spcnet.inference.documents import result_schema

    print(json.dumps(result_schema(), indent=1))

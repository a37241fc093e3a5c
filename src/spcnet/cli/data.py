"""``spcnet data``: check, browse and pack data sets."""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from spcnet.cli.completion import crop_rules, dataset_names, photograph_sets
from spcnet.cli.console import prepare_output, progress, replacing, say, table
from spcnet.cli.options import FORCE
from spcnet.errors import UserError
from spcnet.files import picture_bytes

if TYPE_CHECKING:
    from spcnet.data.annotations import Annotation, Dataset
    from spcnet.data.inspection import Finding, Inspection
    from spcnet.data.regions import CropRule, Region
    from spcnet.geometry import Array
    from spcnet.skeletons import Skeleton
    from spcnet.viz.contact_page import Entry

TILE = 256  # side of a thumbnail
MOST_TILES = 600  # more make a sheet that few programs open
WIDTH = 100  # of a report

app = typer.Typer(
    help="Check, browse and pack data sets.",
    epilog="Example: spcnet data check lspet --root PATH/lspet",
    no_args_is_help=True,
)

Photographs = Annotated[
    str,
    typer.Argument(
        help="mpii, lsp, lspet, flic or coco.", show_default=False, autocompletion=photograph_sets
    ),
]
AnySet = Annotated[
    str,
    typer.Argument(
        help="mpii, lsp, lspet, flic, coco or synthetic.",
        show_default=False,
        autocompletion=dataset_names,
    ),
]
Root = Annotated[
    Path | None,
    typer.Option(help="Folder of the data set; for coco also a JSON file.", show_default=False),
]


@app.command("check")
def check(
    dataset: Photographs,
    root: Root = None,
    split: Annotated[
        list[str] | None,
        typer.Option(help="A split; may be repeated. By default all whose labels are there."),
    ] = None,
    fast: Annotated[
        bool, typer.Option("--fast", help="Read the pictures' headers only, not their pixels.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Tell what a data set's folder holds, and what is missing, broken or odd.

    Exit status 0 if it can be used, 1 if pictures are missing or cannot be read, labels cannot be
    read or persons are too many or too few.

    Example: spcnet data check lspet --root PATH/lspet
    """
    from spcnet.data.inspection import inspect_folder, read_folder

    labels = read_folder(dataset, root, split or ())
    with progress("opening pictures", len(labels.pictures)) as report:
        found = inspect_folder(labels, fast=fast, report=report)
    print(json.dumps(found.to_dict()) if as_json else report_text(found))
    if not found.usable:
        raise typer.Exit(1)


def report_text(found: "Inspection") -> str:
    """What came of a check, as plain text."""
    from textwrap import fill

    rows = [
        {
            "split": row.split,
            "persons": f"{row.persons:,}",
            "release has": "-" if row.expected is None else f"{row.expected:,}",
            "pictures": f"{row.pictures:,}",
            "missing": f"{row.missing:,}",
            "unreadable": f"{row.unreadable:,}",
        }
        for row in found.splits
    ]
    blocks = [
        f"{found.title} in {found.root}",
        table(rows, right=[column for column in rows[0] if column != "split"]),
    ]
    if found.absent:
        blocks.append("\n".join(f"no {split}: {why}" for split, why in found.absent.items()))
    problems = [finding for finding in found.findings if finding.problem]
    others = [finding for finding in found.findings if not finding.problem]
    for heading, findings in (("Problems", problems), ("Worth knowing", others)):
        if findings:
            blocks.append("\n".join([heading, *(_finding_text(finding) for finding in findings)]))
    blocks.append(
        "\n".join(
            fill(text, WIDTH, initial_indent=name.ljust(7), subsequent_indent=" " * 7)
            for name, text in (("Terms", found.terms), ("Cite", found.citation))
        )
    )
    if not any(row.pictures - row.missing for row in found.splits):
        read = "no picture was there to be read"
    elif found.fast:
        read = "of the pictures, only the headers were read"
    else:
        read = "every picture that is there was decoded"
    verdict = "Can be used" if found.usable else "Cannot be used as it is"
    blocks.append(f"{verdict}; {read}.")
    return "\n\n".join(blocks)


def _finding_text(finding: "Finding") -> str:
    """What, how many, and examples below."""
    from textwrap import fill

    many = f"{finding.count:,} of {finding.of:,}"
    if finding.count < finding.of >= 100:
        many += f" ({_percent(finding.count / finding.of)})"
    line = "; ".join(filter(None, [f"{finding.text}: {many}", finding.note]))
    wrapped = fill(
        line, WIDTH, initial_indent="- ", subsequent_indent="  ",
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip
    rest = finding.count - len(finding.examples)
    more = [f"and {rest:,} more"] if rest > 0 else []
    return "\n    ".join([wrapped, *finding.examples, *more])


def _percent(share: float) -> str:
    """A share that is neither none nor all, and is not rounded to look so."""
    percent = 100 * share
    if 0 < percent < 0.01:
        return "under 0.01 %"
    if 99.9 < percent < 100:
        return "over 99.9 %"
    return f"{percent:.2f} %" if percent < 1 else f"{percent:.1f} %"


@app.command("browse")
def browse(
    dataset: AnySet,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for sheet.png and index.html.")
    ],
    root: Root = None,
    split: Annotated[
        str | None,
        typer.Option(help="A split; by default the one that is scored, val or test, or all."),
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=MOST_TILES, help="How many persons.")] = 24,
    first: Annotated[
        int | None, typer.Option(min=1, help="Begin with this person of the split.")
    ] = None,
    random: Annotated[
        int | None, typer.Option(min=0, metavar="SEED", help="Draw persons by this seed instead.")
    ] = None,
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Show labelled persons: a contact sheet, and a page that opens in any browser.

    Each person is cropped as the data set's rule has it, with the labelled joints over it: a dot
    where a joint is visible, a ring where it is occluded, nothing where it is not labelled.
    Persons whose picture is not there are passed over.

    Example: spcnet data browse lspet --root PATH/lspet --split val -o lspet-val
    """
    if first is not None and random is not None:
        raise typer.BadParameter("use either --first or --random, not both")
    from PIL import Image

    from spcnet.data.datasets import default_crop, default_split, open_dataset
    from spcnet.data.regions import region_rule
    from spcnet.viz.contact_page import contact_page
    from spcnet.viz.contact_sheet import contact_sheet

    opened = open_dataset(dataset, root, split := split or default_split(dataset, root))
    region = region_rule(default_crop(dataset), opened)
    order = _order(len(opened), first, random)
    sheet, page = output / "sheet.png", output / "index.html"
    prepare_output([sheet, page], force=force)
    passed: Counter[str] = Counter()
    shown: list[tuple[Array, Entry]] = []
    for picture, person in _samples(opened, order, passed):
        try:
            shown.append(_tile(picture, person, opened.skeleton, region))
        except UserError as error:
            say(f"passed over: {error}")
            passed["that cannot be cropped"] += 1
        if len(shown) == count:
            break
    over = ", ".join(f"{n:,} {why}" for why, n in passed.items())
    if not shown:
        raise UserError(f"{dataset} {split}: nobody to show; passed over: {over or 'nobody'}")
    tiles, entries = [tile for tile, _ in shown], [entry for _, entry in shown]
    title = f"{dataset} {split}"
    note = f"{len(shown)} of {len(opened):,} persons" + (f"; passed over: {over}" if over else "")
    captions = [(entry.picture, _caption(entry)) for entry in entries]
    columns = round((1.5 * len(tiles)) ** 0.5)  # wider than high, as screens are
    drawn = contact_sheet(tiles, captions, columns=columns, title=f"{title}: {note}")
    with replacing(sheet) as partial:
        partial.write_bytes(picture_bytes(Image.fromarray(drawn), "png"))
    with replacing(page) as partial:
        partial.write_text(contact_page(entries, title=title, note=note), encoding="utf-8")
    say(note)
    print(f"{sheet}\n{page}")


@app.command("pack")
def pack(
    dataset: AnySet,
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for the store.")],
    root: Root = None,
    split: Annotated[
        str,
        typer.Option(
            help="A split: train, val, test, trainval, val2017 ... as the data set names them; "
            "of lsp, lspet and synthetic also numbers such as 1-500."
        ),
    ] = "train",
    side: Annotated[int, typer.Option(min=32, help="Largest side of a person's crop.")] = 256,
    crop: Annotated[
        str | None,
        typer.Option(
            help="Rule of the crops: box, mpii, lsp-height, lsp-limbs or flic. By default the "
            "data set's own.",
            autocompletion=crop_rules,
        ),
    ] = None,
) -> None:
    """Cut every person out with a margin and write a store that travels.

    Training packs by itself, into the cache; this writes a store to keep or to carry to another
    machine, where a recipe takes it by data.dataset=store data.train=FOLDER.

    Example: spcnet data pack lspet --root PATH/lspet --split train -o lspet-train
    """
    from spcnet.data.datasets import default_crop, open_dataset
    from spcnet.data.packing import pack as write_store
    from spcnet.data.regions import CropRule
    from spcnet.data.store import PackedStore

    rule = default_crop(dataset) if crop is None else cast("CropRule", crop)
    if rule not in get_args(CropRule):
        raise UserError(f"unknown crop rule {crop!r}; there are {', '.join(get_args(CropRule))}")
    opened = open_dataset(dataset, root, split)
    with progress(f"packing {dataset} {split}", len(opened)) as report:
        write_store(opened, output, side=side, crop=rule, report=report)
    store = PackedStore(output)
    size = sum(shard["bytes"] for shard in store.header["shards"])
    shards = len(store.header["shards"])
    print(
        f"{output}: {len(store)} persons cropped by the rule {rule!r}, {size / 1e6:.1f} MB in "
        f"{shards} shards"
    )


@app.command("synth")
def synth(
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for the pictures.")],
    count: Annotated[int, typer.Option(min=1, help="How many figures.")] = 16,
    first: Annotated[int, typer.Option(min=1, help="Number of the first figure.")] = 1,
    size: Annotated[int, typer.Option(min=32, help="Side of the pictures.")] = 160,
) -> None:
    """Draw synthetic figures as PNG files with a COCO keypoint file.

    Example: spcnet data synth -o figures --count 16
    """
    from PIL import Image

    from spcnet.skeletons import LSP14
    from spcnet.synthetic.figure import render_figure

    if output.exists():
        raise UserError(f"{output}: already exists; name a new folder")
    images, annotations = [], []
    try:
        output.mkdir(parents=True)
        for number in range(first, first + count):
            figure = render_figure(number, size=size)
            name = f"figure{number:06d}.png"
            (output / name).write_bytes(picture_bytes(Image.fromarray(figure.image), "png"))
            images.append({"id": number, "file_name": name, "width": size, "height": size})
            low, high = figure.points.min(axis=0), figure.points.max(axis=0)
            annotations.append(
                {
                    "id": number,
                    "image_id": number,
                    "category_id": 1,
                    "keypoints": [
                        value
                        for (x, y), state in zip(figure.points, figure.states, strict=True)
                        for value in (round(float(x), 2), round(float(y), 2), int(state))
                    ],
                    "num_keypoints": len(LSP14),
                    "bbox": [round(float(value), 2) for value in (*low, *(high - low))],
                    "area": round(float((high - low).prod()), 2),
                    "iscrowd": 0,
                }
            )
        document = {
            "images": images,
            "annotations": annotations,
            "categories": [LSP14.to_coco_category()],
        }
        (output / "annotations.json").write_text(json.dumps(document, indent=1) + "\n")
    except OSError as error:
        raise UserError(f"{output}: cannot be written: {error.strerror}") from None
    print(f"{output}: {count} figures and annotations.json")


def _caption(entry: "Entry") -> str:
    """A short line on a person's joints."""
    parts = [
        f"{len(joints)} {state}"
        for state, joints in (("missing", entry.missing), ("occluded", entry.occluded))
        if joints
    ]
    text = ", ".join(parts) or f"all {len(entry.joints)} joints"
    return f"#{entry.number}  {text}" if entry.number else text


def _order(total: int, first: int | None, seed: int | None) -> list[int]:
    """Which persons to show before which, counted from 0.

    Raises:
        UserError: there is no such first person.
    """
    from spcnet.data.datasets import shuffled

    if seed is not None:
        return [int(n) for n in shuffled(total, seed=seed, epoch=0)]
    if first is not None and first > total:
        raise UserError(f"--first {first}: this split has {total:,} persons")
    return list(range((first or 1) - 1, total))


def _samples(
    dataset: "Dataset", order: list[int], passed: Counter[str]
) -> "Iterator[tuple[Array, Annotation]]":
    """Persons in some order, with their pictures; counts those that have to be passed over."""
    from spcnet.data.annotations import AnnotatedPictures
    from spcnet.data.datasets import SyntheticFigures
    from spcnet.media.images import read_image

    for n in order:
        if isinstance(dataset, SyntheticFigures):
            yield from SyntheticFigures(str(dataset.numbers[n])).samples()
            continue
        assert isinstance(dataset, AnnotatedPictures)
        person = dataset.annotations[n]
        path = dataset.picture(person)
        if not path.is_file():
            passed["without a picture file"] += 1
            continue
        try:
            picture = read_image(path)
        except UserError as error:
            say(f"passed over: {error}")
            passed["with a picture that cannot be read"] += 1
            continue
        yield picture, person


def _tile(
    picture: "Array", person: "Annotation", skeleton: "Skeleton", region: "Region"
) -> "tuple[Array, Entry]":
    """A person's crop with the labels over it, and what a page says of it.

    Raises:
        UserError: the person lacks what the crop rule needs.
    """
    import io

    from PIL import Image

    from spcnet.data.annotations import JointState
    from spcnet.geometry import apply_affine, crop_affine
    from spcnet.media.crops import extract_crop
    from spcnet.viz.contact_page import Entry
    from spcnet.viz.contact_sheet import draw_labels

    centre, side = region(person, (picture.shape[0], picture.shape[1]))
    affine = crop_affine(centre, side, TILE)
    tile = draw_labels(
        extract_crop(picture, affine, TILE),
        apply_affine(affine, person.points),
        person.annotated,
        person.states == JointState.VISIBLE,
        skeleton,
    )
    buffer = io.BytesIO()
    Image.fromarray(tile).save(buffer, format="JPEG", quality=88)

    def named(state: JointState) -> tuple[str, ...]:
        return tuple(
            joint for joint, of in zip(skeleton.joints, person.states, strict=True) if of == state
        )

    return tile, Entry(
        thumbnail=buffer.getvalue(),
        picture=person.image,
        number="" if person.number is None else str(person.number),
        joints=skeleton.joints,
        missing=named(JointState.MISSING),
        occluded=named(JointState.OCCLUDED),
        crop_side=side,
    )

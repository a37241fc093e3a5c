"""Options that several commands have."""

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

from typer import BadParameter, Option

from spcnet.cli.completion import dataset_names, model_names, skeleton_names

if TYPE_CHECKING:
    from spcnet.inference.method import PersonSource
    from spcnet.inference.tracking import Followed

TRAINED = Option(help="A model with weights, or a .safetensors.", autocompletion=model_names)
DATASET = Option(
    help="mpii, lsp, lspet, flic, coco (or own data so) or synthetic.", autocompletion=dataset_names
)
ROOT = Option(help="Folder of the data set; for coco also a JSON file.")
SMOOTH = Option("--smooth", help="Keep the joints from trembling (one-euro filter).")
RAW = Option("--raw", help="Joints as the network gives them: not put right over time.")
BOX = Option(
    help="A person's box x0,y0,x1,y1 in pixels, for every picture; may be repeated. "
    "Without boxes the bundled finder looks for persons."
)
PEOPLE = Option(help="Without boxes: one, the main person, or all.")
FOLLOWED = Option("--people", help="Without boxes: one, the main person, all, or so many at most.")
DETECTOR = Option(help="Find the persons with this ONNX model of the YOLO family.")
WIDE = Option("--wide", help="Tables of one row per person, not of one per joint or angle.")
SKELETON = Option(
    help="Joints of the results: lsp14, coco17, mpii16, ...; by default all that the model has.",
    autocompletion=skeleton_names,
)
BOXES = Option(help="Person boxes by picture: a COCO-style JSON file.")
FORCE = Option("--force", help="Overwrite earlier results.")
AS_JSON = Option("--json", help="Print one JSON object.")
MODEL = Option(help="A model, .safetensors, or .onnx of spcnet export.", autocompletion=model_names)
DEVICE = Option(
    help="auto, cpu, cuda, cuda:1, ...", autocompletion=lambda: ["auto", "cpu", "cuda", "mps"]
)
PRECISION = Option(
    help="Of the network; auto: bf16 where faster with the same results; int8: of export --int8."
)


def parse_kinds(text: str, known: Iterable[str]) -> list[str]:
    """The kinds of results that ``--save`` names, and the JSON, which is always written."""
    named = [part.strip() for part in text.split(",") if part.strip()]
    if wrong := [name for name in named if name not in known]:
        raise BadParameter(f"--save {text}: {wrong[0]!r} is none of {', '.join(known)}")
    return ["json", *named]


def persons_in_words(source: "PersonSource") -> str:
    """Where the boxes of persons come from."""
    whom = {"one": "the main person", "all": "all people"}.get(
        source.people or "", f"at most {source.people} people"
    )
    kinds = {"boxes": "boxes", "file": "boxes of", "detector": "persons by", "finder": f"{whom} by"}
    least = {"score": source.threshold, "presence": source.presence}
    at = "".join(f" from {what} {value:.4g}" for what, value in least.items() if value)
    return f"{kinds[source.kind]} {source.name}{at}"


def parse_people(text: str) -> "Followed":
    """``one``, ``all``, or a number of people."""
    if text in ("one", "all"):
        return "one" if text == "one" else "all"
    if not text.isdecimal() or int(text) < 1:
        raise BadParameter(f"--people {text}: wanted one, all, or a number of people such as 2")
    return int(text)


def parse_box(text: str) -> list[float]:
    """Four numbers of ``x0,y0,x1,y1``."""
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise BadParameter(f"--box {text}: write it as x0,y0,x1,y1: 40,20,180,300") from None
    if not all(map(math.isfinite, (x0, y0, x1, y1))) or x1 <= x0 or y1 <= y0:
        raise BadParameter(f"--box {text}: must be x0,y0,x1,y1 with x0 < x1 and y0 < y1")
    return [x0, y0, x1, y1]

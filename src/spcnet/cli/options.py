"""Options that several commands have."""

from typer import Option

from spcnet.cli.completion import dataset_names, model_names, skeleton_names
from spcnet.cli.parsing import known_skeleton

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
    callback=known_skeleton,
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

"""Who is where in a picture: person boxes for `PoseEstimator.predict`, from any detector."""

import ast
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np

from spcnet.errors import UserError, dims
from spcnet.geometry import Array, box_overlaps
from spcnet.runtime.onnxruntime import open_session

KINDS = ("auto", "yolov8", "yolox")

PERSON = 0  # the class, in all models that were trained on COCO's
SCORE = 0.3
OVERLAP = 0.65  # intersection over union; two persons in one another's arms stay below it
USUAL_SIDE = 640  # of a model that takes any size
LARGEST_SIDE = 4096
STRIDES = (8, 16, 32)
MOST_BOXES = 1000  # of a model that suppresses doubles itself
GREY = 114  # around the picture, as these models are trained

ACCEPTED = (
    "1 x (4 + classes) x N of the YOLOv8 kind, 1 x N x (5 + classes) of the YOLOX kind with a row "
    f"for every cell of its grid, or 1 x N x 6 of x0, y0, x1, y1, score, class, N <= {MOST_BOXES}"
)


class PersonDetector(Protocol):
    """Finds the persons in an RGB uint8 picture (H, W, 3)."""

    def detect(self, picture: Array) -> tuple[Array, Array]:
        """Boxes (N, 4) x0, y0, x1, y1 in image pixels, surest first, and scores (N,) in [0, 1]."""


def nms(boxes: Array, scores: Array, *, overlap: float = OVERLAP) -> Array:
    """Non-maximum suppression: (M,) indices of the surest of boxes that overlap, surest first.

    Boxes are (N, 4) x0, y0, x1, y1; of equal scores (N,) the first counts as surer. Two are of one
    person above an overlap, which is intersection over union.
    """
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    waiting = np.argsort(-np.asarray(scores), kind="stable")
    kept = []
    while waiting.size:
        best, waiting = waiting[0], waiting[1:]
        kept.append(best)
        waiting = waiting[box_overlaps(boxes[best], boxes[waiting])[0] <= overlap]
    return np.array(kept, dtype=np.int64)


def main_person(boxes: Array, scores: Array, shape: Sequence[int]) -> int:
    """Which of several persons (N >= 1) a picture is of; see `main_ranks`."""
    return int(np.argmax(main_ranks(boxes, scores, shape)))


def main_ranks(boxes: Array, scores: Array, shape: Sequence[int]) -> Array:
    """How much each of several persons (N,) is the main one: sure, large, and near the middle.

    `boxes` (N, 4) are in pixels of a picture of that shape, (H, W, ...).
    """
    height, width = shape[:2]
    sides = boxes[:, 2:] - boxes[:, :2]
    middles = (boxes[:, :2] + boxes[:, 2:]) / 2
    away = (middles - np.array([width - 1, height - 1]) / 2) / max(width, height)
    near = np.exp(-2 * (away**2).sum(axis=1))
    ranks: Array = scores * np.sqrt(sides.prod(axis=1)) * near
    return ranks


class OnnxDetector:
    """A detector of the YOLO family as an ONNX file; class 0 is the person.

    Three kinds are distinguished by the shape of their output: (1, 4 + classes, N) of ``"yolov8"``
    (v8 to v11), (1, N, 5 + classes) of ``"yolox"``, with or without its grid decoded, and
    (1, N, 6), N up to 1000, of models that suppress doubles themselves. The first and the last
    take RGB in 0..1, YOLOX takes BGR in 0..255, as they were trained.

    Persons have at least a score of the threshold, and overlap is that of `nms`. Unless the device
    is ``"cpu"``, it runs on a GPU where onnxruntime has one. A file of another sort is an error.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        kind: str = "auto",
        threshold: float = SCORE,
        overlap: float = OVERLAP,
        device: str = "auto",
    ) -> None:
        if kind not in KINDS:
            raise UserError(f"a detector's kind is one of {', '.join(KINDS)}, got {kind!r}")
        if not 0 <= threshold <= 1:
            raise UserError(f"a detector's threshold must lie in 0..1, got {threshold:g}")
        self.path, self.threshold, self.overlap = Path(path), threshold, overlap
        self._session = open_session(self.path, gpu=device.startswith(("auto", "cuda")))
        self._input, self._type, self.size = self._check_input()
        self._check_classes()
        # One run on nothing shows the form of the output, and that the model runs.
        blank = self._run(np.zeros((1, 3, *self.size), dtype=self._type))
        self.form = _tell_form(self.path, blank.shape, kind, self.size)

    def describe(self) -> str:
        """Where boxes come from, in words."""
        return f"{self.path.name} ({self.form}, {self.size[1]} x {self.size[0]} px)"

    def detect(self, picture: Array) -> tuple[Array, Array]:
        """See `PersonDetector`."""
        canvas, scale = letterbox(picture, self.size)
        values = canvas[..., ::-1] if self.form == "yolox" else canvas.astype(np.float32) / 255
        values = values.astype(self._type).transpose(2, 0, 1)[None]
        output = self._run(np.ascontiguousarray(values))
        boxes, scores = _decode(output[0].astype(np.float64), self.form, self.size)
        # A detector counts from the edge of the first pixel, we from its middle.
        height, width = picture.shape[:2]
        boxes = (boxes / scale).clip(0, [width, height] * 2) - 0.5
        solid = (boxes[:, 2:] > boxes[:, :2]).all(axis=1) & (scores >= self.threshold)
        boxes, scores = boxes[solid], scores[solid]
        kept = nms(boxes, scores, overlap=self.overlap)
        return boxes[kept], scores[kept].clip(0, 1)

    def _run(self, values: Array) -> Array:
        try:
            (output, *_) = self._session.run(None, {self._input: values})
        except Exception as error:  # the runtime's errors share no class of their own
            reason = " ".join(str(error).split())[:200]
            raise UserError(f"{self.path}: the detector does not run: {reason}") from None
        return np.asarray(output)

    def _check_input(self) -> tuple[str, Any, tuple[int, int]]:
        """Name, type and (height, width) of the model's input."""
        inputs = self._session.get_inputs()
        types = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
        if len(inputs) == 1 and inputs[0].type in types and len(inputs[0].shape) == 4:
            batch, channels, *sides = inputs[0].shape
            if channels == 3 and (batch == 1 or not isinstance(batch, int)):
                height, width = (n if isinstance(n, int) else USUAL_SIDE for n in sides)
                if not (1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE):
                    raise UserError(
                        f"{self.path}: a detector's picture has sides of 1 to {LARGEST_SIDE} "
                        f"pixels, got {width} x {height}"
                    )
                return inputs[0].name, types[inputs[0].type], (height, width)
        found = ", ".join(f"{one.name} {dims(one.shape)} {one.type}" for one in inputs)
        raise UserError(
            f"{self.path}: a detector takes one picture as float 1 x 3 x H x W, got {found}"
        )

    def _check_classes(self) -> None:
        """Where a model names its classes, as Ultralytics' do, the first must be the person."""
        text = self._session.get_modelmeta().custom_metadata_map.get("names", "")
        try:
            first = dict(ast.literal_eval(text))[PERSON]
        except (ValueError, SyntaxError, TypeError, KeyError, RecursionError, MemoryError):
            return
        if first not in ("person", "pedestrian", "human", "people"):
            raise UserError(
                f"{self.path}: a person detector's class 0 is the person, this model's is {first!r}"
            )


def letterbox(picture: Array, size: tuple[int, int]) -> tuple[Array, float]:
    """A canvas of a height and width, the picture at its top left; its pixels per the picture's."""
    height, width = picture.shape[:2]
    scale = min(size[0] / height, size[1] / width)
    fitted = max(1, round(width * scale)), max(1, round(height * scale))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas = np.full((*size, 3), GREY, dtype=np.uint8)
    canvas[: fitted[1], : fitted[0]] = cv2.resize(picture, fitted, interpolation=way)
    return canvas, scale


def _tell_form(path: Path, shape: tuple[int, ...], kind: str, size: tuple[int, int]) -> str:
    """``"yolov8"``, ``"yolox"`` or ``"boxes"`` (doubles suppressed), by an output's shape."""
    batch, rows, columns = shape if len(shape) == 3 else (0, 0, 0)
    # YOLOX of one class has six columns too, but a row for every cell of its grid.
    cells = len(_grid(size)[0])
    if batch == 1 and rows == 3 * cells and columns >= 6:
        raise UserError(
            f"{path}: the output is {dims(shape)}, three boxes a cell, as of YOLOv5 and v7, which "
            f"are not read; take a model of YOLOv8 to v11 or YOLOX: accepted are {ACCEPTED}"
        )
    if batch == 1 and kind == "auto" and columns == 6 and rows != cells and rows <= MOST_BOXES:
        return "boxes"
    fits = []
    for form, boxes, values, fewest in (("yolov8", columns, rows, 5), ("yolox", rows, columns, 6)):
        # YOLOX has a row for every cell; it takes the kind's name to believe another number.
        many = boxes > values and (form, kind) != ("yolox", "auto")
        if batch == 1 and kind in ("auto", form) and values >= fewest and (boxes == cells or many):
            fits.append((boxes == cells, form))
    if not fits:
        said = "" if kind == "auto" else f", and the kind was said to be {kind}"
        raise UserError(f"{path}: the output is {dims(shape)}; accepted are {ACCEPTED}{said}")
    return max(fits)[1]


def _decode(output: Array, form: str, size: tuple[int, int]) -> tuple[Array, Array]:
    """Boxes (N, 4) in pixels of the model's input, and scores (N,) of the person."""
    if form == "boxes":
        return output[:, :4], np.where(output[:, 5] == PERSON, output[:, 4], 0.0)
    rows = output.T if form == "yolov8" else output
    centres, sides = rows[:, :2], rows[:, 2:4]
    cells, strides = _grid(size)
    if form == "yolox" and len(rows) == len(cells):
        # Whichever reading puts the centres nearer to their cells is the right one.
        middles = (cells + 0.5) * strides
        placed = (centres + cells) * strides
        if np.abs(placed - middles).mean() < np.abs(centres - middles).mean():
            centres, sides = placed, np.exp(sides.clip(max=20)) * strides
    scores = rows[:, 4 + PERSON] if form == "yolov8" else rows[:, 4] * rows[:, 5 + PERSON]
    return np.concatenate([centres - sides / 2, centres + sides / 2], axis=1), scores


def _grid(size: tuple[int, int]) -> tuple[Array, Array]:
    """The cells of YOLOX's grids, finest first: columns and rows (N, 2), and strides (N, 1)."""
    cells, strides = [], []
    for stride in STRIDES:
        ys, xs = np.mgrid[: size[0] // stride, : size[1] // stride]
        cells.append(np.stack([xs, ys], axis=-1).reshape(-1, 2))
        strides.append(np.full((xs.size, 1), stride))
    return np.concatenate(cells), np.concatenate(strides)

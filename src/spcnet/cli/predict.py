"""``spcnet predict``: pictures in, overlays and COCO JSON out."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spcnet.cli.console import prepare_output, replacing, say
from spcnet.cli.options import DEVICE, FLIP, MODEL
from spcnet.errors import UserError

if TYPE_CHECKING:
    from spcnet.geometry import Array
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.inference.pose import Pose

Done = tuple[str, tuple[int, int], "list[Pose]"]


def predict(
    images: Annotated[list[str], typer.Argument(help="Picture files.", show_default=False)],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Folder for the results; by default poses/."),
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            help="A person's box x0,y0,x1,y1 in pixels, for every picture; may be repeated. "
            "Without boxes the whole picture is taken as one person."
        ),
    ] = None,
    boxes: Annotated[
        Path | None, typer.Option(help="Person boxes by picture: a COCO-style JSON file.")
    ] = None,
    model: Annotated[str, MODEL] = "default",
    device: Annotated[str, DEVICE] = "auto",
    flip: Annotated[bool, FLIP] = False,
    scales: Annotated[
        str | None,
        typer.Option(help="Average over sizes of the crop: pyranet, chu, or 0.8,1,1.2; slow."),
    ] = None,
    rotations: Annotated[
        str | None,
        typer.Option(help="Average over turned crops: --rotations=-15,15 (degrees)."),
    ] = None,
    as_json: Annotated[
        bool,
        typer.Option("--json", help="Print COCO JSON; write files only where -o says."),
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite earlier results.")] = False,
) -> None:
    """Find the joints of the person in each picture.

    Writes NAME.pose.jpg, the picture with the skeleton over it, and NAME.pose.json, the joints in
    COCO's keypoint format, for every picture.

    Example: spcnet predict photo.jpg -o poses
    """
    if box and boxes:
        raise typer.BadParameter("use either --box or --boxes, not both")
    folder = output or (None if as_json else Path("poses"))
    names = result_names(images)
    if folder is not None:
        written = [folder / f"{name}.pose.{kind}" for name in names for kind in ("jpg", "json")]
        prepare_output(written, force=force)
    given = [parse_box(text) for text in box or []] or None
    by_picture = read_boxes(boxes) if boxes else None

    from spcnet.inference.estimator import PoseEstimator

    estimator = PoseEstimator(model, device=device, flip=flip, scales=scales, rotations=rotations)
    say(f"model {estimator.describe()}")
    done: list[Done] = []
    failures = 0
    for path, name in zip(images, names, strict=True):
        try:
            of_picture = given if by_picture is None else by_picture.of(path)
            picture, poses = _predict_one(estimator, path, of_picture)
            done.append((path, picture.shape[:2], poses))
            if folder is not None:
                target = _write(folder, name, path, picture, poses, estimator)
                scores = ", ".join(f"{pose.scores.mean():.2f}" for pose in poses)
                line = f"{path} -> {target} (mean joint score {scores or '-, no boxes'})"
                say(line) if as_json else print(line)
        except UserError as error:
            say(f"spcnet: error: {error}")
            failures += 1
    if as_json:
        print(json.dumps(_document(done, estimator)))
    if failures:
        say(f"{failures} of {len(images)} pictures failed")
        raise typer.Exit(1)


def result_names(images: Sequence[str]) -> list[str]:
    """What the results of each picture are called: its stem, numbered where two would collide."""
    names: list[str] = []
    for image in images:
        stem = Path(image).stem
        name, n = stem, 2
        while name in names:
            name, n = f"{stem}-{n}", n + 1
        names.append(name)
    return names


def parse_box(text: str) -> list[float]:
    """Four numbers of ``x0,y0,x1,y1``.

    Raises:
        UserError: they are not four numbers.
    """
    try:
        x0, y0, x1, y1 = (float(part) for part in text.split(","))
    except ValueError:
        raise UserError(f"--box {text}: write it as x0,y0,x1,y1, such as 40,20,180,300") from None
    return [x0, y0, x1, y1]


class BoxFile:
    """Person boxes by picture, from a COCO-style JSON.

    Either an object with ``images`` (id, file_name) and ``annotations`` (image_id, bbox), or a
    list of detections with ``bbox`` and ``file_name`` or ``image_id``; ``bbox`` is x, y, width,
    height.
    """

    def __init__(self, path: Path, boxes: dict[str, list[list[float]]]) -> None:
        self.path = path
        self.boxes = boxes

    def of(self, picture: str) -> list[list[float]]:
        """The boxes of a picture, by its path, its name, or its name without suffix.

        Raises:
            UserError: the file has no boxes for it.
        """
        path = Path(picture)
        for key in (picture, path.name, path.stem, path.stem.lstrip("0")):
            if key in self.boxes:
                return self.boxes[key]
        # The file may name pictures with folders, seen from elsewhere.
        ends = [key for key in self.boxes if Path(key).name == path.name]
        if len(ends) == 1:
            return self.boxes[ends[0]]
        raise UserError(f"{picture}: {self.path} has no boxes for this picture")


def read_boxes(path: Path) -> BoxFile:
    """Read a COCO-style JSON of boxes.

    Raises:
        UserError: the file is missing, no JSON, or of another form.
    """
    try:
        content = json.loads(path.read_text())
    except OSError as error:
        raise UserError(f"{path}: cannot read the boxes: {error.strerror}") from None
    except ValueError as error:
        raise UserError(f"{path}: not a JSON file: {error}") from None
    try:
        names = {}
        rows = content
        if isinstance(content, dict):
            names = {image["id"]: image["file_name"] for image in content["images"]}
            rows = content["annotations"]
        boxes: dict[str, list[list[float]]] = {str(name): [] for name in names.values()}
        for row in rows:
            key = row.get("file_name") or names.get(row.get("image_id"), row.get("image_id"))
            x, y, width, height = (float(value) for value in row["bbox"])
            boxes.setdefault(str(key), []).append([x, y, x + width, y + height])
    except (KeyError, TypeError, ValueError, AttributeError):
        raise UserError(
            f"{path}: not COCO-style boxes; wanted images and annotations with image_id and bbox "
            "[x, y, width, height], or a list of {file_name, bbox}"
        ) from None
    return BoxFile(path, boxes)


def _predict_one(
    estimator: "PoseEstimator", path: str, boxes: list[list[float]] | None
) -> "tuple[Array, list[Pose]]":
    from spcnet.data.images import read_image

    picture = read_image(path)
    try:
        return picture, estimator.predict(picture, boxes)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def _write(
    folder: Path,
    name: str,
    path: str,
    picture: "Array",
    poses: "list[Pose]",
    estimator: "PoseEstimator",
) -> Path:
    """Write the overlay and the JSON of one picture; give the overlay's path."""
    from PIL import Image

    from spcnet.viz.skeletons import draw_skeleton

    overlay = picture
    for pose in poses:
        overlay = draw_skeleton(overlay, pose.keypoints, pose.scores, pose.skeleton)
    target = folder / f"{name}.pose.jpg"
    with replacing(target) as partial:
        Image.fromarray(overlay).save(partial, format="JPEG", quality=92)
    document = _document([(path, picture.shape[:2], poses)], estimator)
    with replacing(target.with_suffix(".json")) as partial:
        partial.write_text(json.dumps(document, indent=1) + "\n")
    return target


def _document(done: Sequence[Done], estimator: "PoseEstimator") -> dict[str, object]:
    from spcnet import __version__
    from spcnet.inference.pose import coco_document

    named = [(Path(path).name, size, poses) for path, size, poses in done]
    document = coco_document(named, estimator.skeleton)
    description = f"spcnet {__version__}, model {estimator.describe()}"
    return {"info": {"description": description}, **document}

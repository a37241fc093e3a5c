"""Files of predicted joints, anyone's: ``.npz``, ``.mat``, ``.h5`` and COCO JSON.

Arrays come with their axes in any order; the order is recognised by the numbers of persons and
joints. Coordinates count pixels from 0 or from 1 (``index_base``): from 1 in ``.mat`` and ``.h5``
files, which MATLAB and Torch made, unless the file or the user says otherwise.
"""

import gzip
import itertools
import json
import os
import zipfile
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from spcnet.data.annotations import AnnotatedPictures
from spcnet.data.label_files import load_h5, load_json, load_mat
from spcnet.errors import UserError, needs_extra
from spcnet.geometry import Array
from spcnet.skeletons import FLIC11, SKELETONS, Skeleton

FORMATS = (".npz", ".mat", ".h5", ".json")
# What the array of joints is called in files that are about, in this order.
KEYS = ("keypoints", "preds", "prediction_all", "pred", "predictions", "prediction", "pos_pred_src")
INDEX_BASES = {".mat": 1, ".h5": 1, ".hdf5": 1, ".npz": 0, ".json": 0}
AXES = "nkc"  # persons, joints, coordinates
# Torch's and Caffe's FLIC predictions leave the eyes out: eight joints, then the nose.
FLIC_WITHOUT_EYES = (*FLIC11.joints[:8], "nose")


@dataclass(frozen=True)
class Predictions:
    """Predicted joints of N persons, as a file has them.

    Attributes:
        points: (N, K, 2) float64.
        index_base: 0 or 1, what the coordinates count pixels from.
        joints: names of the K joints, where the file has them.
        scores: (N, K) how sure each joint is, where the file has them.
        images: (N,) names or numbers of the pictures, where the file has them.
        numbers: (N,) what the labels' file calls each person, where the file has them.
        confidences: (N,) how sure each person is, where the file has them.
    """

    points: Array
    index_base: int = 0
    joints: tuple[str, ...] | None = None
    scores: Array | None = None
    images: list[str] | None = None
    numbers: list[int] | None = None
    confidences: Array | None = None

    def __len__(self) -> int:
        return len(self.points)

    def of_skeleton(self, skeleton: Skeleton) -> "Predictions":
        """The same with the joints of a skeleton, by name; NaN where a joint is not predicted.

        Raises:
            UserError: the joints have no names and are not as many as the skeleton's, or none of
                them is the skeleton's.
        """
        count = self.points.shape[1]
        names = self.joints
        if names is None and count == len(skeleton):
            return self
        if names is None and skeleton == FLIC11 and count == len(FLIC_WITHOUT_EYES):
            names = FLIC_WITHOUT_EYES
        if names is None or len(names) != count:
            raise UserError(
                f"predictions have {count} joints and the labels' skeleton {skeleton.name!r} "
                f"{len(skeleton)}; name them by --joints: one of {', '.join(SKELETONS)}, or "
                "names with commas between"
            )
        if not set(names) & set(skeleton.joints):
            raise UserError(
                f"none of the predicted joints ({', '.join(names[:3])}, ...) is one of skeleton "
                f"{skeleton.name!r}, such as {', '.join(skeleton.joints[:3])}"
            )
        points = np.full((len(self), len(skeleton), 2), np.nan)
        scores = None if self.scores is None else np.full(points.shape[:2], np.nan)
        for column, name in enumerate(names):
            if name in skeleton.joints:
                points[:, skeleton.index(name)] = self.points[:, column]
                if scores is not None and self.scores is not None:
                    scores[:, skeleton.index(name)] = self.scores[:, column]
        return replace(self, points=points, joints=skeleton.joints, scores=scores)


def read_predictions(
    path: str | os.PathLike[str],
    *,
    persons: int | None = None,
    joints: Sequence[int] = (),
    key: str | None = None,
    axes: str | None = None,
    index_base: int | None = None,
) -> Predictions:
    """Read predicted joints.

    Args:
        path: a ``.mat``, ``.h5``, ``.npz`` or COCO ``.json`` (a results list, or an object with
            annotations).
        persons: how many are expected; by it the axes are recognised.
        joints: the numbers of joints that are expected, likewise.
        key: name of the array in the file, where it has several.
        axes: order of the axes, such as ``"kcn"`` for (joints, coordinates, persons); by default
            what the file says, or what is recognised.
        index_base: 0 or 1; by default what the file says, or what is usual for its kind.

    Raises:
        UserError: the file is missing or broken, has no array of joints, or one whose axes can be
            read in several ways.
    """
    path = Path(path)
    kind = _kind(path)
    if axes is not None and sorted(axes) != sorted(AXES):
        raise UserError(
            f"--axes {axes}: write the letters n (persons), k (joints), c (coordinates) in the "
            "file's order, such as kcn"
        )
    if kind == ".json":
        found = _of_json(path)
    else:
        content = _arrays(path, kind)
        values = _points_array(path, content, key)
        own = _names(content.get("axes"), 1)
        if axes is None and own is not None and sorted(own[0]) == sorted(AXES):
            axes = own[0]
        points, scores = _oriented(path, values, persons, joints, axes)
        found = Predictions(
            points=points,
            index_base=INDEX_BASES[kind],
            scores=_optional(content, "scores", points.shape[:2], default=scores),
            joints=_names(content.get("joints"), points.shape[1]),
            images=_names(content.get("images"), len(points), as_list=True),
            numbers=_numbers(content.get("numbers"), len(points)),
            confidences=_optional(content, "confidences", points.shape[:1]),
        )
        if "index_base" in content:
            found = replace(found, index_base=int(np.ravel(content["index_base"])[0]))
    if index_base is not None:
        found = replace(found, index_base=index_base)
    if found.index_base not in (0, 1):
        raise UserError(f"{path}: pixels count from 0 or 1, got index base {found.index_base}")
    return found


def align(predictions: Predictions, labels: AnnotatedPictures) -> Predictions:
    """Predictions in the order, the joints and the pixel frame of labels, one a person.

    By the labels' own numbers of the persons where the predictions carry them; else by the names
    or numbers of the pictures, the n-th prediction of a picture for its n-th person; else in order.

    Raises:
        UserError: the two do not belong together.
    """
    predictions = predictions.of_skeleton(labels.skeleton)
    points = predictions.points + (labels.counts_from - predictions.index_base)
    predictions = replace(predictions, points=points, index_base=labels.counts_from)
    order = _by_number(predictions, labels) or _by_image(predictions, labels)
    if order is None:
        if len(predictions) != len(labels):
            raise UserError(
                f"{len(predictions)} predictions for the {len(labels)} labelled persons of "
                f"{labels.name} {labels.split}; one a person is wanted, in their order or with "
                "the pictures' names, or --split names another part of the labels"
            )
        return predictions
    rows = np.array(order, dtype=int)

    def pick(values: Array | None) -> Array | None:
        return None if values is None else values[rows]

    return replace(
        predictions,
        points=predictions.points[rows],
        scores=pick(predictions.scores),
        confidences=pick(predictions.confidences),
        images=None,
        numbers=None,
    )


def write_predictions(
    path: str | os.PathLike[str],
    points: Array,
    scores: Array,
    labels: AnnotatedPictures,
    *,
    skeleton: Skeleton,
) -> None:
    """Write the predictions for labelled persons; `read_predictions` and `align` read them back.

    ``.npz``, ``.mat`` and ``.h5`` hold ``preds`` (N, K, 2), ``scores`` (N, K), the names of joints
    and pictures, the order of the axes and what pixels count from; ``.json`` (or ``.json.gz``) is
    a COCO keypoint file whose ``annotations`` are a COCO results list. MPII's ``.mat`` and
    ``.h5`` are 1-based, as its labels are.

    Args:
        path: where to, by its suffix one of `FORMATS`; an existing file is replaced.
        points: (N, K, 2) in the frame of `labels`.
        scores: (N, K) in [0, 1].
        labels: what was predicted for.
        skeleton: names of the K joints.

    Raises:
        UserError: the suffix is none of those, h5py is not installed, or the file cannot be
            written.
    """
    path = Path(path)
    kind = _kind(path)
    persons = labels.annotations
    # A file that counts from 1 where that is usual, else in the labels' own frame.
    base = 1 if INDEX_BASES[kind] == 1 else labels.counts_from
    shifted = np.asarray(points, dtype=np.float64) + (base - labels.counts_from)
    arrays: dict[str, Any] = {
        "preds": shifted,
        "scores": np.asarray(scores, dtype=np.float64),
        "joints": np.array(skeleton.joints),
        "images": np.array([person.image for person in persons]),
        "index_base": np.array(base),
        "axes": np.array(AXES),
    }
    if all(person.number is not None for person in persons):
        arrays["numbers"] = np.array([person.number for person in persons])
    try:
        if kind == ".npz":
            with path.open("wb") as stream:
                np.savez_compressed(stream, **arrays)
        elif kind == ".mat":
            import scipy.io

            cells = {name: arrays[name].astype(object) for name in ("joints", "images")}
            content = arrays | cells
            scipy.io.savemat(str(path), content, do_compression=True, oned_as="column")
        elif kind == ".json":
            data = json.dumps(_document(shifted, scores, labels, skeleton, base)).encode()
            path.write_bytes(gzip.compress(data) if path.suffix.lower() == ".gz" else data)
        else:
            _write_h5(path, arrays)
    except OSError as error:
        raise UserError(f"{path}: cannot be written: {error.strerror or error}") from None


def check_writable_format(path: Path) -> None:
    """Check, before the work, that predictions can be written in the format of a name.

    Raises:
        UserError: its suffix is none of `FORMATS`, or h5py is not installed.
    """
    if _kind(path) == ".h5":
        _h5py(path)


def _kind(path: Path) -> str:
    suffix = ".json" if path.name.lower().endswith(".json.gz") else path.suffix.lower()
    suffix = ".h5" if suffix == ".hdf5" else suffix
    if suffix not in FORMATS:
        raise UserError(f"{path}: predictions are {', '.join(FORMATS)}, got {path.suffix or path}")
    return suffix


def _arrays(path: Path, kind: str) -> Mapping[str, Any]:
    wanted = "predictions"
    if kind == ".mat":
        return load_mat(path, wanted=wanted)
    if kind == ".h5":
        return load_h5(path, wanted=wanted)
    if path.is_file() and not zipfile.is_zipfile(path):
        raise UserError(f"{path}: not predictions: no .npz archive of numpy, or half a download")
    try:
        with np.load(path, allow_pickle=False) as content:
            return {name: content[name] for name in content.files}
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; wanted {wanted}") from None
    except Exception as error:  # a broken archive fails in many ways
        raise UserError(f"{path}: not {wanted}, or half a download: {error}") from None


def _points_array(path: Path, content: Mapping[str, Any], key: str | None) -> Array:
    fits = {
        name: value
        for name, value in content.items()
        if isinstance(value, np.ndarray) and value.ndim == 3 and value.dtype.kind in "iuf"
    }
    shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in content.items()) or "nothing"
    if key is not None:
        if key not in fits:
            raise UserError(f"{path}: no array of joints called {key!r}; it holds {shapes}")
        return fits[key]
    named = next((name for name in KEYS if name in fits), None)
    if named is None and len(fits) != 1:
        raise UserError(
            f"{path}: which array holds the joints? It has {shapes}; --key names one with three "
            "axes (persons, joints, coordinates)"
        )
    return fits[named or next(iter(fits))]


def _oriented(
    path: Path, values: Array, persons: int | None, joints: Sequence[int], axes: str | None
) -> tuple[Array, Array | None]:
    """(N, K, 2) float64 from any order of axes, and a third coordinate as (N, K) scores."""
    orders = []
    for order in itertools.permutations(range(3)):
        count, number, coordinates = (values.shape[axis] for axis in order)
        if axes is not None and "".join(AXES[order.index(axis)] for axis in range(3)) != axes:
            continue
        if coordinates in (2, 3) and (
            axes is not None
            or ((persons is None or count == persons) and (not joints or number in joints))
        ):
            orders.append(order)
    if not orders:
        raise UserError(
            f"{path}: joints of shape {values.shape} are not "
            + (f"{persons} persons x " if persons else "persons x ")
            + (f"{' or '.join(map(str, joints))} joints" if joints else "joints")
            + " x 2 in any order; --split names another part of the labels, --joints other joints"
        )
    if len(orders) > 1:
        readings = [
            "".join(AXES[order.index(axis)] for axis in range(3)) for order in sorted(orders)
        ]
        raise UserError(
            f"{path}: joints of shape {values.shape} can be read in several ways; --axes says "
            f"which: {' or '.join(readings)} (n persons, k joints, c coordinates)"
        )
    oriented = values.transpose(orders[0]).astype(np.float64)
    return oriented[..., :2], (oriented[..., 2] if oriented.shape[2] == 3 else None)


def _optional(
    content: Mapping[str, Any], name: str, shape: tuple[int, ...], default: Array | None = None
) -> Array | None:
    """An array (N,) or (N, K) beside the joints, whatever its axes of length 1 and their order."""
    value = np.asarray(content.get(name))
    if value.dtype.kind not in "iuf":
        return default
    wanted, found = (tuple(n for n in sizes if n != 1) for sizes in (shape, value.shape))
    if found == wanted[::-1] != wanted:
        value = value.reshape(found).T
    elif found != wanted:
        return default
    return value.astype(np.float64).reshape(shape)


def _names(value: Any, count: int, *, as_list: bool = False) -> Any:
    """Texts of an array, of MATLAB's cells or of HDF5's bytes, if there are `count` of them."""
    if value is None:
        return None
    items = np.ravel(value)
    if len(items) != count or (items.dtype.kind in "iufb" and not as_list):
        return None
    texts = []
    for item in items:
        while isinstance(item, np.ndarray):
            item = item.ravel()[0] if item.size else ""
        if isinstance(item, float) and item.is_integer():  # a number, as MATLAB keeps it
            item = int(item)
        texts.append(item.decode() if isinstance(item, bytes) else str(item).strip())
    return texts if as_list else tuple(texts)


def _numbers(value: Any, count: int) -> list[int] | None:
    if value is None or np.size(value) != count:
        return None
    return [int(number) for number in np.ravel(value)]


def _of_json(path: Path) -> Predictions:
    """COCO's results list, or an object with annotations."""
    content = load_json(path, wanted="predictions")
    document = content if isinstance(content, dict) else {"annotations": content}
    try:
        rows = document["annotations"]
        if not rows:
            raise UserError(f"{path}: no predictions in it")
        names = {image["id"]: str(image["file_name"]) for image in document.get("images", [])}
        count = len(rows[0]["keypoints"])
        for n, row in enumerate(rows, start=1):
            if len(row["keypoints"]) != count or count % 3:
                raise ValueError(
                    f"entry {n} has {len(row['keypoints'])} numbers, and the first one {count}"
                )
        points = np.array([row["keypoints"] for row in rows], dtype=np.float64)
        points = points.reshape(len(rows), -1, 3)
        images = [str(names.get(row["image_id"], row["image_id"])) for row in rows]
        numbered = isinstance(content, dict) and all("id" in row for row in rows)
        numbers = [int(row["id"]) for row in rows] if numbered else None
        confidences = [float(row.get("score", 1.0)) for row in rows]
        categories = [c for c in document.get("categories", []) if c.get("keypoints")]
        base = int(document.get("info", {}).get("index_base", 0))
        scores = [row.get("keypoint_scores") for row in rows]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise UserError(
            f"{path}: not COCO keypoint results: wanted a list of image_id, keypoints "
            f"(x, y, v for every joint) and score: {type(error).__name__} {error}"
        ) from None
    return Predictions(
        points=points[..., :2],
        index_base=base,
        joints=tuple(map(str, categories[0]["keypoints"])) if categories else None,
        scores=points[..., 2] if None in scores else np.array(scores, dtype=np.float64),
        images=images,
        numbers=numbers,
        confidences=np.array(confidences),
    )


def _document(
    points: Array, scores: Array, labels: AnnotatedPictures, skeleton: Skeleton, base: int
) -> dict[str, Any]:
    images: dict[str, int] = {}
    annotations = []
    for n, person in enumerate(labels.annotations):
        number = person.image_number
        image_id = images.setdefault(person.image, len(images) + 1 if number is None else number)
        flat = np.column_stack([points[n], scores[n]]).round(4)
        annotations.append(
            {
                "id": n + 1 if person.number is None else person.number,
                "image_id": image_id,
                "category_id": 1,
                "keypoints": flat.ravel().tolist(),
                "score": round(float(np.mean(scores[n])), 4),
            }
        )
    return {
        "info": {"index_base": base},
        "images": [{"id": number, "file_name": name} for name, number in images.items()],
        "annotations": annotations,
        "categories": [skeleton.to_coco_category()],
    }


def _h5py(path: Path) -> Any:
    with needs_extra("h5", f"{path}: writing HDF5"):
        import h5py
    return h5py


def _write_h5(path: Path, arrays: Mapping[str, Any]) -> None:
    with _h5py(path).File(path, "w") as file:
        for name, value in arrays.items():
            file[name] = np.char.encode(value, "utf-8") if value.dtype.kind == "U" else value


def _by_number(predictions: Predictions, labels: AnnotatedPictures) -> list[int] | None:
    """Rows of the predictions in the order of the labels, by the persons' numbers."""
    wanted = [person.number for person in labels.annotations]
    if predictions.numbers is None or None in wanted or len(set(wanted)) < len(wanted):
        return None
    rows = {number: row for row, number in enumerate(predictions.numbers)}
    if len(rows) < len(predictions) or any(number not in rows for number in wanted):
        return None
    found = [rows[number] for number in wanted if number is not None]
    # The numbers may be anything's: they count only where the pictures agree too.
    if predictions.images is not None:
        for row, person in zip(found, labels.annotations, strict=True):
            if not _same_image(predictions.images[row], person.image, person.image_number):
                return None
    return found


def _by_image(predictions: Predictions, labels: AnnotatedPictures) -> list[int] | None:
    """The same by pictures, the n-th prediction of a picture for its n-th person."""
    if predictions.images is None or not all(person.image for person in labels.annotations):
        return None
    rows = _grouped(map(_slashes, predictions.images))
    people = _grouped(
        number if (number := str(person.image_number)) in rows else _slashes(person.image)
        for person in labels.annotations
    )
    if not people.keys() & rows.keys():
        # The names may lack folders or suffixes, if they still tell the pictures apart.
        rows = _grouped(map(_stem, predictions.images))
        pictures = {person.image for person in labels.annotations}
        people = _grouped(_stem(person.image) for person in labels.annotations)
        if people.keys() & rows.keys() and len(people) < len(pictures):
            raise UserError(
                "predictions name pictures without their folders, and labels have several "
                "pictures of one name; write the names as the labels have them"
            )
    if not people.keys() & rows.keys():
        if (order := _by_running_number(predictions.images, labels)) is not None:
            return order
        first = labels.annotations[0]
        number = "" if first.image_number is None else f" (id {first.image_number})"
        raise UserError(
            f"no predicted picture, such as {predictions.images[0]}, is one of {labels.name} "
            f"{labels.split}, such as {first.image}{number}; write image_id or the names as the "
            "labels have them, or leave them out to take the predictions in order"
        )
    order = [-1] * len(labels)
    for image, persons in people.items():
        found = rows.get(image, [])
        if len(found) != len(persons):
            raise UserError(
                f"picture {image} has {len(persons)} labelled persons and {len(found)} "
                "predictions; one prediction a person is wanted"
            )
        for n, row in zip(persons, found, strict=True):
            order[n] = row
    return order


def _by_running_number(images: Sequence[str], labels: AnnotatedPictures) -> list[int] | None:
    """Rows by picture numbers that merely run over labels whose pictures have none of their own."""
    if not all(image.isdecimal() for image in images) or any(
        person.image_number is not None for person in labels.annotations
    ):
        return None
    numbers = [int(image) for image in images]
    if len(numbers) != len(labels) or sorted(numbers) not in (
        list(range(len(labels))),
        list(range(1, len(labels) + 1)),
    ):
        return None
    return [int(row) for row in np.argsort(numbers)]


def _same_image(found: str, image: str, number: int | None) -> bool:
    return not image or found == str(number) or _stem(found) == _stem(image)


def _grouped(names: Iterable[str]) -> dict[str, list[int]]:
    """Where each name stands."""
    groups: dict[str, list[int]] = defaultdict(list)
    for n, name in enumerate(names):
        groups[name].append(n)
    return dict(groups)


def _slashes(image: str) -> str:
    return image.replace("\\", "/")


def _stem(image: str) -> str:
    """A picture's name without folders and suffix."""
    return Path(_slashes(image)).stem

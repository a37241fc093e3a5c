"""Files of predicted joints, anyone's: ``.npz``, ``.mat``, ``.h5`` and COCO JSON.

Arrays come with their axes in any order; the order is recognised by the numbers of persons and
joints. Coordinates count pixels from 0 or from 1 (``index_base``): from 1 in ``.mat`` and ``.h5``
files, which MATLAB and Torch made, unless the file or the user says otherwise.
"""

import itertools
import os
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import Any

import numpy as np

from spcnet.data.annotations import AnnotatedPictures
from spcnet.data.coco_files import PictureList, category_ids, id_of, slashed
from spcnet.data.label_files import load_h5, load_json, load_mat, load_npz, reading, text
from spcnet.errors import UserError, counted, dims, needs_extra
from spcnet.geometry import Array
from spcnet.inference.result_files import as_result
from spcnet.skeletons import FLIC11, SKELETONS, Skeleton, joint_names

INDEX_BASES = {".npz": 0, ".mat": 1, ".h5": 1, ".json": 0}
FORMATS = tuple(INDEX_BASES)
# What the array of joints is called in files that are about, in this order.
KEYS = ("keypoints", "preds", "prediction_all", "pred", "predictions", "prediction", "pos_pred_src")
RESULTS = "COCO keypoint results, a list of image_id, keypoints (x, y, v for every joint) and score"
AXES = "nkc"  # persons, joints, coordinates
# Torch's and Caffe's FLIC predictions leave the eyes out: eight joints, then the nose.
FLIC_WITHOUT_EYES = (*FLIC11.joints[:8], "nose")


@dataclass(frozen=True)
class Predictions:
    """Predicted joints of N persons; what a file does not have is None."""

    points: Array  # (N, K, 2) float64
    index_base: int = 0  # or 1, what the coordinates count pixels from
    joints: tuple[str, ...] | None = None  # names of the K joints
    images: list[str] | None = None  # (N,) names or numbers of the pictures
    numbers: list[int] | None = None  # (N,) what the labels' file calls each person
    confidences: Array | None = None  # (N,) how sure each person is
    categories: list[str] | None = None  # (N,) ids of what each is, "" where the file does not say

    def __len__(self) -> int:
        return len(self.points)

    def take(self, rows: Sequence[int]) -> "Predictions":
        """Some of the persons."""

        def of(values: Sequence[Any] | None) -> list[Any] | None:
            return None if values is None else [values[n] for n in rows]

        return replace(
            self,
            points=self.points[list(rows)],
            images=of(self.images),
            numbers=of(self.numbers),
            confidences=None if self.confidences is None else self.confidences[list(rows)],
            categories=of(self.categories),
        )

    def of_categories(self, wanted: Collection[str]) -> "Predictions":
        """Those of some categories, as far as both sides name any; without one a `UserError`."""
        if self.categories is None or not wanted:
            return self
        rows = [n for n, of in enumerate(self.categories) if of in wanted or not of]
        if not rows:
            raise UserError(
                f"no prediction is of category {', '.join(sorted(wanted))}, which the labels are "
                f"of; they are of {', '.join(sorted(set(self.categories)))}: write the labels' "
                "category_id"
            )
        return self.take(rows)

    def of_skeleton(self, skeleton: Skeleton) -> "Predictions":
        """The same with the joints of a skeleton, by name; NaN where a joint is not predicted.

        A `UserError` where they have no names and are not as many, or none is the skeleton's.
        """
        count, names = self.points.shape[1], self.joints
        if names is None and count == len(skeleton):
            return self
        if names is None and skeleton == FLIC11 and count == len(FLIC_WITHOUT_EYES):
            names = FLIC_WITHOUT_EYES
        if names is None or len(names) != count:
            raise UserError(
                f"predictions have {counted(count, 'joint')} and the labels' skeleton "
                f"{skeleton.name!r} {len(skeleton)}; name them by --joints: one of "
                f"{', '.join(SKELETONS)}, or names with commas between"
            )
        if not set(names) & set(skeleton.joints):
            raise UserError(
                f"none of the predicted joints ({', '.join(names[:3])}, ...) is one of skeleton "
                f"{skeleton.name!r}, such as {', '.join(skeleton.joints[:3])}"
            )
        points = in_order(self.points.astype(np.float64), names, skeleton)
        return replace(self, points=points, joints=skeleton.joints)


def in_order(values: Array, joints: Sequence[str], skeleton: Skeleton) -> Array:
    """Values (N, K, ...) of named joints in a skeleton's order; NaN of others."""
    columns = np.array([joints.index(name) if name in joints else -1 for name in skeleton.joints])
    ordered: Array = values[:, columns]
    ordered[:, columns < 0] = np.nan
    return ordered


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
        path: of one of `FORMATS`; a JSON is a COCO results list, or an object with annotations.
        persons: how many are expected; by it the axes are recognised.
        joints: the numbers of joints that are expected, likewise.
        key: name of the array in the file, where it has several.
        axes: such as ``"kcn"``; by default what the file says, or what is recognised.
        index_base: 0 or 1; by default what the file says, or what is usual for its kind.

    Raises:
        UserError: the file is missing or broken, or has no joints that can be read in one way.
    """
    path = Path(path)
    kind = check_format(path)
    if axes is not None and sorted(axes) != sorted(AXES):
        raise UserError(
            f"--axes {axes}: write the letters n (persons), k (joints), c (coordinates) in the "
            "file's order, such as kcn"
        )
    content = _LOADERS[kind](path, wanted="predictions")
    (own_axes,) = _texts(content, "axes", 1) or [""]
    if axes is None and sorted(own_axes) == sorted(AXES):
        axes = own_axes
    points = _oriented(path, _points_array(path, content, key), persons, joints, axes)
    if index_base is None:
        base = _numbers(content, "index_base", 1)
        index_base = INDEX_BASES[kind] if base is None else base[0]
    if index_base not in (0, 1):
        raise UserError(f"{path}: pixels count from 0 or 1, got index base {index_base:g}")
    names = _texts(content, "joints", points.shape[1])
    numbers = _numbers(content, "numbers", len(points))
    return Predictions(
        points=points,
        index_base=int(index_base),
        joints=None if names is None or "".join(names).isdecimal() else joint_names(names),
        categories=_texts(content, "categories", len(points)),
        images=_texts(content, "images", len(points)),
        numbers=None if numbers is None else numbers.astype(int).tolist(),
        confidences=_numbers(content, "confidences", len(points)),
    )


def align(predictions: Predictions, labels: AnnotatedPictures) -> Predictions:
    """Predictions in the order, the joints and the pixel frame of labels, one a person.

    By the labels' own numbers of the persons where the predictions carry them; else by the names
    or numbers of the pictures, the n-th prediction of a picture for its n-th person; else in order.
    A `UserError` where the two do not belong together.
    """
    predictions = predictions.of_categories(labels.categories).of_skeleton(labels.skeleton)
    rows = _rows(predictions, labels)
    if len(rows or predictions.points) != len(labels):
        raise UserError(
            f"{counted(len(predictions), 'prediction')} for the "
            f"{counted(len(labels), 'labelled person')} of {labels.name} {labels.split}; "
            "one a person is wanted, in their order or with the pictures' "
            "names, or --split names another part of the labels"
        )
    chosen = predictions.take(rows or range(len(predictions)))
    return replace(
        chosen,
        points=chosen.points + (labels.counts_from - predictions.index_base),
        index_base=labels.counts_from,
    )


def check_listed(predictions: Predictions, labels: AnnotatedPictures) -> None:
    """A `UserError` where a predicted picture is none of those that the labels' file lists."""
    known = {text for of in labels.listed for text in (of.name, of.number, _stem(of.name))}
    images = predictions.images or []
    foreign = [image for image in images if not known & {image, slashed(image), _stem(image)}]
    if known and foreign:
        raise UserError(
            f"the labels do not list the pictures of {len(foreign)} of "
            f"{counted(len(images), 'prediction')}, such as {foreign[0]}; leave them out, or "
            "list their pictures in images"
        )


def _rows(predictions: Predictions, labels: AnnotatedPictures) -> list[int] | None:
    """Which prediction is each labelled person's, where numbers or pictures say so."""
    images, persons = predictions.images, labels.annotations
    if predictions.numbers is not None:
        # The numbers may be anything's: they count only where the pictures agree too.
        stems = [_stem(image) for image in images or ()] or [""] * len(predictions)
        theirs = [f"{n} {stem}" for n, stem in zip(predictions.numbers, stems, strict=True)]
        ours = [f"{p.number} {_stem(p.image) if images else ''}" for p in persons]
        rows = {key: row for row, key in enumerate(theirs)}
        if len(rows) == len(theirs) and len(rows.keys() & set(ours)) == len(ours):
            return [rows[key] for key in ours]
    if images is None or not all(person.image for person in persons):
        return None
    numbers = [str(person.image_number) for person in persons]
    names = [person.image for person in persons]
    ways = [(images, numbers), ([slashed(n) for n in images], [slashed(n) for n in names])]
    # The names may lack folders or suffixes, if they still tell the pictures apart.
    stems = list(map(_stem, names))
    if len(set(stems)) == len(set(names)):
        ways.append((list(map(_stem, images)), stems))
    # Or they are numbers that merely run over labels whose pictures have none of their own.
    for first in (0, 1):
        running = [str(first + n) for n in range(len(names))]
        if set(numbers) == {"None"} and sorted(images) == sorted(running):
            ways.append((images, running))
    shared = [way for way in ways if not set(way[0]).isdisjoint(way[1])]
    if not shared:
        number = "" if numbers[0] == "None" else f" (id {numbers[0]})"
        raise UserError(
            f"no predicted picture, such as {images[0]}, is one of {labels.name} "
            f"{labels.split}, such as {names[0]}{number}; write image_id or the names as the "
            "labels have them, with their folders where several pictures have one name, or leave "
            "them out to take the predictions in order"
        )
    check_listed(predictions, labels)
    # The n-th prediction of a picture is its n-th person's.
    theirs, ours = shared[0]
    given = Counter(theirs)
    for image, count in Counter(ours).items():
        if given[image] != count:
            raise UserError(
                f"picture {image} has {counted(count, 'labelled person')} and "
                f"{counted(given[image], 'prediction')}; one prediction a person is wanted"
            )
    found = np.flatnonzero(np.isin(theirs, ours))
    order = np.empty_like(found)
    order[np.argsort(ours, kind="stable")] = sorted(found, key=lambda row: theirs[row])
    return list(map(int, order))


def _stem(image: str) -> str:
    """A picture's name without folders, whatever their slashes, and suffix."""
    return PureWindowsPath(image).stem


def check_format(path: Path) -> str:
    """A file's one of `FORMATS`; a `UserError` where it is none, or h5py is not installed."""
    suffix = ".json" if path.name.lower().endswith(".json.gz") else path.suffix.lower()
    suffix = ".h5" if suffix == ".hdf5" else suffix
    if suffix not in FORMATS:
        raise UserError(f"{path}: predictions are {', '.join(FORMATS)}, got {path.suffix or path}")
    if suffix == ".h5":
        with needs_extra("h5", f"{path}: HDF5"):
            import h5py  # noqa: F401
    return suffix


def _of_json(path: Path, *, wanted: str) -> Mapping[str, Any]:
    """COCO's results list, or an object with annotations, as if it were arrays."""
    found = load_json(path, wanted=wanted)
    document: Any = {"annotations": found} if isinstance(found, list) else found
    if isinstance(document, dict) and {"frames", "poses"} & document.keys():
        document = as_result(path, document)  # of an earlier video or service
    with reading(path, RESULTS):
        named = [c for c in document.get("categories", []) if c.get("keypoints")]
        own = category_ids(named)
        listed = document.get("images", [])
        pictures = PictureList(path, listed, document.get("annotations", ()) if listed else ())
        rows, points, images, categories = [], [], [], []
        for n, row in enumerate(document["annotations"], start=1):
            category = "" if row.get("category_id") is None else id_of(row["category_id"])
            if own and category and category not in own:
                continue
            rows.append(row)
            points.append(_places(row))
            categories.append(category)
            if len(points[-1]) != len(points[0]):
                there = f"{counted(len(points[-1]), 'joint')}, and the first one {len(points[0])}"
                raise ValueError(f"entry {n} has {there}")
            if pictures.by_id:
                images.append(pictures.by_id[id_of(row["image_id"])].name)
            else:
                images.append(slashed(id_of(row.get("image_id", row.get("file_name")))))
        if not rows:
            raise UserError(f"{path}: no predictions in it")
        sure = [float(1.0 if row.get("score") is None else row["score"]) for row in rows]
        if not np.isfinite(sure).all():
            raise ValueError(f"a score is {next(s for s in sure if not np.isfinite(s))}")
        content = {
            "keypoints": np.stack(points),
            "axes": AXES,
            "images": images,
            "confidences": sure,
            "index_base": int(document.get("info", {}).get("index_base", 0)),
            "joints": named[0]["keypoints"] if named else (),
        }
        if len(own) != 1:  # ids of a file's own only category say nothing
            content["categories"] = categories
        numbers = [str(row.get("id", "")) for row in rows]
        if document is found and all(number.isdecimal() for number in numbers):
            content["numbers"] = [int(number) for number in numbers]
    return content


def _places(row: Mapping[str, Any]) -> Array:
    """(K, 2) from x, y, v or x, y of every joint, nested or not; NaN where one is null."""
    values = np.array(row["keypoints"], dtype=np.float64)
    if values.ndim == 1:
        paired = values.size == 2 * len(row.get("keypoint_scores") or ())
        values = values.reshape(-1, 2 if paired else 3 if values.size % 3 == 0 else 1)
    if values.ndim != 2 or values.shape[1] not in (2, 3):
        raise ValueError("keypoints are not x, y, v for every joint")
    unknown = np.isnan(values[:, :2]).any(axis=1, keepdims=True)
    return np.where(unknown, np.nan, values[:, :2])


_LOADERS: Mapping[str, Callable[..., Mapping[str, Any]]] = {
    ".npz": load_npz, ".mat": load_mat, ".h5": load_h5, ".json": _of_json
}  # fmt: skip


def _points_array(path: Path, content: Mapping[str, Any], key: str | None) -> Array:
    arrays = {name: np.asarray(value) for name, value in content.items()}
    fits = {name: a for name, a in arrays.items() if a.ndim == 3 and a.dtype.kind in "iuf"}
    shapes = ", ".join(f"{name} {dims(array.shape)}" for name, array in arrays.items()) or "nothing"
    if key is not None and key not in fits:
        raise UserError(f"{path}: no array of joints called {key!r}; it holds {shapes}")
    usual = [name for name in KEYS if name in fits]
    if key is None and not usual and len(fits) != 1:
        raise UserError(
            f"{path}: which array holds the joints? It has {shapes}; --key names one with three "
            "axes (persons, joints, coordinates)"
        )
    return fits[key or (usual or list(fits))[0]]


def _oriented(
    path: Path, values: Array, persons: int | None, joints: Sequence[int], axes: str | None
) -> Array:
    """(N, K, 2) float64 from any order of axes; a third coordinate is left out."""
    readings = []
    for letters in map("".join, itertools.permutations(AXES)):
        size = dict(zip(letters, values.shape, strict=True))
        fits = persons in (None, size["n"]) and (not joints or size["k"] in joints)
        if size["c"] in (2, 3) and (letters == axes if axes else fits):
            readings.append(letters)
    shape = dims(values.shape)
    if not readings:
        raise UserError(
            f"{path}: joints of {shape} are not "
            + (f"{persons} persons x " if persons else "persons x ")
            + (f"{' or '.join(map(str, joints))} joints" if joints else "joints")
            + " x 2 in any order; --split names another part of the labels, --joints other joints"
        )
    if len(readings) > 1:
        raise UserError(
            f"{path}: joints of {shape} can be read in several ways; --axes says which:"
            f" {' or '.join(readings)} (n persons, k joints, c coordinates)"
        )
    order = [readings[0].index(axis) for axis in AXES]
    return values.transpose(order)[..., :2].astype(np.float64)


def _numbers(content: Mapping[str, Any], name: str, count: int) -> Array | None:
    """So many numbers, whatever their axes; None where there are not."""
    values = np.ravel(content.get(name, "absent"))
    fits = len(values) == count and values.dtype.kind in "iuf" and np.isfinite(values).all()
    return values.astype(np.float64) if fits else None


def _texts(content: Mapping[str, Any], name: str, count: int) -> list[str] | None:
    """Texts of an array, of MATLAB's cells or of HDF5's bytes, if there are `count` of them."""
    if name not in content or np.size(content[name]) != count:
        return None
    texts = []
    for cell in np.ravel(content[name]):
        while isinstance(cell, np.ndarray):
            cell = cell.ravel()[0] if cell.size else ""
        # A number is an id, which MATLAB keeps as a float.
        texts.append(text(cell).strip() if isinstance(cell, bytes) else id_of(str(cell)))
    return texts

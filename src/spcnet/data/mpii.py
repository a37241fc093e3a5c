"""MPII Human Pose (Andriluka et al., CVPR 2014), in the three forms people have.

- ``mpii_human_pose_v1_u12_1.mat``, the official one: everything, test images too, but not which
  training persons are held out for validation;
- ``mpii_annotations.json`` (or ``.json.gz``), the 25,204 persons with the validation flag;
- ``train.h5`` and ``valid.h5`` as distributed with the stacked hourglass: integer coordinates,
  the crop's margins already in centre and scale.

Pixels are 1-based in all of them, and 0-based in what the readers give. A file that is not what it
should be, or has no such split, is a `UserError`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from spcnet.data.annotations import (
    AnnotatedPictures,
    Annotation,
    JointState,
    Reader,
    find_labels,
    joint_states,
    read_in_folder,
)
from spcnet.data.label_files import (
    another_file,
    as_list,
    load_hourglass,
    load_json,
    load_mat,
    positive,
    reading,
    text,
)
from spcnet.errors import UserError, dims
from spcnet.geometry import Array, box_of_points
from spcnet.skeletons import MPII16

TITLE = "MPII Human Pose"
RELEASE = "mpii_human_pose_v1_u12_1.mat"
SPLITS = {"train": 22246, "val": 2958}
HEAD_SHARE = 0.6  # of the head box's diagonal: the reference length of PCKh
# The official labels place neck and head top on the head box's middle line, 0.8 diagonals apart.
NECK_TO_HEAD_TOP = 0.8
PERSON_PIXELS = 200.0  # a person's height at scale 1
HEAD, NECK = MPII16.index("head_top"), MPII16.index("neck")


def _places(*names: str) -> tuple[str, ...]:
    return (*names, *("annot/" + name for name in names))


LISTS = _places("mpii_annotations.json", "mpii_annotations.json.gz")
HOURGLASS = {"train": _places("train.h5"), "val": _places("valid.h5")}
FILES = {
    **{split: LISTS + files for split, files in HOURGLASS.items()},
    **dict.fromkeys(("trainval", "test"), _places(RELEASE)),
}


def read_mpii(root: Path, split: str) -> AnnotatedPictures:
    """Persons of a folder that holds ``images/`` and any of the label files (also in ``annot/``).

    The splits ``"train"`` and ``"val"`` need the JSON or the hourglass h5; ``"trainval"`` (all
    labelled training persons) and ``"test"`` (the single persons of the test images, without
    joints) need the official ``.mat``.
    """
    labels = read_in_folder(root, split, title=TITLE, files=FILES, labels=file_labels)
    if split in HOURGLASS and find_labels(root, LISTS, title=TITLE):
        # The list has no head boxes: take the exact reference lengths where they are to be had.
        if release := find_labels(root, FILES["trainval"], title=TITLE):
            return _with_lengths(labels, release_labels(release, "trainval"))
        if hourglass := find_labels(root, HOURGLASS[split], title=TITLE):
            return _with_lengths(labels, hourglass_labels(hourglass, split))
    return labels


def file_labels(path: Path, split: str) -> AnnotatedPictures:
    """The labels of one of `FILES`, without pictures."""
    by_suffix = {".mat": release_labels, ".h5": hourglass_labels}
    return by_suffix.get(path.suffix, json_labels)(path, split)


def recognise(form: str, content: Any) -> tuple[Reader, str] | None:
    """See `spcnet.data.datasets.DatasetInfo`."""
    if form == ".json":
        return (json_labels, "val") if isinstance(content, list) else None
    if form == ".h5":
        shape = getattr(content.get("part"), "shape", ())
        return (hourglass_labels, "all") if shape[1:2] == (16,) else None
    if "RELEASE" in content:
        return release_labels, "trainval"
    return (evaluation_labels, "val") if "pos_gt_src" in content else None


def json_labels(path: Path, split: str) -> AnnotatedPictures:
    """The labels of the 25,204-person JSON, plain or gzipped.

    The list has no head boxes. The official labels put neck and head top 0.8 head-box diagonals
    apart, so the reference length is taken from them: within 1 % of the official one for 98.6 %
    of the validation persons. Persons whose head is not labelled have none.
    """
    flags = {"train": (0,), "val": (1,), "all": (0, 1)}
    if split not in flags:
        raise UserError(f"{path}: has the splits train, val and all, not {split!r}")
    persons = load_json(path, wanted="the 25,204-person JSON of MPII")
    with reading(path, "the 25,204-person JSON of MPII"):
        annotations = [
            _of_json(person) for person in persons if int(person["isValidation"]) in flags[split]
        ]
    if not persons:
        raise UserError(f"{path}: an empty list, no labels in it")
    return AnnotatedPictures("mpii", split, MPII16, annotations)


def hourglass_labels(path: Path, split: str = "all") -> AnnotatedPictures:
    """The labels of the stacked hourglass's ``train.h5`` or ``valid.h5``."""
    parts = {count: part for part, count in SPLITS.items()}
    arrays, split = load_hourglass(path, split, title="MPII", joints=16, parts=parts)
    points = arrays["part"] - 1
    labelled = (arrays["part"] != 0).any(axis=-1) & np.isfinite(arrays["part"]).all(axis=-1)
    states = joint_states(labelled, arrays["visible"] > 0)
    scales = arrays["scale"] / 1.25
    centres = arrays["center"] - 1 - np.stack([0 * scales, 15 * scales], axis=1)
    annotations = [
        Annotation(
            image=text(arrays["imgname"][n]),
            points=points[n].astype(np.float64),
            states=states[n],
            box=_box(points[n], labelled[n], centres[n], scales[n]),
            reference=positive(arrays["normalize"][n]),
            centre=centres[n],
            scale=float(scales[n]),
            # The annolist index and the person of it, as in the JSON, but counted from 0.
            number=_number(arrays["index"][n] + 1, arrays["person"][n] + 1),
        )
        for n in range(len(points))
    ]
    return AnnotatedPictures("mpii", split, MPII16, annotations)


def evaluation_labels(path: Path, split: str = "val") -> AnnotatedPictures:
    """The labels of an evaluation file with ``pos_gt_src``, ``jnt_missing``, ``headboxes_src``."""
    if split not in ("val", "all"):
        raise UserError(f"{path}: holds MPII val, not {split!r}")
    content = load_mat(path, wanted="an evaluation file of MPII")
    with reading(path, "an evaluation file of MPII"):
        points = content["pos_gt_src"].transpose(2, 0, 1) - 1.0
        states = np.where(content["jnt_missing"].T != 0, JointState.MISSING, JointState.VISIBLE)
        heads = content["headboxes_src"].transpose(2, 0, 1).reshape(-1, 4) - 1.0
        if points.shape[1:] != (16, 2) or not len(points) == len(states) == len(heads):
            raise ValueError(
                f"sizes {dims(points.shape)}, {dims(states.shape)}, {dims(heads.shape)}"
            )
    annotations = [
        Annotation(
            image="",
            points=points[n],
            states=states[n].astype(np.uint8),
            box=_box(points[n], states[n] > 0, heads[n].reshape(2, 2).mean(axis=0), 1.0),
            reference=head_reference(heads[n]),
        )
        for n in range(len(points))
    ]
    return AnnotatedPictures("mpii", "val", MPII16, annotations)


def release_labels(path: Path, split: str) -> AnnotatedPictures:
    """The labels of the official ``.mat``: ``"trainval"``, or ``"test"`` without joints."""
    if split not in ("trainval", "test"):
        raise UserError(f"{path}: has the splits trainval and test, not {split!r}")
    release = read_release(path)
    train = split == "trainval"
    annotations = []
    with reading(path, f"the official {RELEASE}"):
        for image, name, person, rectangle in release_persons(release):
            wanted = train or person in single_persons(release, image)
            if wanted and bool(release.img_train[image]) == train:
                annotation = _of_release(name, rectangle, number=_number(image + 1, person + 1))
                if annotation is not None and (annotation.annotated.any() or not train):
                    annotations.append(annotation)
    return AnnotatedPictures("mpii", split, MPII16, annotations)


def read_release(path: Path) -> Any:
    """The ``RELEASE`` struct of the official file."""
    content = load_mat(path, wanted=f"the official {RELEASE}", structs=True)
    release: Any = content.get("RELEASE")
    lacking = [f for f in ("annolist", "img_train", "single_person") if not hasattr(release, f)]
    if lacking:
        wanted = f"RELEASE with {', '.join(lacking)}"
        raise another_file(path, f"the official {RELEASE}", content, wanted)
    with reading(path, f"the official {RELEASE}"):
        release.annolist = as_list(release.annolist)
        release.img_train = [int(flag) for flag in np.atleast_1d(release.img_train)]
        # Squeezing opens the cell array of a lone picture.
        alone = len(release.annolist) == 1
        release.single_person = [release.single_person] if alone else as_list(release.single_person)
    return release


def release_persons(release: Any) -> Iterator[tuple[int, str, int, Any]]:
    """Image index, image name, person index and record of every ``annorect``, indices from 0."""
    for image, entry in enumerate(release.annolist):
        name = str(_field(entry, "image.name", ""))
        for person, rectangle in enumerate(as_list(_field(entry, "annorect"))):
            yield image, name, person, rectangle


def single_persons(release: Any, image: int) -> list[int]:
    """The persons of an image that stand apart, counted from 0."""
    if image >= len(release.single_person):
        return []
    return [int(n) - 1 for n in np.atleast_1d(release.single_person[image]).ravel()]


def submission(release: Any, predictions: dict[tuple[int, int], Array]) -> dict[str, Any]:
    """The content of ``pred_keypoints_mpii.mat`` for the test server.

    It is ``{"pred": struct array}``: RELEASE.annolist(img_train == 0), whose single persons have
    ``annopoints.point(p)`` with ``x``, ``y`` (1-based pixels) and ``id`` 0..15. Predictions are
    (16, 2) joints in 0-based pixels by image and person index; one that lacks is a `UserError`.
    """
    images = [n for n, train in enumerate(release.img_train) if not train]
    pred = []
    for image in images:
        entry = release.annolist[image]
        name = str(_field(entry, "image.name", ""))
        people = as_list(_field(entry, "annorect"))
        rectangles: list[tuple[Any]] = [(np.empty((0, 0)),)] * len(people)
        for person in single_persons(release, image):
            joints = predictions.get((image, person))
            if joints is None:
                raise UserError(
                    f"no prediction for person {person + 1} of test image {name} "
                    f"(annolist {image + 1}); the server wants every single person"
                )
            places = np.asarray(joints, dtype=np.float64) + 1
            points = [(x, y, float(joint)) for joint, (x, y) in enumerate(places)]
            rectangles[person] = ({"point": _structs(points, "x", "y", "id")},)
        pred.append(({"name": name}, _structs(rectangles, "annopoints")))
    return {"pred": _structs(pred, "image", "annorect")}


def _structs(rows: Sequence[tuple[Any, ...]], *fields: str) -> Array:
    """A struct array (1, N) of MATLAB."""
    return np.array(rows, dtype=[(field, "O") for field in fields])[None]


def annolist_index(number: int) -> tuple[int, int]:
    """Image and person index, from 0, of an annotation's `number`."""
    return number // 1000 - 1, number % 1000 - 1


def head_reference(box: Array) -> float:
    """PCKh's reference length in pixels: 0.6 of the head box's diagonal."""
    return HEAD_SHARE * float(np.hypot(box[2] - box[0], box[3] - box[1]))


def _number(image: float, person: float) -> int:
    """One number for an annolist index and a person, both from 1."""
    return 1000 * int(image) + int(person)


def _box(points: Array, labelled: Array, centre: Array, scale: float) -> Array:
    """The tight box of the labelled joints, or of the annotated height without any."""
    if labelled.any():
        return box_of_points(points[labelled])
    reach = PERSON_PIXELS * scale / 2
    return np.concatenate([centre - reach, centre + reach])


def _of_json(person: dict[str, Any]) -> Annotation:
    joints = np.array(person["joint_self"], dtype=np.float64)
    if joints.shape != (16, 3):
        raise ValueError(f"joint_self must be 16 x 3, got {dims(joints.shape)}")
    labelled = (joints != 0).any(axis=1) & np.isfinite(joints[:, :2]).all(axis=1)
    points = joints[:, :2] - 1
    centre = np.array(person["objpos"], dtype=np.float64) - 1
    scale = float(person["scale_provided"])
    neck_to_head_top = float(np.linalg.norm(points[HEAD] - points[NECK]))
    return Annotation(
        image=str(person["img_paths"]),
        points=points,
        states=joint_states(labelled, joints[:, 2] > 0),
        box=_box(points, labelled, centre, scale),
        reference=positive(HEAD_SHARE / NECK_TO_HEAD_TOP * neck_to_head_top)
        if labelled[[HEAD, NECK]].all()
        else None,
        centre=centre,
        scale=scale,
        number=_number(person["annolist_index"], person["people_index"]),
    )


def _of_release(name: str, rectangle: Any, *, number: int) -> Annotation | None:
    """One ``annorect``, whose fields may be missing or empty; None without scale and joints."""
    points = np.zeros((16, 2))
    states = np.zeros(16, dtype=np.uint8)
    for point in as_list(_field(rectangle, "annopoints.point")):
        joint, x, y = (_scalar(point, name) for name in ("id", "x", "y"))
        if joint is None or x is None or y is None or not 0 <= joint < 16:
            continue
        points[int(joint)] = x - 1, y - 1
        # Neck and head top come without the flag; it is a number or a character elsewhere.
        hidden = _scalar(point, "is_visible") == 0
        states[int(joint)] = JointState.OCCLUDED if hidden else JointState.VISIBLE
    scale, x, y = (_scalar(rectangle, name) for name in ("scale", "objpos.x", "objpos.y"))
    centre = None if x is None or y is None else np.array([x - 1, y - 1])
    if not states.any() and (centre is None or scale is None):
        return None
    sides = [_scalar(rectangle, side) for side in ("x1", "y1", "x2", "y2")]
    reference = None
    if None not in sides:
        reference = positive(head_reference(np.array(sides, dtype=np.float64) - 1))
    return Annotation(
        image=name,
        points=points,
        states=states,
        box=_box(points, states > 0, np.zeros(2) if centre is None else centre, scale or 1.0),
        reference=reference,
        centre=centre,
        scale=scale,
        number=number,
    )


def _field(record: Any, path: str, default: Any = None) -> Any:
    """A field of a struct's field, or a default where one is missing."""
    for name in path.split("."):
        record = getattr(record, name, default)
    return record


def _scalar(record: Any, path: str) -> float | None:
    """A number that may be absent, empty, boxed in an array, or a character."""
    value = _field(record, path)
    values: Any = [] if value is None else np.ravel(value)
    try:
        number = float(values[0])
    except (IndexError, TypeError, ValueError):
        return None
    return number if np.isfinite(number) else None


def _with_lengths(labels: AnnotatedPictures, exact: AnnotatedPictures) -> AnnotatedPictures:
    """Labels with the reference lengths of other labels, where these have them."""
    known = {person.number: person.reference for person in exact.annotations}
    annotations = [
        replace(person, reference=known.get(person.number) or person.reference)
        for person in labels.annotations
    ]
    return replace(labels, annotations=annotations)

"""The formats of labels by their names: recognised, read, and written with what is lost."""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from spcnet.data.annotations import AnnotatedPictures, JointState
from spcnet.data.coco import PREFIX, is_coco
from spcnet.data.formats import coco, cvat, deeplabcut, label_studio, labelme, sleap, yolo
from spcnet.data.formats.records import Document, at, collecting
from spcnet.data.label_files import load_json, load_text, load_xml
from spcnet.errors import UserError
from spcnet.files import whole_folder
from spcnet.registries import Registry
from spcnet.skeletons import SKELETONS


@dataclass(frozen=True)
class LabelFormat:
    """A form of tools' labels; what is wrong with a file is a `UserError`."""

    title: str
    patterns: tuple[str, ...]  # of its files in a folder: the first that any is of
    load: Callable[..., Any]  # a file's content
    fits: Callable[[Any], bool]  # whether it is of the form
    read: Callable[[Path, Sequence[Path]], Document]  # what was named, and the files there
    # A split into a folder, of all splits if its pictures are in images/SPLIT; None where not.
    write: Callable[[AnnotatedPictures, Path, str], None] | None = None
    pictures: str = ""  # the folder within that where they belong
    loses: str = ""  # of `LOSSES`


ROBOFLOW = (coco.ROBOFLOW, f"*/{coco.ROBOFLOW}")
COCO = (f"annotations/{PREFIX}*.json", "*.json", "annotations/*.json")
DLC = tuple(f"{place}CollectedData_*.csv" for place in ("", "*/", "labeled-data/*/"))
# fmt: off
FORMATS = Registry("format of labels", {
    "roboflow": LabelFormat(
        "Roboflow's folders of COCO keypoints", ROBOFLOW, load_json, is_coco, coco.read),
    "coco": LabelFormat(
        "COCO keypoints", COCO, load_json, is_coco, coco.read, coco.write, "images/{split}"),
    "cvat": LabelFormat(
        "CVAT for images", ("annotations.xml", "*.xml"), load_xml, cvat.fits,
        collecting(cvat.read), cvat.write, "{split}/images", "pairs crowds areas"),
    "label-studio": LabelFormat(
        "Label Studio", ("*.json",), load_json, label_studio.fits,
        collecting(label_studio.read), label_studio.write, "{split}",
        "occluded limbs pairs unlabelled crowds areas"),
    "yolo": LabelFormat(
        "YOLO-pose", ("data.yaml", "*.yaml", "*.yml"), yolo.load, yolo.fits,
        collecting(yolo.read), yolo.write, "images/{split}", "limbs outside crowds areas"),
    "labelme": LabelFormat(
        "LabelMe", ("**/*.json",), load_json, labelme.fits,
        collecting(labelme.read), labelme.write, "{split}",
        "occluded limbs pairs unlabelled crowds areas"),
    "dlc": LabelFormat(
        "DeepLabCut", DLC, load_text, deeplabcut.fits,
        collecting(deeplabcut.read), deeplabcut.write, "{split}/labeled-data",
        "occluded boxes limbs pairs jointless crowds areas"),
    "sleap": LabelFormat(
        "SLEAP", ("*.json", "*.slp"), sleap.load, sleap.fits,
        collecting(sleap.read), sleap.write, "{split}", "boxes jointless crowds areas"),
})
# fmt: on
LOSSES = {
    "occluded": "occluded joints, which become visible",
    "boxes": "boxes, in place of which those of the joints stand",
    "limbs": "limbs of the skeleton",
    "pairs": "pairs of joints that mirror each other though no name says so",
    "unlabelled": "joints that nobody has labelled",
    "jointless": "persons without a labelled joint, who are left out",
    "outside": "joints outside their picture, which are left out",
    "crowds": "crowds, which are left out",
    "areas": "areas of persons",
}


def _losses(labels: AnnotatedPictures) -> Counter[str]:
    """How many of each kind labels have."""
    persons, skeleton = labels.annotations, labels.skeleton
    sizes = {of.name: of.size[::-1] for of in labels.listed if of.size}
    states = np.array([person.states for person in persons])
    points = np.array([person.points for person in persons])
    ends = np.array([sizes.get(person.image, (np.inf, np.inf)) for person in persons])
    outside = ((points < 0) | (points > ends[:, None])).any(axis=2) & (states > 0)
    areas = [(p.area, np.prod(p.box[2:] - p.box[:2])) for p in persons]
    return Counter({
        "occluded": int((states == JointState.OCCLUDED).sum()),
        "boxes": sum(not p.boxed_by_joints for p in persons),
        "limbs": 0 if skeleton in SKELETONS.values() else len(skeleton.limbs),
        "pairs": len(skeleton.pairs),
        "unlabelled": int((states == 0).all(axis=0).sum()),
        "jointless": int((states == 0).all(axis=1).sum()),
        "outside": int(outside.sum()),
        "crowds": sum(p.crowd for p in persons),
        "areas": sum(not np.isclose(own or of_box, of_box, rtol=0.01) for own, of_box in areas),
    })  # fmt: skip


def recognise(path: Path) -> str | None:
    """The name of the format that a file or folder is of; one that is broken is a `UserError`."""
    contents: dict[tuple[Path, Any], Any] = {}
    for name, form in FORMATS.items():
        for file in _files(form, path)[:1]:
            if (file, form.load) not in contents:
                contents[file, form.load] = form.load(file, wanted="labels of poses")
            if form.fits(contents[file, form.load]):
                return name
    return None


def _files(form: LabelFormat, path: Path) -> list[Path]:
    """A file that may be of the format by its name, or those of a folder."""
    if not path.is_dir():
        called = path.with_name(path.name.removesuffix(".gz"))
        return [path] * any(called.match(Path(pattern).name) for pattern in form.patterns)
    return next((found for p in form.patterns if (found := sorted(path.glob(p)))), [])


def label_format(name: str) -> LabelFormat:
    """A format by its name; of another a `UserError`."""
    if not FORMATS.knows(name):
        raise UserError(FORMATS.unknown(name))
    return FORMATS[name]


def read_document(path: Path, name: str | None = None) -> Document:
    """The labels of a file or folder, by splits; of another format, or none, a `UserError`."""
    if (name := name or recognise(path)) is None:
        known = ", ".join(form.title for form in FORMATS.values())
        raise UserError(f"{path}: holds no labels that are read; these are: {known}")
    form = label_format(name)
    if not (files := _files(form, path)):
        raise UserError(f"{path}: {form.title} has {' or '.join(form.patterns)}, and this has not")
    return form.read(path, files)


def write_document(document: Document, name: str, folder: Path) -> dict[str, int]:
    """Write labels into a new folder; gives how many of `LOSSES` they have that are lost.

    Raises:
        UserError: there is such a folder, the format is not written, or a picture is not there
            whose size is needed.
    """
    form, lost = label_format(name), Counter[str]()
    if form.write is None:
        raise UserError(f"{form.title}: this format is read only; choose coco")
    with whole_folder(folder) as partial, at(folder, "a name"):
        for split, labels in document.items():
            split = split if len(document) > 1 else ""
            place = partial / (split if form.pictures.startswith("{split}") else "")
            place.mkdir(exist_ok=True)
            form.write(labels, place, split)
            lost += _losses(labels)
    return {kind: lost[kind] for kind in form.loses.split() if lost[kind]}

"""CVAT's own XML, *CVAT for images 1.1*: skeletons, points and boxes."""

import re
from collections.abc import Iterator
from html import escape, unescape
from pathlib import Path
from xml.etree.ElementTree import Element, ElementTree, SubElement

from spcnet.data.annotations import AnnotatedPictures, JointState
from spcnet.data.formats.records import Found, Point, at, gather, pictures_of
from spcnet.data.label_files import load_xml

CORNERS = ("xtl", "ytl", "xbr", "ybr")


def fits(root: Element) -> bool:
    return root.tag == "annotations"


def read(splits: dict[str, Found], file: Path) -> None:
    """All pictures; points without a skeleton are of persons by their groups."""
    found, root = splits[""], load_xml(file, wanted="an XML of CVAT for images")
    found.folders = [file.parent, file.parent / "images"]
    with at(file, "labels of meta"):
        if root.find("track") is not None:
            raise ValueError("this is CVAT for video; choose CVAT for images 1.1 to export")
        for label in root.iterfind("meta//label"):
            found.joints += [label.findtext("name", "")] * (label.find("parent") is not None)
            found.limbs += _limbs(label.findtext("svg", ""))
    for n, image in enumerate(root.iterfind("image"), start=1):
        with at(file, f"image {image.get('name', n)}"):
            boxes = [
                (box.get("group_id"), (x0, y0, x1, y1))
                for box in image.iterfind("box")
                for x0, y0, x1, y1 in [[float(box.attrib[corner]) for corner in CORNERS]]
            ]
            sides = image.get("height"), image.get("width")
            found.add(image.attrib["name"], gather(boxes, _points(image)), sides)


def _limbs(svg: str) -> Iterator[tuple[str, str]]:
    """The lines of a skeleton's drawing, between its nodes by their labels."""
    tags = [dict(re.findall(r'([\w-]+)="([^"]*)"', tag)) for tag in re.findall("<[^>]*>", svg)]
    nodes = {of.get("data-node-id"): unescape(of.get("data-label-name", "")) for of in tags}
    for of in (of for of in tags if "data-node-from" in of):
        yield nodes[of["data-node-from"]], nodes[of["data-node-to"]]


def _points(image: Element) -> Iterator[tuple[object, str, Point]]:
    for n, shape in enumerate(image):
        parts = shape.findall("points") if shape.tag == "skeleton" else [shape]
        for part in (part for part in parts if part.tag == "points" and part.get("outside") != "1"):
            state = JointState.OCCLUDED if part.get("occluded") == "1" else JointState.VISIBLE
            places = part.attrib["points"].split(";")
            lone = shape is part and len(places) == 1
            for k, place in enumerate(places, start=1):
                x, y = map(float, place.split(","))
                joint = part.attrib["label"] + f"_{k}" * (len(places) > 1)
                yield shape.get("group_id", None if lone else f"shape {n}"), joint, (x, y, state)


def write(labels: AnnotatedPictures, folder: Path, split: str) -> None:
    """``annotations.xml``; a box other than the joints' is grouped with its skeleton."""
    joints, limbs = labels.skeleton.joints, labels.skeleton.limb_indices
    nodes = enumerate(map(escape, joints))
    svg = [f'<circle data-node-id="{n}" data-label-name="{joint}"/>' for n, joint in nodes]
    svg += [f'<line data-node-from="{a}" data-node-to="{b}"/>' for a, b in limbs]
    root = Element("annotations")
    listed = SubElement(SubElement(SubElement(root, "meta"), "task"), "labels")
    parts = [{"name": joint, "type": "points", "parent": "person"} for joint in joints]
    for texts in [{"name": "person", "type": "skeleton", "svg": "".join(svg)}, *parts]:
        label = SubElement(listed, "label")
        for tag, text in texts.items():
            SubElement(label, tag).text = text
    for n, picture in enumerate(pictures_of(labels)):
        width, height = map(str, picture.size)
        image = SubElement(root, "image", id=str(n), name=picture.name, width=width, height=height)
        for m, person in enumerate(picture.persons, start=1):
            group = {"group_id": str(m)} if person.box else {}
            if person.box:
                sides = dict(zip(CORNERS, (f"{side:.3f}" for side in person.box), strict=True))
                SubElement(image, "box", group | sides, label="person_box")
            drawn = SubElement(image, "skeleton", group, label="person", z_order="0")
            for joint in joints:
                x, y, state = person.joints.get(joint, (0, 0, JointState.MISSING))
                place = SubElement(drawn, "points", label=joint, points=f"{x:.3f},{y:.3f}")
                place.set("outside", f"{state == JointState.MISSING:d}")
                place.set("occluded", f"{state == JointState.OCCLUDED:d}")
    ElementTree(root).write(folder / "annotations.xml", encoding="utf-8", xml_declaration=True)

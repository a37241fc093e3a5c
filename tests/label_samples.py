"""Small files as tools export them, all of the same two persons in one picture of 200 x 100.

Written by hand after the tools' documentation. The joints are left_hand, right_hand and nose; one
person has the nose at (40, 30), the left hand at (20, 50) and no right hand, the other all three:
the nose at (120, 20), the left hand at (100, 60) and the right one, occluded where the tool can
say so, at (150, 70).
"""

import json
from pathlib import Path

from PIL import Image

COCO = {
    "info": {"description": "two persons"},
    "images": [{"id": 1, "file_name": "a.png", "width": 200, "height": 100}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 1600,
         "keypoints": [20, 50, 2, 0, 0, 0, 40, 30, 2], "bbox": [10, 20, 40, 40]},
        {"id": 2, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 4800,
         "keypoints": [100, 60, 2, 150, 70, 1, 120, 20, 2], "bbox": [90, 10, 80, 60]},
    ],
    "categories": [{"id": 1, "name": "person", "supercategory": "",
                    "keypoints": ["left_hand", "right_hand", "nose"],
                    "skeleton": [[1, 3], [2, 3]]}],
}  # fmt: skip
CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>7</id>
      <name>two persons</name>
      <labels>
        <label>
          <name>person</name>
          <color>#c06060</color>
          <type>skeleton</type>
          <attributes></attributes>
          <svg>&lt;line x1="36" y1="40" x2="50" y2="30" stroke="black" data-type="edge" data-node-from="1" stroke-width="0.5" data-node-to="3"&gt;&lt;/line&gt;&lt;line x1="60" y1="40" x2="50" y2="30" stroke="black" data-type="edge" data-node-from="2" stroke-width="0.5" data-node-to="3"&gt;&lt;/line&gt;&lt;circle r="1.5" cx="36" cy="40" data-type="element node" data-element-id="1" data-node-id="1" data-label-name="left_hand"&gt;&lt;/circle&gt;&lt;circle r="1.5" cx="60" cy="40" data-type="element node" data-element-id="2" data-node-id="2" data-label-name="right_hand"&gt;&lt;/circle&gt;&lt;circle r="1.5" cx="50" cy="30" data-type="element node" data-element-id="3" data-node-id="3" data-label-name="nose"&gt;&lt;/circle&gt;</svg>
        </label>
        <label><name>left_hand</name><type>points</type><parent>person</parent></label>
        <label><name>right_hand</name><type>points</type><parent>person</parent></label>
        <label><name>nose</name><type>points</type><parent>person</parent></label>
        <label><name>box</name><type>rectangle</type></label>
      </labels>
    </task>
  </meta>
  <image id="0" name="a.png" width="200" height="100">
    <box label="box" source="manual" occluded="0" xtl="10.00" ytl="20.00" xbr="50.00" ybr="60.00" z_order="0"></box>
    <box label="box" source="manual" occluded="0" xtl="90.00" ytl="10.00" xbr="170.00" ybr="70.00" z_order="0" group_id="4"></box>
    <skeleton label="person" source="manual" z_order="0">
      <points label="nose" source="manual" outside="0" occluded="0" points="40.00,30.00"></points>
      <points label="left_hand" source="manual" outside="0" occluded="0" points="20.00,50.00"></points>
      <points label="right_hand" source="manual" outside="1" occluded="0" points="33.00,44.00"></points>
    </skeleton>
    <skeleton label="person" source="manual" z_order="0" group_id="4">
      <points label="left_hand" source="manual" outside="0" occluded="0" points="100.00,60.00"></points>
      <points label="right_hand" source="manual" outside="0" occluded="1" points="150.00,70.00"></points>
      <points label="nose" source="manual" outside="0" occluded="0" points="120.00,20.00"></points>
    </skeleton>
  </image>
</annotations>
"""  # noqa: E501


def _percent(x: float, y: float) -> dict[str, float]:
    return {"x": 100 * (x + 0.5) / 200, "y": 100 * (y + 0.5) / 100}


def _region(
    id: str, kind: str, label: str, x: float, y: float, **more: object
) -> dict[str, object]:
    size = {key: more.pop(key) for key in ("width", "height") if key in more}
    return {
        "id": id, "type": kind, "from_name": kind[:3], "to_name": "img", "origin": "manual",
        "original_width": 200, "original_height": 100, "image_rotation": 0,
        "value": {**_percent(x, y), "width": 0.5, **size, "rotation": 0, kind: [label]}, **more,
    }  # fmt: skip


LABEL_STUDIO = [
    {
        "id": 3,
        "data": {"img": "/data/upload/12/1a2b3c4d-a.png"},
        "file_upload": "1a2b3c4d-a.png",
        "annotations": [
            {"id": 8, "was_cancelled": True, "result": []},
            {
                "id": 9,
                "was_cancelled": False,
                "result": [
                    _region("p", "rectanglelabels", "person", 10, 20, width=20.0, height=40.0),
                    _region("q", "rectanglelabels", "person", 90, 10, width=40.0, height=60.0),
                    _region("a", "keypointlabels", "nose", 40, 30),  # it lies in p
                    _region("b", "keypointlabels", "left_hand", 20, 50, parentID="p"),
                    _region("c", "keypointlabels", "nose", 120, 20, parentID="q"),
                    _region("d", "keypointlabels", "left_hand", 100, 60, parentID="q"),
                    _region("e", "keypointlabels", "right_hand", 150, 70),
                    {"type": "relation", "from_id": "q", "to_id": "e", "direction": "right"},
                ],
            },
        ],
        "predictions": [],
    }
]
YOLO = """# YOLO
path: ../datasets/two
train: ../train/images
val: valid/images

kpt_shape: [3, 3]
flip_idx: [1, 0, 2]
names:
  0: person
kpt_names:
  0: [left_hand, right_hand, nose]
"""
YOLO_LINES = (
    "0 0.15 0.4 0.2 0.4 0.1 0.5 2 0 0 0 0.2 0.3 2\n"
    "0 0.65 0.4 0.4 0.6 0.5 0.6 2.000000 0.75 0.7 1.0 0.6 0.2 2\n"
)


def _shape(label: str, group: int | None, kind: str, *points: list[float]) -> dict[str, object]:
    return {"label": label, "points": [*points], "group_id": group, "description": "",
            "shape_type": kind, "flags": {}, "mask": None}  # fmt: skip


LABELME = {
    "version": "5.4.1", "flags": {}, "imagePath": "..\\a.png", "imageData": None,
    "imageHeight": 100, "imageWidth": 200,
    "shapes": [
        _shape("nose", 1, "point", [40, 30]),
        _shape("left_hand", 1, "point", [20, 50]),
        _shape("person", 1, "rectangle", [50, 60], [10, 20]),
        _shape("table", None, "polygon", [0, 0], [9, 0], [9, 9]),
        _shape("nose", 2, "point", [120, 20]),
        _shape("left_hand", 2, "point", [100, 60]),
        _shape("right_hand", 2, "point", [150, 70]),
        _shape("person", 2, "rectangle", [90, 10], [170, 70]),
    ],
}  # fmt: skip
DLC_SEVERAL = """scorer,,,Ann,Ann,Ann,Ann,Ann,Ann,Ann,Ann,Ann,Ann,Ann,Ann
individuals,,,one,one,one,one,one,one,two,two,two,two,two,two
bodyparts,,,left_hand,left_hand,right_hand,right_hand,nose,nose,left_hand,left_hand,right_hand,right_hand,nose,nose
coords,,,x,y,x,y,x,y,x,y,x,y,x,y
labeled-data,film,a.png,20.0,50.0,,,40.0,30.0,100.0,60.0,150.0,70.0,120.0,20.0
labeled-data,film,b.png,,,,,,,,,,,,
"""
DLC_ONE = """scorer,Ann,Ann,Ann,Ann
bodyparts,nose,nose,tail,tail
coords,x,y,x,y
labeled-data\\film\\a.png,1.5,2.5,NaN,NaN
labeled-data\\film\\b.png,3,4,5,6
"""


def _sleap_points(points: dict[str, tuple[float | None, float | None, bool]]) -> dict[str, object]:
    of = {n: {"x": x, "y": y, "visible": v, "complete": True} for n, (x, y, v) in points.items()}
    return {"skeleton": 0, "track": None, "from_predicted": None, "_points": of}


_EDGE = {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [1]}, None, None, None]}
_SYMMETRY = {"py/reduce": [{"py/type": "sleap.skeleton.EdgeType"}, {"py/tuple": [2]}]}
SLEAP = {
    "version": "2.0.0",
    "skeletons": [{
        "directed": True, "multigraph": True,
        "graph": {"name": "Skeleton-0", "num_edges_inserted": 2},
        "links": [
            {"edge_insert_idx": 0, "key": 0, "source": 1, "target": 0, "type": _EDGE},
            {"key": 0, "source": 1, "target": 2, "type": _SYMMETRY},
            {"edge_insert_idx": 1, "key": 0, "source": 2, "target": 0, "type": {"py/id": 1}},
            {"key": 0, "source": 2, "target": 1, "type": {"py/id": 2}},
        ],
        "nodes": [{"id": 1}, {"id": 2}, {"id": 0}],
    }],
    "nodes": [{"name": "nose", "weight": 1.0}, {"name": "left_hand", "weight": 1.0},
              {"name": "right_hand", "weight": 1.0}],
    "videos": [{"backend": {"filename": "a.png", "filenames": ["a.png"], "grayscale": False}}],
    "labels": [{"video": "0", "frame_idx": 0, "_instances": [
        _sleap_points({"0": (40, 30, True), "1": (20, 50, True), "2": (None, None, False)}),
        _sleap_points({"0": (120, 20, True), "1": (100, 60, True), "2": (150, 70, False)}),
        {**_sleap_points({"0": (1, 1, True)}), "score": 0.5},
    ]}],
    "tracks": [],
}  # fmt: skip


def picture(path: Path, size: tuple[int, int] = (200, 100)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size).save(path)


def write(folder: Path, files: dict[str, object]) -> Path:
    """Files of texts, or of what JSON has, in a folder."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


# By format: the files of a sample, where its pictures are, and the file that holds the labels.
SAMPLES: dict[str, tuple[dict[str, object], list[str], str]] = {
    "coco": ({"annotations/person_keypoints_default.json": COCO}, ["images/default/a.png"],
             "annotations/person_keypoints_default.json"),
    "roboflow": ({"train/_annotations.coco.json": COCO}, ["train/a.png"],
                 "train/_annotations.coco.json"),
    "cvat": ({"annotations.xml": CVAT}, ["images/a.png"], "annotations.xml"),
    "label-studio": ({"project-1.json": LABEL_STUDIO}, ["a.png"], "project-1.json"),
    "yolo": ({"data.yaml": YOLO, "train/labels/a.txt": YOLO_LINES,
              "valid/labels/a.txt": YOLO_LINES},
             ["train/images/a.png", "train/images/empty.png", "valid/images/a.png"],
             "train/labels/a.txt"),
    "labelme": ({"labels/a.json": LABELME}, ["a.png"], "labels/a.json"),
    "dlc": ({"labeled-data/film/CollectedData_Ann.csv": DLC_SEVERAL},
            ["labeled-data/film/a.png", "labeled-data/film/b.png"],
            "labeled-data/film/CollectedData_Ann.csv"),
    "sleap": ({"labels.json": SLEAP}, ["a.png"], "labels.json"),
}  # fmt: skip


def sample(name: str, folder: Path) -> Path:
    """A folder with a format's sample and its pictures; the folder itself."""
    files, pictures, _ = SAMPLES[name]
    for place in pictures:
        picture(folder / place)
    return write(folder, files)

"""SLEAP: labels saved as JSON, of pictures or of frames of films."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

from spcnet.data.annotations import AnnotatedPictures, JointState
from spcnet.data.coco_files import slashed
from spcnet.data.formats.records import Found, Person, Point, at, pictures_of
from spcnet.data.label_files import load_json
from spcnet.errors import UserError

EDGE, SYMMETRY = 1, 2  # SLEAP's EdgeType


def fits(content: Any) -> bool:
    own = isinstance(content, dict) and {"skeletons", "videos", "labels"} <= content.keys()
    return own or content is None


def load(path: Path, *, wanted: str) -> Any:
    """The content; of SLEAP's own file, which is not read, None."""
    return None if path.suffix == ".slp" else load_json(path, wanted=wanted)


def read(splits: dict[str, Found], file: Path) -> None:
    """What people labelled, not predictions; a film's frames are called FILM/000012.png."""
    found, content = splits[""], load(file, wanted="a JSON of SLEAP")
    if content is None:
        remedy = f"save the labels as JSON: sleap-convert {file} --format json -o labels.json"
        raise UserError(f"{file}: SLEAP's own file (HDF5) is not read; {remedy}")
    found.folders = [file.parent]
    with at(file, "skeletons, nodes or videos"):
        nodes = [node["name"] for node in content["nodes"]]
        for skeleton in content["skeletons"]:
            found.joints += [nodes[node["id"]] for node in skeleton["nodes"]]
            kinds: list[int] = []  # which later links count from 1
            for link in skeleton["links"]:
                if "py/reduce" in link["type"]:
                    kinds.append(link["type"]["py/reduce"][1]["py/tuple"][0])
                kind = kinds[link["type"].get("py/id", len(kinds)) - 1]
                pair = nodes[link["source"]], nodes[link["target"]]
                (found.pairs if kind == SYMMETRY else found.limbs).append(pair)
        videos = [video["backend"] for video in content["videos"]]
    for n, frame in enumerate(content["labels"], start=1):
        with at(file, f"frame {n} of labels"):
            video, index = videos[int(frame["video"])], int(frame["frame_idx"])
            film = PurePosixPath(slashed(video["filename"])).stem
            name = video["filenames"][index] if "filenames" in video else f"{film}/{index:06d}.png"
            instances = [of["_points"] for of in frame["_instances"] if "score" not in of]
            points = [{nodes[int(n)]: _point(p) for n, p in of.items()} for of in instances]
            found.add(name, [Person({j: p for j, p in of.items() if p[2]}) for of in points])


def _point(point: Any) -> Point:
    x, y = point["x"], point["y"]
    if x is None or y is None or x != x or y != y:
        return 0, 0, JointState.MISSING
    return float(x), float(y), JointState.VISIBLE if point["visible"] else JointState.OCCLUDED


def write(labels: AnnotatedPictures, folder: Path, split: str) -> None:
    """``labels.json``, with all pictures as one video of single images."""
    skeleton, pictures = labels.skeleton, pictures_of(labels)
    nodes = {joint: n for n, joint in enumerate(skeleton.joints)}
    edges = [(EDGE, *limb) for limb in skeleton.limbs]
    edges += [(SYMMETRY, *pair) for pair in skeleton.pairs]
    kind = {"py/type": "sleap.skeleton.EdgeType"}
    links = [
        {"edge_insert_idx": n, "key": 0, "source": nodes[first], "target": nodes[second],
         "type": {"py/reduce": [kind, {"py/tuple": [of]}]}}
        for n, (of, first, second) in enumerate(edges)
    ]  # fmt: skip
    frames = [
        {"video": "0", "frame_idx": n, "_instances": [
            {"skeleton": "0", "track": None, "from_predicted": None, "_points": {
                nodes[j]: {"x": x, "y": y, "visible": state == JointState.VISIBLE, "complete": True}
                for j, (x, y, state) in person.joints.items()}}
            for person in picture.persons if person.joints]}
        for n, picture in enumerate(pictures)
    ]  # fmt: skip
    graph = {"name": skeleton.name, "num_edges_inserted": len(edges)}
    content = {
        "version": "2.0.0", "labels": frames, "tracks": [],
        "skeletons": [{"directed": True, "multigraph": True, "graph": graph, "links": links,
                       "nodes": [{"id": n} for n in nodes.values()]}],
        "nodes": [{"name": joint, "weight": 1.0} for joint in nodes],
        "videos": [{"backend": {"filename": "", "filenames": [of.name for of in pictures]}}],
    }  # fmt: skip
    (folder / "labels.json").write_text(json.dumps(content) + "\n", encoding="utf-8")

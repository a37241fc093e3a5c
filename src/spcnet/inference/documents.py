"""Results as documents of one form, of pictures, videos, cameras and the service: COCO's and more.

``result.schema.json`` describes every field, and `SCHEMA` is its version.
"""

import json
import shutil
from collections.abc import Iterable, Mapping
from importlib.resources import files
from tempfile import SpooledTemporaryFile
from typing import Any, TextIO

from spcnet.inference.method import Method
from spcnet.inference.pose import Pose
from spcnet.skeletons import Skeleton

SCHEMA = "spcnet-result-1"


def result_schema() -> dict[str, Any]:
    """The JSON Schema of results."""
    text = (files("spcnet.inference") / "result.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def result_info(method: Method | None = None, description: str = "") -> dict[str, Any]:
    """The head of a document: its version, and what it was made by, as facts and in words."""
    words = {"description": description} if description else {}
    return {**words, "schema": SCHEMA, **({"method": method.to_dict()} if method else {})}


def coco_document(
    images: Iterable[tuple[str, tuple[int, int], list[Pose]]],
    skeleton: Skeleton,
    info: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The document of several pictures: of each file name, (height, width) and poses.

    `info` is what `result_info` gives, by default that of no method.
    """
    entries: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for image_id, (name, (height, width), poses) in enumerate(images, start=1):
        entries.append({"id": image_id, "file_name": name, "width": width, "height": height})
        annotations += [
            pose.to_coco(image_id=image_id, annotation_id=len(annotations) + n)
            for n, pose in enumerate(poses, start=1)
        ]
    categories = [skeleton.to_coco_category()]
    head = dict(result_info() if info is None else info)
    return {"info": head, "images": entries, "annotations": annotations, "categories": categories}


class CocoCollection:
    """The documents of many pictures or frames as one, of which only counts stay in memory.

    It begins with `head`: ``info``, and ``videos`` where the pictures are frames. All poses are of
    one skeleton.
    """

    def __init__(self, head: Mapping[str, Any], skeleton: Skeleton) -> None:
        self.pictures = self._persons = 0
        self._head, self._categories = dict(head), [skeleton.to_coco_category()]
        self._images, self._annotations = (
            SpooledTemporaryFile(1 << 20, "w+")  # noqa: SIM115
            for _ in range(2)
        )

    def add(self, document: Mapping[str, Any]) -> None:
        """Add the one image of a document and its annotations, which are numbered anew."""
        (image,) = document["images"]
        self.pictures += 1
        rows = [(self._images, {**image, "id": self.pictures})]
        for annotation in document["annotations"]:
            self._persons += 1
            numbers = {"id": self._persons, "image_id": self.pictures}
            rows.append((self._annotations, {**annotation, **numbers}))
        for part, row in rows:
            part.write((",\n " if row["id"] > 1 else "\n ") + json.dumps(row))

    def save(self, file: TextIO) -> None:
        """Write all of them, a line each."""
        file.write("{")
        for key, value in self._head.items():
            file.write(f"{json.dumps(key)}: {json.dumps(value)},\n")
        for key, part in (("images", self._images), ("annotations", self._annotations)):
            part.seek(0)
            file.write(f'"{key}": [')
            shutil.copyfileobj(part, file)
            file.write("],\n")
        file.write(f'"categories": {json.dumps(self._categories)}}}\n')

"""A service with a stand-in for the network, for tests."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI
from PIL import Image

from spcnet.codec import square_of_box
from spcnet.errors import UserError
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.method import Method, PersonSource
from spcnet.inference.pose import Maps, Pose
from spcnet.serve.app import create_app
from spcnet.serve.limits import Limits
from spcnet.skeletons import Skeleton

DOTS = Skeleton("dots", ("left_dot", "right_dot"), (("left_dot", "right_dot"),))
POISON = (255, 0, 255)  # the colour of a picture that makes the stub fail


class Stub:
    """A stand-in for a `PoseEstimator`: its joints are the brightest pixel and the box's corner.

    It can be held, to see what happens to those who wait.
    """

    def __init__(self) -> None:
        self.skeleton = DOTS
        self.path = Path("stub.safetensors")
        self.batches: list[list[tuple[int, int]]] = []  # sizes of the pictures of each
        self.free = threading.Event()
        self.free.set()
        self.entered = threading.Semaphore(0)
        self.has_attention = True

    view = PoseEstimator.view

    def describe(self) -> str:
        return "stub, on paper"

    def method(self, persons: Any, skeleton: Any = None) -> Method:
        return Method(
            version="0", model="stub", weights="ab", precision="fp32", refinement="none",
            flip=False, scales=None, rotations=(0.0,), skeleton=self.view(skeleton).name,
            persons=PersonSource(kind="finder", name="eyes", digest="cd", people=persons),
        )  # fmt: skip

    def predict(self, image: np.ndarray, boxes: Any = None) -> list[Pose]:
        of_image = self.find(image)[1] if boxes is None else boxes
        return next(self._poses([image], [of_image]))

    def find(self, image: np.ndarray, people: str = "one") -> tuple[np.ndarray, Any]:
        """The whole picture is one person, its left half another; a black one shows nobody."""
        height, width = image.shape[:2]
        found = [[0, 0, width - 1, height - 1], [0, 0, width / 2, height - 1]]
        if not image.any():
            found = []
        return image, np.reshape(found[: 1 if people == "one" else 2], (-1, 4))

    def predict_many(self, images: Any, boxes: Any, *, maps: bool = False) -> Iterator[list[Pose]]:
        self.batches.append([image.shape[1::-1] for image in images])
        self.entered.release()
        assert self.free.wait(20)
        if any((image[0, 0] == POISON).all() for image in images):
            raise RuntimeError("poison")
        yield from self._poses(images, boxes, maps=maps)

    def _poses(self, images: Any, boxes: Any, *, maps: bool = False) -> Iterator[list[Pose]]:
        for image, of_image in zip(images, boxes, strict=True):
            height, width = image.shape[:2]
            y, x = np.unravel_index(image.sum(axis=2).argmax(), (height, width))
            yield [
                Pose(
                    np.array([[x, y], box[:2]], np.float32), np.array([0.75, 0.25], np.float32),
                    np.array(box, np.float32), self.skeleton, self._maps(box) if maps else None,
                )
                for box in of_image
            ]  # fmt: skip

    def _maps(self, box: Any) -> Maps:
        heatmaps = np.stack([np.full((4, 4), 1.5, np.float32), np.zeros((4, 4), np.float32)])
        attention = np.full((4, 8, 8), 0.25, np.float32) if self.has_attention else None
        (x, y), side = square_of_box(np.array(box))
        region = np.array([x - side / 2, y - side / 2, x + side / 2, y + side / 2])
        return Maps(heatmaps, attention, region)

    def attention(self, image: np.ndarray, box: Any) -> np.ndarray:
        if not self.has_attention:
            raise UserError("no attention")
        return np.full((4, 8, 8), 0.25, np.float32)


@contextmanager
def app_of(stub: Stub, **limits: Any) -> Iterator[FastAPI]:
    """A service with some limits; its threads end with the block."""
    more = {name: limits.pop(name) for name in ("names", "root_path") if name in limits}
    app = create_app(stub, Limits(**limits), **more)  # type: ignore[arg-type]
    try:
        yield app
    finally:
        stub.free.set()
        app.state.service.close()


def picture(
    width: int = 40, height: int = 30, *, at: tuple[int, int] = (7, 5), form: str = "PNG",
    corner: tuple[int, int, int] = (0, 0, 0), **options: Any,
) -> bytes:  # fmt: skip
    """The bytes of a dark picture with a bright dot."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[0, 0] = corner
    pixels[at[1], at[0]] = 255
    file = BytesIO()
    Image.fromarray(pixels).save(file, format=form, **options)
    return file.getvalue()

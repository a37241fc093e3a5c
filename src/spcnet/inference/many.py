"""Many picture files, read ahead and predicted in batches; a faulty one stops no other."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeAlias, TypeVar

from numpy.typing import ArrayLike

from spcnet.data.images import read_image
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.inference.estimator import PoseEstimator, check_boxes
from spcnet.inference.pose import Pose

GROUP_PIXELS = 50_000_000  # most pixels of the pictures that are predicted together, about

T = TypeVar("T")

# The boxes of a picture (N, 4), from its path and its pixels; None for the whole of it.
BoxesOf: TypeAlias = Callable[[str, Array], ArrayLike | None]


@dataclass(frozen=True, slots=True)
class Predicted:
    """A picture file's RGB uint8 pixels (H, W, 3) and poses.

    `ahead` pictures after it have come with it, so that theirs take no time any more.
    """

    path: str
    picture: Array
    poses: list[Pose]
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class Failed:
    """A picture file that could not be read, or whose boxes were none of it; see `Predicted`."""

    path: str
    reason: str
    ahead: int = 0


@dataclass(frozen=True, slots=True)
class _Read:
    path: str
    picture: Array
    boxes: Array | None


def predict_files(
    estimator: PoseEstimator, paths: Iterable[str], boxes_of: BoxesOf
) -> Iterator[Predicted | Failed]:
    """The poses in many picture files, in their order.

    A file that fails leaves the others alone. While the network looks at some pictures, a thread
    reads the next ones and asks for their boxes; at most two groups of pictures, each of
    `batch_size` or about 50 megapixels, are in memory.

    Args:
        estimator: predicts.
        paths: of the pictures; read only as far as the groups need.
        boxes_of: the boxes of a picture; called in the reading thread.
    """
    for group in _one_ahead(_groups(paths, boxes_of, estimator.batch_size)):
        whole = [item for item in group if isinstance(item, _Read)]
        poses = estimator.predict_many(
            [item.picture for item in whole], [item.boxes for item in whole]
        )
        for ahead, item in zip(reversed(range(len(group))), group, strict=True):
            if isinstance(item, Failed):
                yield replace(item, ahead=ahead)
            else:
                yield Predicted(item.path, item.picture, next(poses), ahead)


def _groups(paths: Iterable[str], boxes_of: BoxesOf, size: int) -> Iterator[list["_Read | Failed"]]:
    group: list[_Read | Failed] = []
    pixels = 0
    for path in paths:
        item = _read(path, boxes_of)
        group.append(item)
        if isinstance(item, _Read):
            pixels += item.picture.shape[0] * item.picture.shape[1]
        if len(group) == size or pixels >= GROUP_PIXELS:
            yield group
            group, pixels = [], 0
    if group:
        yield group


def _read(path: str, boxes_of: BoxesOf) -> "_Read | Failed":
    try:
        picture = read_image(path)
    except UserError as error:
        return Failed(path, str(error))
    try:
        boxes = boxes_of(path, picture)
        return _Read(path, picture, None if boxes is None else check_boxes(boxes, picture))
    except UserError as error:
        return Failed(path, f"{path}: {error}")


def _one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The items of an iterator; the next one is made in a thread while one is used."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item

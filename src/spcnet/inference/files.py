"""Many picture files, read ahead and predicted in batches; a faulty one stops no other."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TypeVar

from numpy.typing import ArrayLike

from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.inference.detectors import PersonDetector
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.people import People, Sightings, naming
from spcnet.inference.pose import Pose
from spcnet.media.images import GreyRange, Picture, greys_alike, read_image
from spcnet.skeletons import Skeleton

GROUP_PIXELS = 50_000_000  # most pixels of the pictures that are predicted together, about

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Predicted:
    """What was found in a picture file.

    `shape` is its (H, W), `picture` RGB uint8 (H, W, 3) or None where it was not to be kept, and
    `ahead` counts the pictures after it that have come with it and take no more time.
    """

    path: str
    shape: tuple[int, int]
    picture: Array | None
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
    """A picture as it is predicted, whole if it is kept, and its persons."""

    path: str
    picture: Picture
    whole: Array | None
    persons: Sightings

    def held(self) -> int:
        """Pixels in memory, about."""
        arrays = {id(array): array for array in (self.picture.pixels, self.whole)}.values()
        return sum(array.size // 3 for array in arrays if array is not None)


def predict_files(
    estimator: PoseEstimator,
    paths: Iterable[str],
    boxes_of: Callable[[str], ArrayLike | None] | None = None,
    *,
    detector: PersonDetector | None = None,
    keep: bool = True,
    people: People = "one",
    skeleton: str | Skeleton | None = None,
    maps: bool = False,
    greys: GreyRange | None = None,
) -> Iterator[Predicted | Failed]:
    """The poses in many picture files, in their order.

    A file that fails leaves the others alone. While the network looks at some pictures, a thread
    reads the next ones and asks for their boxes; at most two groups of pictures, each of
    `batch_size` or about 50 megapixels, are in memory.

    Args:
        estimator: predicts.
        paths: of the pictures; read only as far as the groups need.
        boxes_of: the boxes (N, 4) of a picture by its path, None where it has none; called in the
            reading thread. Without boxes the estimator's finder looks for persons.
        detector: finds them in its pixels instead; called there too. Both are a `ValueError`.
        keep: give the pictures back. JPEGs whose boxes are known by their paths are decoded no
            larger than the crops need; to be given back they are decoded once more, so that
            the poses are the same.
        people: as for `PoseEstimator.predict`.
        skeleton: likewise.
        maps: likewise.
        greys: of the pictures whose greys have more than 8 bits, and that do not say what is
            white; by default the first of them decides.
    """
    if boxes_of is not None and detector is not None:
        raise ValueError("boxes are known by the path or found in the pixels, not both")
    greys = greys or GreyRange()

    def read(path: str) -> _Read | Failed:
        try:
            with greys_alike(greys), naming(path):
                image: str | Picture = path
                boxes: ArrayLike | None = None
                if boxes_of is not None:
                    boxes = boxes_of(path)
                elif detector is not None:
                    image = estimator.reader.read(path)
                    boxes, _ = detector.detect(image.pixels)
                picture, persons = estimator.reader.who(image, boxes, people)
                whole = read_image(path) if keep and picture.reduced else picture.pixels
                return _Read(path, picture, whole if keep else None, persons)
        except UserError as error:
            return Failed(path, str(error))

    for group in _one_ahead(_groups(map(read, paths), estimator.batch_size)):
        good = [item for item in group if isinstance(item, _Read)]
        pictures, persons = [item.picture for item in good], [item.persons for item in good]
        poses = estimator.predict_many(
            pictures, persons, people=people, skeleton=skeleton, maps=maps
        )
        for ahead, item in zip(reversed(range(len(group))), group, strict=True):
            if isinstance(item, Failed):
                yield replace(item, ahead=ahead)
                continue
            yield Predicted(item.path, item.picture.shape, item.whole, next(poses), ahead)


def _groups(items: Iterable[_Read | Failed], size: int) -> Iterator[list[_Read | Failed]]:
    group: list[_Read | Failed] = []
    pixels = 0
    for item in items:
        group.append(item)
        if isinstance(item, _Read):
            pixels += item.held()
        if len(group) == size or pixels >= GROUP_PIXELS:
            yield group
            group, pixels = [], 0
    if group:
        yield group


def _one_ahead(items: Iterator[T]) -> Iterator[T]:
    """The items of an iterator; the next one is made in a thread while one is used."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        coming = thread.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = thread.submit(next, items, None)
            yield item

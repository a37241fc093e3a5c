"""Leeds Sports Pose extended (Johnson and Everingham, CVPR 2011).

The authors' layout: ``joints.mat`` with ``joints`` of shape (14, 3, N), whose third row is 1 for
a labelled joint, and ``images/im00001.jpg`` onwards. Coordinates are used as they stand.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from spcnet.data.annotations import Annotation, JointState
from spcnet.data.images import read_image
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.skeletons import LSP14

# By the number of images. The official release is 10,000, all of them for training; a release of
# 8,860 has its last 800 for validation.
SPLITS = {
    8860: {"train": "1-8060", "val": "8061-8860", "all": "1-8860"},
    10000: {"train": "1-10000", "all": "1-10000"},
}


class LspExtended:
    """The persons of some images of LSP extended, in the order of their numbers.

    Args:
        root: folder that holds ``joints.mat`` and ``images/``.
        split: ``"train"``, ``"val"``, ``"all"``, or image numbers such as ``"1-7760,8000"``.

    Raises:
        UserError: the folder or one of its files is not there or not what it should be, or the
            split is unknown.
    """

    name = "lspet"
    skeleton = LSP14

    def __init__(self, root: str | os.PathLike[str], split: str) -> None:
        self.root = Path(root)
        self.split = split
        joints = _read_joints(self.root)
        count = joints.shape[2]
        named = SPLITS.get(count, {"all": f"1-{count}"})
        asked = parse_numbers(named.get(split, split), count, named=tuple(named))
        # A person without any label has nothing to learn from and nothing to score.
        self.numbers = [number for number in asked if joints[:, 2, number - 1].any()]
        self.annotations = [
            Annotation(
                image=str(self.root / "images" / f"im{number:05d}.jpg"),
                points=joints[:, :2, number - 1],
                states=np.where(joints[:, 2, number - 1] > 0, JointState.VISIBLE, 0).astype(
                    np.uint8
                ),
            )
            for number in self.numbers
        ]

    def __len__(self) -> int:
        return len(self.annotations)

    def samples(self) -> Iterator[tuple[Array, Annotation]]:
        """Every person with the picture, RGB uint8 (H, W, 3)."""
        for annotation in self.annotations:
            yield read_image(annotation.image), annotation


def parse_numbers(ranges: str, count: int, *, named: tuple[str, ...] = ()) -> list[int]:
    """Image numbers from text such as ``"1-7760,8000"``, sorted, each once.

    Raises:
        UserError: the text is no list of ranges, or leaves 1..count.
    """
    numbers: set[int] = set()
    for part in ranges.split(","):
        first, _, last = part.strip().partition("-")
        try:
            span = range(int(first), int(last or first) + 1)
        except ValueError:
            names = "".join(f"{name!r}, " for name in named)
            raise UserError(
                f"unknown split {ranges!r}: use {names}or image numbers such as '1-500,620'"
            ) from None
        if not span or span[0] < 1 or span[-1] > count:
            raise UserError(f"split {ranges!r}: image numbers go from 1 to {count}, got {part!r}")
        numbers.update(span)
    return sorted(numbers)


def _read_joints(root: Path) -> Array:
    """The (14, 3, N) array of ``joints.mat``."""
    import scipy.io
    from scipy.io.matlab import MatReadError

    path = root / "joints.mat"
    if not path.is_file():
        raise UserError(
            f"{root}: no joints.mat here; LSP extended is a folder with joints.mat and images/"
        )
    if not (root / "images").is_dir():
        raise UserError(f"{root}: no images/ here; LSP extended keeps im00001.jpg onwards there")
    try:
        joints = scipy.io.loadmat(str(path))["joints"]
    except (ValueError, NotImplementedError, KeyError, OSError, TypeError, MatReadError) as error:
        raise UserError(f"{path}: not the joints.mat of LSP extended ({error})") from None
    if joints.ndim != 3 or joints.shape[:2] != (14, 3):
        raise UserError(
            f"{path}: joints must be (14, 3, N), got {joints.shape}"
            + ("; this is LSP's own file" if joints.shape[:2] == (3, 14) else "")
        )
    return np.asarray(joints, dtype=np.float64)

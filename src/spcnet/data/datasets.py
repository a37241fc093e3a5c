"""Data sets by name, and their packed stores in the user's cache."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from spcnet.data.annotations import Annotation, Dataset
from spcnet.data.lspet import LspExtended, parse_numbers
from spcnet.data.store import VERSION, PackedStore
from spcnet.data.synthetic import render_figure
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.skeletons import LSP14

DATASETS = ("lspet", "synthetic")
FIGURES = {"train": "1-4000", "val": "900001-900500"}
_FIGURES = 1_000_000  # figures are drawn by number; this many is a bound, not a stock

log = logging.getLogger(__name__)


class SyntheticFigures:
    """Rendered figures by number: needs no download, and left and right are decidable.

    Args:
        split: ``"train"`` (4,000 figures), ``"val"`` (500 others), or figure numbers.
    """

    name = "synthetic"
    skeleton = LSP14

    def __init__(self, split: str) -> None:
        self.split = split
        self.numbers = parse_numbers(FIGURES.get(split, split), _FIGURES, named=tuple(FIGURES))

    def __len__(self) -> int:
        return len(self.numbers)

    def samples(self) -> Iterator[tuple[Array, Annotation]]:
        """Every figure with its picture, RGB uint8 (H, W, 3)."""
        for number in self.numbers:
            figure = render_figure(number)
            yield (
                figure.image,
                Annotation(
                    image=f"figure{number:06d}.png", points=figure.points, states=figure.states
                ),
            )


def open_dataset(name: str, root: str | os.PathLike[str] | None, split: str) -> Dataset:
    """A data set by name.

    Raises:
        UserError: the name is unknown, a root is missing, or the folder is not what it should be.
    """
    if name == "synthetic":
        return SyntheticFigures(split)
    if name != "lspet":
        raise UserError(f"unknown data set {name!r}; there are {', '.join(DATASETS)}")
    if root is None:
        raise UserError(
            f"data set {name!r} needs its folder: --root PATH, or data.root in a recipe"
        )
    return LspExtended(Path(root).expanduser(), split)


def cache_folder() -> Path:
    """Where stores are kept: ``SPCNET_CACHE``, or ``spcnet`` in the user's cache."""
    if own := os.environ.get("SPCNET_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "spcnet"


def cached_store(
    name: str,
    root: str | os.PathLike[str] | None,
    split: str,
    *,
    side: int,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> PackedStore:
    """The packed store of a split, packed into the cache when it is not there yet.

    Args:
        name: of the data set; ``"store"`` takes a store as it is, and `split` is its folder.
        root: folder of the data set.
        split: which part of it.
        side: largest side of a person's crop, pixels.
        report: called while packing with the number of persons done and of all.

    Raises:
        UserError: as `open_dataset`, `pack` and `PackedStore`.
    """
    from spcnet.data.packing import pack

    if name == "store":
        return PackedStore(Path(split).expanduser())
    dataset = open_dataset(name, root, split)
    key = {"root": _identity(root), "split": split, "side": side, "version": VERSION}
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]
    folder = cache_folder() / f"{name}-{digest}"
    if not folder.exists():
        log.info("packing %d persons of %s %s into %s", len(dataset), name, split, folder)
        try:
            pack(dataset, folder, side=side, report=lambda done: report(done, len(dataset)))
        except UserError:
            if not folder.exists():  # else another process packed it meanwhile
                raise
    return PackedStore(folder)


def _identity(root: str | os.PathLike[str] | None) -> list[str | int] | None:
    """What tells one data folder from another, or from an older state of itself."""
    if root is None:
        return None
    labels = Path(root).expanduser() / "joints.mat"
    return [str(labels.resolve()), labels.stat().st_size, labels.stat().st_mtime_ns]


def shuffled(count: int, *, seed: int, epoch: int) -> Array:
    """The order of an epoch, a function of seed and epoch alone."""
    # Another counter than any person's, so that orders and augmentations share no numbers.
    bits = np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, 1])
    return np.random.Generator(bits).permutation(count)

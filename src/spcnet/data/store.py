"""The packed store: persons cut out of their pictures once, ready for training.

The *compact* form travels: ``store.json``, ``persons.npz`` and shards of JPEG regions. *Expanded*
from it once, the regions are raw uint8 in one memory-mapped file. Needs numpy and Pillow only.
"""

import io
import itertools
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image

from spcnet.data.annotations import JointState
from spcnet.data.label_files import load_json, load_npz, reading
from spcnet.errors import UserError, dims
from spcnet.files import remove_leftovers, whole_file
from spcnet.geometry import Array
from spcnet.skeletons import COCO17, Skeleton

FORMAT = "spcnet-store"
VERSION = 3
EXPANDED = "expanded.u8"
LARGEST = 1 << 14  # pixels of a region's side


@dataclass(frozen=True)
class Persons:
    """What is known of each packed person; arrays of N, coordinates in pixels of the region."""

    keys: Array  # (N,) the pictures' names
    points: Array  # (N, K, 2) joints
    states: Array  # (N, K) uint8 of `JointState`
    centres: Array  # (N, 2) middle of the padded square crop
    sides: Array  # (N,) its side
    references: Array  # (N,) the length that the data set itself normalises errors by, or NaN
    sizes: Array  # (N, 2) height and width of the region
    # (N, K, 3) where another model sees the joints, and how probable it is that this is right; 0
    # where it says nothing. In the file they are COCO's 17 joints.
    opinions: Array
    offsets: Array  # (N + 1,) where each JPEG begins, counted over all shards


class PackedStore:
    """Random access to the persons of a store folder; a `UserError` where it is none, or broken."""

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        header = self.folder / "store.json"
        if not header.is_file():
            raise UserError(f"{self.folder}: no store.json here; `spcnet data pack` writes a store")
        self.header: dict[str, Any] = load_json(header, wanted="the header of a packed store")
        with reading(self.folder, "a packed store; pack it again"):
            if self.header.get("format") != FORMAT or self.header.get("version") != VERSION:
                raise UserError(f"{header}: not a store of version {VERSION}; pack it again")
            arrays = load_npz(self.folder / "persons.npz", wanted="the persons of a packed store")
            self._packed = Persons(**arrays)
            self.skeleton = Skeleton.from_dict(self.header["skeleton"])
            self.dataset = str(self.header["dataset"])
            for shard in self.header["shards"]:
                path = self.folder / Path(shard["file"]).name
                if not path.is_file() or path.stat().st_size != shard["bytes"]:
                    raise UserError(f"{path}: missing or cut short; pack the store again")
            _check(self._packed, len(self.skeleton), sum(s["bytes"] for s in self.header["shards"]))
        self.persons = self.persons_as(self.skeleton)
        # Of each person the share of labels that are believed to be wrong where an opinion
        # differs, and a teacher's share of the loss, NaN where nothing is said of it.
        self.doubts, self.taught = np.zeros(len(self)), np.full(len(self), np.nan)
        counts = self.persons.sizes.astype(np.int64).prod(axis=1) * 3
        self._pixel_offsets = np.concatenate([[0], np.cumsum(counts)])

    def __len__(self) -> int:
        return len(self._packed.sides)

    def persons_as(self, skeleton: Skeleton) -> Persons:
        """The persons with the joints of a skeleton, by their names; others are not annotated."""
        packed = self._packed
        return replace(
            packed,
            points=_in_order(packed.points, self.skeleton, skeleton),
            states=_in_order(packed.states, self.skeleton, skeleton),
            opinions=_in_order(packed.opinions, COCO17, skeleton),
        )

    @property
    def pictures(self) -> set[str]:
        """The pictures' names, each with its data set's."""
        return {f"{self.dataset}/{key}" for key in self.persons.keys.tolist()}

    def jpeg(self, index: int) -> bytes:
        """The compressed region of one person."""
        begin, end = (int(offset) for offset in self.persons.offsets[index : index + 2])
        for shard in self.header["shards"]:
            if begin < shard["bytes"]:
                with (self.folder / Path(shard["file"]).name).open("rb") as stream:
                    stream.seek(begin)
                    data: bytes = stream.read(end - begin)
                    return data
            begin, end = begin - shard["bytes"], end - shard["bytes"]
        raise IndexError(f"person {index} of {len(self)}")

    def region(self, index: int) -> Array:
        """The region of one person, RGB uint8 (H, W, 3), from the expanded form."""
        begin, end = self._pixel_offsets[index : index + 2]
        return self._pixels[begin:end].reshape(*self.persons.sizes[index], 3)

    @cached_property
    def _pixels(self) -> Array:
        self.expand()
        return np.memmap(self.folder / EXPANDED, dtype=np.uint8, mode="r")

    def expand(self) -> None:
        """Decode every region once into one file; a `UserError` where it cannot be written."""
        path = self.folder / EXPANDED
        if path.is_file() and path.stat().st_size == self._pixel_offsets[-1]:
            return
        remove_leftovers(self.folder)
        try:
            with whole_file(path) as partial, partial.open("wb") as stream:
                for index in range(len(self)):
                    stream.write(self._decoded(index).tobytes())
        except OSError as error:
            raise UserError(
                f"{path}: cannot expand the store here ({error.strerror or error}); "
                f"it needs {self._pixel_offsets[-1] / 1e9:.1f} GB in a writable folder"
            ) from None

    def _decoded(self, index: int) -> Array:
        size = tuple(self.persons.sizes[index].tolist())
        try:
            with Image.open(io.BytesIO(self.jpeg(index)), formats=("JPEG",)) as image:
                if image.size[::-1] == size:
                    return np.asarray(image.convert("RGB"))
                reason = f"{image.height} x {image.width} pixels in place of {size[0]} x {size[1]}"
        except (OSError, SyntaxError) as error:  # of Pillow, for what is no picture
            reason = str(error).split(" <")[0]
        raise UserError(f"{self.folder}: the region of person {index} is broken ({reason})")


def _check(persons: Persons, joints: int, size: int) -> None:
    """A `ValueError` of arrays that do not belong together, or of numbers that none can be."""
    count = len(persons.sides)
    wanted = {
        "keys": (count,), "points": (count, joints, 2), "states": (count, joints),
        "centres": (count, 2), "sides": (count,), "references": (count,), "sizes": (count, 2),
        "opinions": (count, len(COCO17), 3), "offsets": (count + 1,),
    }  # fmt: skip
    for name, shape in wanted.items():
        array = getattr(persons, name)
        if array.shape != shape or array.dtype.kind not in ("US" if name == "keys" else "uif"):
            raise ValueError(f"{name} must be {dims(shape)} numbers, got {dims(array.shape)}")
    offsets, sizes = persons.offsets, persons.sizes
    if (
        not count
        or offsets[0]
        or offsets[-1] != size
        or (np.diff(offsets.astype(float)) <= 0).any()
    ):
        raise ValueError(f"offsets must rise from 0 to the shards' {size} bytes")
    if not ((sizes >= 1) & (sizes <= LARGEST)).all():
        raise ValueError(f"sizes must be 1 to {LARGEST} pixels, got {sizes.min()} to {sizes.max()}")
    for name in ("points", "centres", "sides", "opinions"):
        if not (np.abs(getattr(persons, name)) < 1e7).all():
            raise ValueError(f"{name} must be pixels, got {getattr(persons, name).ravel()[:3]}")
    if not (persons.sides > 0).all() or persons.states.max() > max(JointState):
        raise ValueError("sides must be positive, and states 0 to 3")


class JoinedStores:
    """Several stores, one after the other, with the joints of one skeleton, annotated or not.

    A store without any joint of the skeleton, or shares that do not add up, are a `UserError`.
    """

    def __init__(
        self,
        stores: Sequence[PackedStore],  # at least one
        *,
        skeleton: Skeleton | None = None,  # by default the first store's
        # Of an epoch that are drawn from each; those with None divide the rest by their sizes.
        shares: Sequence[float | None] | None = None,
        # Of the labels of each that are believed to be wrong where an opinion differs from them.
        doubts: Sequence[float] | None = None,
        taught: Sequence[float | None] | None = None,  # a teacher's share of each one's loss
        titles: Sequence[str] | None = None,  # by default as their data sets; see `distinct`
    ) -> None:
        self.stores = list(stores)
        self._names = list(titles or [store.dataset for store in stores])
        self.skeleton, self.dataset = skeleton or stores[0].skeleton, stores[0].dataset
        for store in stores:
            if not set(store.skeleton.joints) & set(self.skeleton.joints):
                raise UserError(
                    f"{store.folder}: its persons have none of the joints of "
                    f"{self.skeleton.name!r}; they have {', '.join(store.skeleton.joints)}"
                )
        parts = [vars(store.persons_as(self.skeleton)) for store in stores]
        self.persons = Persons(
            **{name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
        )
        sizes, none = [len(store) for store in stores], [None] * len(stores)
        self.doubts = np.repeat(doubts or [0.0] * len(stores), sizes)
        self.taught = np.repeat(np.array(taught or none, dtype=np.float64), sizes)
        self.draws = draws_in_shares(sizes, shares or none)
        self._begins = np.cumsum([0, *sizes])
        rows = itertools.pairwise(self._begins.tolist())
        # Which persons are whose.
        self.sources = {t: slice(*r) for t, r in zip(distinct(self._names), rows, strict=True)}

    def __len__(self) -> int:
        return int(self._begins[-1])

    @property
    def pictures(self) -> set[str]:
        """The pictures' names, each with its store's title."""
        return {
            f"{name}/{key}"
            for name, store in zip(self._names, self.stores, strict=True)
            for key in store.persons.keys.tolist()
        }

    def region(self, index: int) -> Array:
        """The region of one person, RGB uint8 (H, W, 3)."""
        which = int(np.searchsorted(self._begins, index, side="right")) - 1
        return self.stores[which].region(index - self._begins[which])

    def drawn(self, random: np.random.Generator) -> Array:
        """The persons of an epoch (N,), in the stores' shares and in random order.

        A person that is drawn again is counted on by N, so that each draw has its own number.
        """
        return drawn_rows(random, np.diff(self._begins).tolist(), self.draws)


Store: TypeAlias = PackedStore | JoinedStores


def batch_of(store: Store, indices: Array) -> Array:
    """Regions of some persons, each in the top-left corner of a canvas: (B, H, W, 3) uint8."""
    height, width = store.persons.sizes[indices].max(axis=0)
    canvas = np.zeros((len(indices), height, width, 3), dtype=np.uint8)
    for row, index in enumerate(indices):
        region = store.region(index)
        canvas[row, : region.shape[0], : region.shape[1]] = region
    return canvas


def distinct(titles: Sequence[str]) -> list[str]:
    """Titles of which none is another's: one that stands twice is counted on: coco, coco 2."""
    distinct: list[str] = []
    for title in titles:
        others = (title, *(f"{title} {n}" for n in range(2, len(titles) + 2)))
        distinct.append(next(other for other in others if other not in distinct))
    return distinct


def drawn_rows(random: np.random.Generator, sizes: Sequence[int], draws: Sequence[int]) -> Array:
    """Rows of sources that lie one after the other, so many of each; see `JoinedStores.drawn`."""
    total = sum(sizes)
    if list(sizes) == list(draws):
        return random.permutation(total)
    parts = []
    for begin, size, count in zip(np.cumsum([0, *sizes]), sizes, draws, strict=False):
        rounds = -(-count // size) if size else 0
        order = [begin + random.permutation(size) + n * total for n in range(rounds)]
        parts.append(np.concatenate(order)[:count] if rounds else np.empty(0, dtype=int))
    return random.permutation(np.concatenate(parts))


def draws_in_shares(sizes: Sequence[int], shares: Sequence[float | None]) -> list[int]:
    """How many persons of each store an epoch has; in all as many as there are."""
    total = sum(sizes)
    fixed = sum(share for share in shares if share is not None)
    rest = sum(size for size, share in zip(sizes, shares, strict=True) if share is None)
    if fixed > 1 + 1e-9 or (rest and fixed > 1 - 1e-9) or (not rest and fixed < 1 - 1e-9):
        raise UserError(
            f"shares of the data sets add up to {fixed:g}; they must add up to 1, or to less "
            "where a data set without a share takes the rest"
        )
    wanted = [
        total * (share if share is not None else (1 - fixed) * size / rest)
        for size, share in zip(sizes, shares, strict=True)
    ]
    # Rounded so that they add up.
    ends = np.round(np.cumsum([0.0, *wanted])).astype(int)
    return [int(draws) for draws in np.diff(ends)]


def _in_order(values: Array, own: Skeleton, wanted: Skeleton) -> Array:
    """Values (N, K, ...) of joints in another skeleton's order; 0 where a joint is not there."""
    if own.joints == wanted.joints:
        return values
    ordered = np.zeros((len(values), len(wanted), *values.shape[2:]), dtype=values.dtype)
    for column, joint in enumerate(wanted.joints):
        if joint in own.joints:
            ordered[:, column] = values[:, own.index(joint)]
    return ordered

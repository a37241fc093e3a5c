"""Data sets by name, and their packed stores in the user's cache."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from spcnet.data import flic, mpii
from spcnet.data.annotations import AnnotatedPictures, Annotation, Dataset
from spcnet.data.coco import keypoint_files, read_coco, read_nobody, scored_split
from spcnet.data.leeds import (
    LSPET_SPLITS,
    lsp_labels,
    lspet_labels,
    parse_numbers,
    read_lsp,
    read_lspet,
)
from spcnet.data.opinions import with_opinions
from spcnet.data.regions import CropRule
from spcnet.data.store import VERSION, JoinedStores, PackedStore, Store
from spcnet.data.unlabelled import read_unlabelled
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.registries import Registry
from spcnet.skeletons import LSP14
from spcnet.synthetic.figure import render_figure

Reader: TypeAlias = Callable[[Path, str], AnnotatedPictures]

FIGURES = {"train": "1-4000", "val": "900001-900500"}
_FIGURES = 1_000_000  # figures are drawn by number; this many is a bound, not a stock


@dataclass(frozen=True)
class DatasetInfo:
    """What is to be known of a data set before it is opened.

    Attributes:
        title: its name in full.
        read: gives the persons of a split from the data set's folder.
        splits: names and, where the number is fixed, persons of the usual splits.
        joints: of its skeleton.
        crop: the crop rule that the field uses when it scores this set.
        protocol: the scoring rule that goes with it.
        terms: under which the data may be used.
        citation: of the paper that describes it.
        scored: the split that is scored where none is named, or how it is known from the folder.
        files: names that each split's labels may have, any one of them; without any, only `read`
            knows. Where the splits may be numbers, those of ``"all"`` are for each.
        labels: gives the persons of such a file alone, without their pictures.
        find_files: gives the files of labels in a folder by their splits, where names do not say.
        numbered: splits may be numbers of pictures, such as ``"1-500"``, with a person each.
        releases: persons that the whole data set has, in each of its releases.
    """

    title: str
    read: Reader
    splits: Mapping[str, int | None]
    joints: int
    crop: CropRule = "box"
    protocol: str = "pck-box"
    terms: str = "not stated"
    citation: str = ""
    scored: str | Callable[[Path], str] = "val"
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: Reader | None = None
    find_files: Callable[[Path], Mapping[str, Path]] | None = None
    numbered: bool = False
    releases: tuple[int, ...] = ()


_RELEASED = {
    "mpii": DatasetInfo(
        title="MPII Human Pose",
        read=mpii.read_mpii,
        splits={"train": 22246, "val": 2958, "trainval": None, "test": None},
        joints=16,
        crop="mpii",
        protocol="mpii-tompson",
        terms="Simplified BSD for the annotations; the pictures are YouTube frames, for research",
        citation="Andriluka, Pishchulin, Gehler, Schiele: 2D Human Pose Estimation: New Benchmark "
        "and State of the Art Analysis, CVPR 2014",
        files=mpii.FILES,
        labels=mpii.file_labels,
    ),
    "lsp": DatasetInfo(
        title="Leeds Sports Pose",
        read=read_lsp,
        splits={"train": 1000, "test": 1000},
        joints=14,
        crop="lsp-height",
        protocol="lsp-pc",
        terms="research; the pictures are their photographers' (Flickr)",
        citation="Johnson, Everingham: Clustered Pose and Nonlinear Appearance Models for Human "
        "Pose Estimation, BMVC 2010",
        scored="test",
        files={"all": ("joints.mat",)},
        labels=lsp_labels,
        numbered=True,
        releases=(2000,),
    ),
    "lspet": DatasetInfo(
        title="Leeds Sports Pose extended",
        read=read_lspet,
        splits={"train": None, "val": None},  # by the release: 10,000 images or 8,860
        joints=14,
        crop="box",
        protocol="lspet-pck",
        terms="research; the pictures are their photographers' (Flickr)",
        citation="Johnson, Everingham: Learning Effective Human Pose Estimation from Inaccurate "
        "Annotation, CVPR 2011",
        files={"all": ("joints.mat",)},
        labels=lspet_labels,
        numbered=True,
        releases=tuple(LSPET_SPLITS),
    ),
    "flic": DatasetInfo(
        title="Frames Labeled In Cinema",
        read=flic.read_flic,
        splits={"train": 3987, "test": 1016},
        joints=11,
        crop="flic",
        protocol="flic",
        terms="research; the pictures are film frames of their studios",
        citation="Sapp, Taskar: MODEC: Multimodal Decomposable Models for Human Pose Estimation, "
        "CVPR 2013",
        scored="test",
        files=flic.FILES,
        labels=flic.file_labels,
    ),
    "coco": DatasetInfo(
        title="COCO keypoints, or own data in its format",
        read=read_coco,
        splits={"train2017": None, "val2017": None},
        joints=17,  # COCO's own; own data may have others
        crop="box",
        protocol="pck-box",
        terms="COCO: CC BY 4.0 for the annotations, Flickr's terms for the pictures; own data: "
        "its owner's",
        citation="COCO: Lin et al.: Microsoft COCO: Common Objects in Context, ECCV 2014",
        scored=scored_split,
        find_files=keypoint_files,
    ),
}
DATASETS: Registry[DatasetInfo] = Registry("data set", _RELEASED)
# Pictures that have no labels to be scored by, only something to learn from.
UNSCORED: Mapping[str, Reader] = {
    "unlabelled": read_unlabelled,
    "nobody": read_nobody,
}
SYNTHETIC_PROTOCOL = "lspet-pck"

if TYPE_CHECKING:
    from spcnet.data.scenes import Scenes

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

    @property
    def picture_names(self) -> set[str]:
        """Of all figures."""
        return set(map(_figure_name, self.numbers))

    def samples(self) -> Iterator[tuple[Array, Annotation]]:
        """Every figure with its picture, RGB uint8 (H, W, 3)."""
        for number in self.numbers:
            figure = render_figure(number)
            yield (
                figure.image,
                Annotation(image=_figure_name(number), points=figure.points, states=figure.states),
            )


def _figure_name(number: int) -> str:
    return f"figure{number:06d}.png"


def dataset_info(name: str) -> DatasetInfo:
    """What is known of a data set.

    Raises:
        UserError: the name is unknown.
    """
    if not DATASETS.knows(name):
        raise UserError(DATASETS.unknown(name, "synthetic"))
    return DATASETS[name]


def default_crop(name: str) -> CropRule:
    """The crop rule that goes with a data set."""
    return "box" if name == "synthetic" or name in UNSCORED else dataset_info(name).crop


def default_protocol(name: str) -> str:
    """The name of the scoring rule that goes with a data set."""
    return SYNTHETIC_PROTOCOL if name == "synthetic" else dataset_info(name).protocol


def default_split(name: str, root: str | os.PathLike[str] | None) -> str:
    """The split that is scored where none is named."""
    if name == "synthetic":
        return "val"
    scored = dataset_info(name).scored
    return scored if isinstance(scored, str) else scored(Path(root or "").expanduser())


def open_dataset(name: str, root: str | os.PathLike[str] | None, split: str) -> Dataset:
    """A data set by name.

    Raises:
        UserError: the name is unknown, a root is missing, or the folder is not what it should be.
    """
    if name == "synthetic":
        return SyntheticFigures(split)
    return open_pictures(name, root, split)


def open_pictures(name: str, root: str | os.PathLike[str] | None, split: str) -> AnnotatedPictures:
    """A data set of photographs by name.

    Raises:
        UserError: as `open_dataset`.
    """
    read = UNSCORED[name] if name in UNSCORED else dataset_info(name).read
    if root is None:
        raise UserError(
            f"data set {name!r} needs its folder: --root PATH, or data.root in a recipe"
        )
    return read(Path(root).expanduser(), split)


def split_size(
    name: str, root: str | os.PathLike[str] | None, split: str, *, joints: bool = True
) -> tuple[int, int]:
    """Persons that a split teaches, and joints; by what is known of a data set that is not there.

    Args:
        name: of the data set; ``"store"`` for a packed one, and `split` is its folder.
        root: its folder.
        split: which part of it.
        joints: whether joints are taught, and persons without any do not count.

    Raises:
        UserError: as `open_dataset`; a split of a data set without `root` has no fixed size.
    """
    if name == "store":
        store = PackedStore(Path(split).expanduser())
        return len(store), len(store.skeleton)
    if name == "synthetic" or name in UNSCORED or root is not None:
        dataset = open_dataset(name, root, split)
        if joints and isinstance(dataset, AnnotatedPictures):
            dataset = _taught(dataset)
        return len(dataset), len(dataset.skeleton)
    info = dataset_info(name)
    known = info.splits.get(split)
    if known is None and info.numbered and split[:1].isdecimal():
        known = len(parse_numbers(split, _FIGURES))  # a person a picture
    if known is None:
        raise UserError(
            f"how many persons {name} {split} has is only known from its folder: --set "
            "data.root=PATH"
        )
    return known, info.joints


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
    crop: CropRule | None = None,
    opinions: str | os.PathLike[str] | None = None,
    report: Callable[[int, int], None] = lambda done, total: None,
) -> PackedStore:
    """The packed store of a split, packed into the cache when it is not there yet.

    Args:
        name: of the data set; ``"store"`` takes a store as it is, and `split` is its folder.
        root: folder of the data set.
        split: which part of it.
        side: largest side of a person's crop, pixels.
        crop: rule of the crops; by default the data set's own.
        opinions: a file of another model's points, which are packed too.
        report: called while packing with the number of persons done and of all.

    Raises:
        UserError: as `open_dataset`, `check_opinions`, `pack` and `PackedStore`.
    """
    from spcnet.data.packing import pack

    check_opinions(name, root, opinions)
    if name == "store":
        return PackedStore(Path(split).expanduser())
    dataset = open_dataset(name, root, split)
    if isinstance(dataset, AnnotatedPictures):
        if opinions is not None:
            dataset = with_opinions(dataset, opinions)
        dataset = _taught(dataset)
    crop = crop or default_crop(name)
    key: dict[str, object] = {
        "root": identity_of(root), "split": split, "side": side, "crop": crop, "version": VERSION,
        "opinions": identity_of(opinions),
    }  # fmt: skip
    if name == "unlabelled":  # a folder without a file of labels is identified by its pictures
        key["pictures"] = [
            str(Path(root or "").expanduser().resolve()),
            *sorted(dataset.picture_names),
        ]
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]
    folder = cache_folder() / f"{name}-{digest}"
    if not folder.exists():
        log.info("packing %d persons of %s %s into %s", len(dataset), name, split, folder)
        try:
            pack(
                dataset,
                folder,
                side=side,
                crop=crop,
                report=lambda done: report(done, len(dataset)),
            )
        except UserError:
            if not folder.exists():  # else another process packed it meanwhile
                raise
    return PackedStore(folder)


def check_opinions(
    name: str, root: str | os.PathLike[str] | None, opinions: str | os.PathLike[str] | None
) -> None:
    """Refuse another model's points where nothing would come of them, and ask where they are all.

    Raises:
        UserError: there are opinions on a data set that takes none, their file is not there, or
            there are none on pictures without labels.
    """
    if opinions is not None and name in ("store", "synthetic"):
        raise UserError(
            f"data set {name!r} takes no opinions; name the folder of the pictures and labels"
        )
    if opinions is not None and not Path(opinions).expanduser().is_file():
        raise UserError(f"{opinions}: no such file; wanted a file of opinions")
    if opinions is None and name == "unlabelled":
        raise UserError(
            f"{root}: unlabelled pictures teach by another model's points alone: name its file, "
            "--set data.more.N.opinions=PATH"
        )


def cached_scenes(
    parts: Sequence[tuple[AnnotatedPictures, bool, object]],
    *,
    report: Callable[[int], None] = lambda done: None,
) -> "Scenes":
    """Packed whole pictures of several data sets, packed into the cache when not there yet.

    Args:
        parts: data sets, each with whether all persons in its pictures have boxes, and with what
            tells its state from another.
        report: called while packing with the number of pictures done.

    Raises:
        UserError: as `pack_scenes` and `Scenes`.
    """
    from spcnet.data.scenes import VERSION as SCENES_VERSION
    from spcnet.data.scenes import Scenes, pack_scenes

    key = [[labels.name, labels.split, done, state] for labels, done, state in parts]
    digest = hashlib.sha256(json.dumps([key, SCENES_VERSION]).encode()).hexdigest()[:12]
    folder = cache_folder() / f"scenes-{digest}"
    if not folder.exists():
        pack_scenes([(labels, complete) for labels, complete, _ in parts], folder, report=report)
    return Scenes(folder)


def _taught(labels: AnnotatedPictures) -> AnnotatedPictures:
    """Without crowds, and without persons of whom no joint is known."""
    if labels.name == "unlabelled":
        return labels
    persons = [p for p in labels.annotations if p.states.any() and not p.crowd]
    return replace(labels, annotations=persons)


def identity_of(root: str | os.PathLike[str] | None) -> list[list[str | int]] | None:
    """What tells one data folder from another, or from an older state of itself."""
    if root is None:
        return None
    root = Path(root).expanduser().resolve()
    places = [root] if root.is_file() else [root, root / "annot", root / "annotations"]
    labels = [
        path
        for place in places
        for path in (sorted(place.iterdir()) if place.is_dir() else [place])
        if path.is_file() and path.name.endswith((".mat", ".h5", ".json", ".json.gz"))
    ]
    return [[str(path), path.stat().st_size, path.stat().st_mtime_ns] for path in labels]


def shuffled(count: int, *, seed: int, epoch: int) -> Array:
    """The numbers below `count` in an order that is a function of seed and epoch alone."""
    return _of_epoch(seed, epoch).permutation(count)


def epoch_order(store: Store, *, seed: int, epoch: int) -> Array:
    """The persons of an epoch, in order: a function of seed and epoch alone.

    See `JoinedStores.drawn` for persons that are drawn more than once.
    """
    if isinstance(store, JoinedStores):
        return store.drawn(_of_epoch(seed, epoch))
    return shuffled(len(store), seed=seed, epoch=epoch)


def _of_epoch(seed: int, epoch: int) -> np.random.Generator:
    # Another counter than any person's, so that orders and augmentations share no numbers.
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, 1]))

"""Data sets by name, and their packed stores in the user's cache."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from spcnet.data import coco, flic, leeds, mpii
from spcnet.data.annotations import (
    AnnotatedPictures,
    Annotation,
    Dataset,
    Reader,
    read_in_folder,
    seen_in,
)
from spcnet.data.label_files import load_h5, load_json, load_mat
from spcnet.data.leeds import parse_numbers
from spcnet.data.opinions import read_unlabelled, with_opinions
from spcnet.data.regions import CropRule
from spcnet.data.store import VERSION, PackedStore, Store
from spcnet.errors import UserError, counted
from spcnet.geometry import Array
from spcnet.registries import Registry
from spcnet.skeletons import LSP14
from spcnet.synthetic.figure import render_figure

if TYPE_CHECKING:
    from spcnet.data.scenes import Scenes

log = logging.getLogger(__name__)

FIGURES = {"train": "1-4000", "val": "900001-900500"}
_FIGURES = 1_000_000  # figures are drawn by number; this many is a bound, not a stock


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """What is to be known of a data set before it is opened: `read`, or `files` and `labels`."""

    title: str  # in full
    splits: Mapping[str, int | None]  # the usual ones, and their persons where that is fixed
    joints: int  # of its skeleton
    read: Reader | None = None  # the persons of a split from the data set's folder
    # Names that each split's labels may have, the first one that is there; with any split allowed,
    # those of "all". And a reader of such a file.
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    labels: Reader | None = None
    # By the form of anybody's file (".mat", ".h5" or ".json") and its content: the reader of its
    # labels and the split that is usually scored, or None where it is not of this data set.
    recognise: Callable[[str, Any], tuple[Reader, str] | None] = lambda form, content: None
    forms: str = ""  # what is recognised, in words
    crop: CropRule = "box"  # that the field uses when it scores this set
    protocol: str = "pck-box"  # the scoring rule that goes with it
    # What that rule divides errors by: the box's side, a length in the label file, or the torso.
    reference: Literal["box", "file", "torso"] = "box"
    scored: str | Callable[[Path], str] = "val"  # where no split is named; or from the folder
    find_splits: Callable[[Path], Sequence[str]] | None = None  # of a folder, where they differ
    numbered: bool = False  # splits may be numbers of pictures, "1-500", with a person each
    releases: tuple[int, ...] = ()  # images of the whole data set, in each of its releases
    own: bool = False  # any folder may be one: sources are called by their folders
    # What there is to learn: joints from its labels, joints from another model's points alone, or
    # that nobody is there.
    teaches: Literal["joints", "opinions", "nobody"] = "joints"
    drawn: Callable[[str], Dataset] | None = None  # a split that needs no folder
    packed: bool = False  # folders that `spcnet data pack` wrote, each named in place of a split
    terms: str = "not stated"  # under which the data may be used
    citation: str = ""  # of the paper that describes it

    def persons(self, root: Path, split: str) -> AnnotatedPictures:
        """The persons of a split; `AnnotatedPictures.images` is None where there are no pictures.

        A folder that is not what it should be, or an unknown split, is a `UserError`.
        """
        with _sound(root):
            if self.read is not None:
                return self.read(root, split)
            assert self.labels is not None, f"{self.title} has neither `read` nor `labels`"
            return read_in_folder(
                root, split, title=self.title, files=self.files, labels=self.labels
            )


@contextmanager
def _sound(path: Path) -> Iterator[None]:
    """Records that cannot be, such as a labelled joint nowhere, are a `UserError` of their file."""
    try:
        yield
    except ValueError as error:
        raise UserError(f"{path}: {error}; the labels are damaged") from None


class SyntheticFigures:
    """Rendered figures: ``"train"`` (4,000), ``"val"`` (500 others), or those of some numbers."""

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
            yield figure.image, Annotation(_figure_name(number), figure.points, figure.states)


def _figure_name(number: int) -> str:
    return f"figure{number:06d}.png"


_KNOWN = {
    "mpii": DatasetInfo(
        title=mpii.TITLE,
        splits={**mpii.SPLITS, "trainval": None, "test": None},
        joints=16,
        read=mpii.read_mpii,
        files=mpii.FILES,
        labels=mpii.file_labels,
        recognise=mpii.recognise,
        forms="MPII's official .mat, its JSON of 25,204 persons, the stacked hourglass's h5, or an "
        "evaluation .mat (pos_gt_src)",
        crop="mpii",
        protocol="mpii-tompson",
        reference="file",
        terms="Simplified BSD for the annotations; the pictures are YouTube frames, for research",
        citation="Andriluka, Pishchulin, Gehler, Schiele: 2D Human Pose Estimation: New Benchmark "
        "and State of the Art Analysis, CVPR 2014",
    ),
    "lsp": DatasetInfo(
        title="Leeds Sports Pose",
        splits={"train": 1000, "test": 1000},
        joints=14,
        files=leeds.FILES,
        labels=leeds.lsp_labels,
        recognise=leeds.recognise_lsp,
        forms="joints.mat of LSP",
        crop="lsp-height",
        protocol="lsp-pc",
        reference="torso",
        scored="test",
        numbered=True,
        releases=(2000,),
        terms="research; the pictures are their photographers' (Flickr)",
        citation="Johnson, Everingham: Clustered Pose and Nonlinear Appearance Models for Human "
        "Pose Estimation, BMVC 2010",
    ),
    "lspet": DatasetInfo(
        title="Leeds Sports Pose extended",
        splits={"train": None, "val": None},  # by the release: 10,000 images or 8,860
        joints=14,
        files=leeds.FILES,
        labels=leeds.lspet_labels,
        recognise=leeds.recognise_lspet,
        forms="joints.mat of LSP extended",
        protocol="lspet-pck",
        reference="torso",
        numbered=True,
        releases=tuple(leeds.LSPET_SPLITS),
        terms="research; the pictures are their photographers' (Flickr)",
        citation="Johnson, Everingham: Learning Effective Human Pose Estimation from Inaccurate "
        "Annotation, CVPR 2011",
    ),
    "flic": DatasetInfo(
        title="Frames Labeled In Cinema",
        splits=flic.SPLITS,
        joints=11,
        files=flic.FILES,
        labels=flic.file_labels,
        recognise=flic.recognise,
        forms="FLIC's examples.mat, or the stacked hourglass's h5",
        crop="flic",
        protocol="flic",
        reference="torso",
        scored="test",
        terms="research; the pictures are film frames of their studios",
        citation="Sapp, Taskar: MODEC: Multimodal Decomposable Models for Human Pose Estimation, "
        "CVPR 2013",
    ),
    "coco": DatasetInfo(
        title="COCO keypoints, or own data in its format",
        splits={"train2017": None, "val2017": None},
        joints=17,  # COCO's own; own data may have others
        read=coco.read_coco,
        recognise=coco.recognise,
        forms="a COCO keypoint JSON",
        scored=coco.scored_split,
        find_splits=coco.keypoint_splits,
        own=True,
        terms="COCO: CC BY 4.0 for the annotations, Flickr's terms for the pictures; own data: "
        "its owner's",
        citation="COCO: Lin et al.: Microsoft COCO: Common Objects in Context, ECCV 2014",
    ),
    "synthetic": DatasetInfo(
        title="Rendered figures",
        splits=dict.fromkeys(FIGURES),
        joints=14,
        protocol="lspet-pck",
        drawn=SyntheticFigures,
    ),
    "store": DatasetInfo(title="Packed persons", splits={}, joints=0, packed=True),
    "unlabelled": DatasetInfo(
        title="Pictures of one person each",
        splits={"all": None},
        joints=17,
        read=read_unlabelled,
        scored="all",
        teaches="opinions",
    ),
    "nobody": DatasetInfo(
        title="Pictures without anybody",
        splits={"train": None, "val": None},
        joints=19,
        read=coco.read_nobody,
        teaches="nobody",
    ),
}
DATASETS: Registry[DatasetInfo] = Registry("data set", _KNOWN)


def dataset_info(name: str) -> DatasetInfo:
    """What is known of a data set; an unknown name is a `UserError`."""
    if not DATASETS.knows(name):
        raise UserError(DATASETS.unknown(name))
    return DATASETS[name]


def photograph_sets() -> list[str]:
    """The data sets of photographs with labelled joints."""
    return [name for name in scored_sets() if DATASETS[name].drawn is None]


def scored_sets() -> list[str]:
    """The data sets that a network can be scored on."""
    return [n for n, info in DATASETS.items() if info.teaches == "joints" and not info.packed]


def default_crop(name: str) -> CropRule:
    """The crop rule that goes with a data set."""
    return dataset_info(name).crop


def default_protocol(name: str) -> str:
    """The scoring rule that goes with a data set; a `UserError` where no joint is labelled."""
    info = dataset_info(name)
    if info.teaches != "joints":
        raise UserError(
            f"data set {name!r} has no joints to be scored by; "
            f"those that have are {', '.join(scored_sets())}"
        )
    return info.protocol


def default_split(name: str, root: str | os.PathLike[str] | None) -> str:
    """The split that is scored where none is named."""
    scored = dataset_info(name).scored
    return scored if isinstance(scored, str) else scored(Path(root or "").expanduser())


def source_title(name: str, root: str | os.PathLike[str] | None) -> str:
    """What persons are called by their source: a data set, or the folder where it may be any."""
    own = name in DATASETS and DATASETS[name].own and root is not None
    return (Path(root or "").name.split(".json")[0] if own else "") or name


def open_dataset(name: str, root: str | os.PathLike[str] | None, split: str) -> Dataset:
    """A data set by name; a `UserError` as of `open_pictures`."""
    drawn = dataset_info(name).drawn
    return open_pictures(name, root, split) if drawn is None else drawn(split)


def open_pictures(name: str, root: str | os.PathLike[str] | None, split: str) -> AnnotatedPictures:
    """A data set of photographs; of an unknown name or without its folder a `UserError`."""
    info = dataset_info(name)
    if info.packed or info.drawn is not None:
        raise UserError(
            f"data set {name!r} has no pictures in files, which are needed here; name one of "
            f"{', '.join(photograph_sets())} and its folder"
        )
    if root is None:
        raise UserError(
            f"data set {name!r} needs its folder: --root PATH, or data.root in a recipe"
        )
    root = Path(root).expanduser()
    labels = info.persons(root, split)
    if labels.images is None:
        raise UserError(
            f"{root}: no images/ here; {name} keeps its pictures there, "
            f"and this folder holds {seen_in(root)}"
        )
    return labels


LOADERS: dict[str, Callable[..., Any]] = {
    ".json": load_json,
    ".h5": load_h5,
    ".mat": partial(load_mat, structs=True),
}


def read_labels(path: str | os.PathLike[str], split: str | None = None) -> AnnotatedPictures:
    """The labels of a ``.mat``, ``.h5``, ``.json`` or ``.json.gz``, recognised by what it holds.

    The `split` is a part of the file as its data set names them; by default the part that the field
    scores, or all of it. A file of no known form is a `UserError`.
    """
    path = Path(path)
    known = "; ".join(info.forms for info in DATASETS.values() if info.forms)
    form = Path(path.name.lower().removesuffix(".gz").replace(".hdf5", ".h5")).suffix
    if form not in LOADERS:
        raise UserError(f"{path}: no labels of a known form; known are {known}")
    content = LOADERS[form](path, wanted=known)
    for info in reversed(DATASETS.values()):  # one of yours is asked before ours
        if found := info.recognise(form, content):
            read, scored = found
            with _sound(path):
                return read(path, split or scored)
    raise UserError(f"{path}: holds {', '.join(content) or 'nothing'}; known labels: {known}")


def split_size(
    name: str, root: str | os.PathLike[str] | None, split: str, *, joints: bool = True
) -> tuple[int, int]:
    """Persons that a split teaches, and joints; by what is known of a data set that is not there.

    Where joints are taught, persons without any do not count. Of a packed store, `split` is the
    folder. Where a split has no fixed size, and there is no `root`, it is a `UserError`.
    """
    info = dataset_info(name)
    if info.packed:
        store = PackedStore(Path(split).expanduser())
        return len(store), len(store.skeleton)
    if info.drawn is not None or root is not None:
        dataset = open_dataset(name, root, split)
        if joints and isinstance(dataset, AnnotatedPictures):
            dataset = _taught(dataset)
        return len(dataset), len(dataset.skeleton)
    known = info.splits.get(split)
    if known is None and info.numbered and split[:1].isdecimal():
        known = len(parse_numbers(split, _FIGURES))  # a person a picture
    if known is None:
        raise UserError(
            f"how many persons {name} {split} has is only known from its folder: --set "
            "data.root=PATH"
        )
    return known, info.joints


def _taught(labels: AnnotatedPictures) -> AnnotatedPictures:
    """Without crowds, and without persons of whom no joint is known."""
    if not labels.boxed:
        return labels
    persons = [p for p in labels.annotations if p.states.any() and not p.crowd]
    return replace(labels, annotations=persons)


def _untaught(labels: AnnotatedPictures) -> str:
    """How many records are not learned from, by kind."""
    crowds = sum(person.crowd for person in labels.annotations)
    bare = sum(not (p.crowd or p.states.any()) for p in labels.annotations) if labels.boxed else 0
    kinds = [("crowd", "", crowds), ("person", " without a labelled joint", bare)]
    words = {k: k.replace("other-", "of other ").replace("-", " ") for k in labels.passed_over}
    kinds += [("annotation", f" {words[k]}", len(of)) for k, of in labels.passed_over.items()]
    return ", ".join(counted(count, thing) + end for thing, end, count in kinds if count)


def check_opinions(
    name: str, root: str | os.PathLike[str] | None, opinions: str | os.PathLike[str] | None
) -> None:
    """Refuse another model's points where nothing comes of them, and ask where they are all."""
    info = dataset_info(name)
    if opinions is not None and (info.packed or info.drawn is not None):
        raise UserError(
            f"data set {name!r} takes no opinions; name the folder of the pictures and labels"
        )
    if opinions is not None and not Path(opinions).expanduser().is_file():
        raise UserError(f"{opinions}: no such file; wanted a file of opinions")
    if opinions is None and info.teaches == "opinions":
        raise UserError(
            f"{root}: {name} pictures teach by another model's points alone: name its file, "
            "--set data.more.N.opinions=PATH"
        )


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
    """The packed store of a split, packed into the cache when it is not there yet; see `pack`.

    A packed data set is taken as it is, and `split` is its folder. Another model's points, from the
    file `opinions`, are packed too. `report` is called with the persons done and how many they are.
    """
    from spcnet.data.packing import pack

    check_opinions(name, root, opinions)
    if dataset_info(name).packed:
        return PackedStore(Path(split).expanduser())
    dataset = open_dataset(name, root, split)
    boxed, passed_over = True, ""
    if isinstance(dataset, AnnotatedPictures):
        boxed, passed_over = dataset.boxed, _untaught(dataset)
        dataset = _taught(with_opinions(dataset, opinions) if opinions is not None else dataset)
    rule = crop or default_crop(name)
    key: dict[str, object] = {
        "root": identity_of(root), "split": split, "side": side, "crop": rule, "version": VERSION,
        "opinions": identity_of(opinions),
    }  # fmt: skip
    if not boxed:  # a folder without a file of labels is identified by its pictures
        place = str(Path(root or "").expanduser().resolve())
        key["pictures"] = [place, *sorted(dataset.picture_names)]

    def write(folder: Path) -> None:
        log.info("packing %d persons of %s %s into %s", len(dataset), name, split, folder)
        if passed_over:
            log.info("passed over of %s %s: %s", name, split, passed_over)
        total = len(dataset)
        pack(dataset, folder, side=side, crop=rule, report=lambda done: report(done, total))

    return PackedStore(in_cache(name, key, write))


def in_cache(kind: str, key: object, write: Callable[[Path], None]) -> Path:
    """The folder in the cache that a key stands for, written when it is not there yet."""
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:12]
    folder = cache_folder() / f"{kind}-{digest}"
    if not folder.exists():
        try:
            write(folder)
        except UserError:
            if not folder.exists():  # else another process wrote it meanwhile
                raise
    return folder


def identity_of(root: str | os.PathLike[str] | None) -> list[list[str | int]] | None:
    """What tells one data folder from another, or from an older state of itself."""
    if root is None:
        return None
    root = Path(root).expanduser().resolve()
    return [
        [str(path), path.stat().st_size, path.stat().st_mtime_ns]
        for place in (root, root / "annot", root / "annotations")
        for path in (sorted(place.iterdir()) if place.is_dir() else [place])
        if path.is_file() and path.name.endswith((".mat", ".h5", ".json", ".json.gz"))
    ]


def shuffled(count: int, *, seed: int, epoch: int) -> Array:
    """The numbers below `count` in an order that is a function of seed and epoch alone."""
    return _of_epoch(seed, epoch).permutation(count)


def epoch_order(store: "Store | Scenes", *, seed: int, epoch: int) -> Array:
    """The persons or pictures of an epoch, in order; see `JoinedStores.drawn`."""
    if isinstance(store, PackedStore):
        return shuffled(len(store), seed=seed, epoch=epoch)
    return store.drawn(_of_epoch(seed, epoch))


def _of_epoch(seed: int, epoch: int) -> np.random.Generator:
    # Another counter than any person's, so that orders and augmentations share no numbers.
    return np.random.Generator(np.random.Philox(key=[seed, epoch], counter=[0, 0, 0, 1]))

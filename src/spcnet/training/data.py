"""The data of a recipe: opened, packed once, and checked before anything is learned from them."""

from collections.abc import Callable, Sequence

from spcnet.data.datasets import (
    cached_scenes,
    cached_store,
    check_opinions,
    identity_of,
    open_dataset,
    open_pictures,
    split_size,
)
from spcnet.data.opinions import with_opinions
from spcnet.data.scenes import Scenes
from spcnet.data.store import JoinedStores, PackedStore, Store
from spcnet.geometry import SHARPEST
from spcnet.skeletons import SKELETONS
from spcnet.training.checks import check_disjoint, check_parts, steps_per_epoch
from spcnet.training.distributed import ProcessGroup
from spcnet.training.evaluation import check_holdout
from spcnet.training.recipe import MoreData, Recipe


def open_stores(
    recipe: Recipe, processes: ProcessGroup, report: Callable[..., None]
) -> tuple[Store, Store | None]:
    """The persons to learn from, and those that are held out.

    Raises:
        UserError: they cannot be packed, or the latter cannot be scored or are among the former.
    """
    data = recipe.data
    # Packed larger than that, persons would alias when they are sampled.
    side = min(data.side, SHARPEST * recipe.model.input_size)

    def open_store(part: MoreData) -> PackedStore:
        # The first process packs and expands, and the others find it done.
        for turn in (True, False):
            if processes.first == turn:
                store = cached_store(
                    part.dataset, part.root, part.split,
                    side=side, crop=part.crop, opinions=part.opinions, report=report,
                )  # fmt: skip
                store.expand()
            processes.barrier()
        return store

    skeleton = None if data.skeleton is None else SKELETONS[data.skeleton]

    def join(parts: Sequence[MoreData]) -> Store:
        stores = [open_store(part) for part in parts]
        if len(data.parts) == 1 and skeleton is None and not data.believes_opinions:
            return stores[0]
        return JoinedStores(
            stores,
            skeleton=skeleton or open_store(data.parts[0]).skeleton,
            shares=[part.share for part in parts],
            doubts=[part.doubt for part in parts],
            taught=[part.taught for part in parts],
            titles=[part.title for part in parts],
        )

    store = join(data.parts)
    held = [
        part.model_copy(update={"split": part.holdout, "share": None, "opinions": None})
        for part in data.parts
        if part.holdout is not None
    ]
    if not held:
        return store, None
    holdout = join(held)
    check_parts(store, holdout)
    check_holdout(holdout)
    return store, holdout


def open_scenes(
    recipe: Recipe, processes: ProcessGroup, report: Callable[..., None]
) -> tuple[Scenes, Scenes | None]:
    """The same for a network that finds persons: whole pictures.

    Raises:
        UserError: they cannot be packed.
    """

    def pack(splits: list[tuple[MoreData, str]]) -> Scenes:
        parts = []
        for part, split in splits:
            labels = open_pictures(part.dataset, part.root, split)
            if part.dataset == "unlabelled" and part.opinions is not None:
                labels = with_opinions(labels, part.opinions)
            state = [identity_of(part.root), identity_of(part.opinions)]
            parts.append((labels, part.complete, state))
        return cached_scenes(parts, report=report)

    scenes, holdout = None, None
    held = [(part, part.holdout) for part in recipe.data.parts if part.holdout is not None]
    for turn in (True, False):  # the first process packs, and the others find it done
        if processes.first == turn:
            scenes = pack([(part, part.split) for part in recipe.data.parts])
            holdout = pack(held) if held else None
        processes.barrier()
    assert scenes is not None
    return scenes, holdout


def check_data(recipe: Recipe) -> None:
    """Check that there are enough persons, and that none is learned from and held out.

    Raises:
        UserError: it is not so.
    """
    data = recipe.data
    for part in data.parts:
        check_opinions(part.dataset, part.root, part.opinions)
    persons, _ = count_persons(recipe)
    steps_per_epoch(recipe, persons)
    for part in data.parts:
        # A store's pictures are compared later.
        if part.holdout is not None and part.dataset != "store":
            held = open_dataset(part.dataset, part.root, part.holdout)
            learned = open_dataset(part.dataset, part.root, part.split)
            check_disjoint(sorted(learned.picture_names & held.picture_names))


def count_persons(recipe: Recipe) -> tuple[int, int]:
    """Persons to learn from, and joints."""
    data, poses = recipe.data, recipe.task == "pose"
    sizes = [split_size(p.dataset, p.root, p.split, joints=poses) for p in data.parts]
    joints = sizes[0][1] if data.skeleton is None else len(SKELETONS[data.skeleton])
    return sum(persons for persons, _ in sizes), joints

"""The data of a recipe: opened, packed once, and checked before anything is learned from them."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from spcnet.data import datasets
from spcnet.data.annotations import AnnotatedPictures
from spcnet.data.opinions import with_opinions
from spcnet.data.scenes import VERSION, Scenes, pack_scenes
from spcnet.data.store import JoinedStores, PackedStore, Store, draws_in_shares
from spcnet.errors import UserError
from spcnet.geometry import SHARPEST
from spcnet.skeletons import SKELETONS, Skeleton
from spcnet.training.checks import check_disjoint, steps_per_epoch
from spcnet.training.distributed import ProcessGroup
from spcnet.training.recipe import MoreData, Recipe
from spcnet.training.task import check_holdout


def open_stores(
    recipe: Recipe, processes: ProcessGroup, report: Callable[..., None]
) -> tuple[Store, Store | None]:
    """The persons to learn from, and those that are held out, which have labels to be scored by."""
    data = recipe.data
    # Packed larger than that, persons would alias when they are sampled.
    side = min(data.side, SHARPEST * recipe.model.input_size)

    def open_store(part: MoreData) -> PackedStore:
        for _ in processes.in_turns():  # the first one packs and expands
            store = datasets.cached_store(
                part.dataset, part.root, part.split,
                side=side, crop=part.crop, opinions=part.opinions, report=report,
            )  # fmt: skip
            store.expand()
        return store

    def mirrored(store: Store) -> Store:
        store.skeleton = with_pairs(store.skeleton, data.mirror)
        return store

    skeleton = SKELETONS[data.skeleton] if data.skeleton else None

    def join(parts: Sequence[MoreData]) -> Store:
        stores = [open_store(part) for part in parts]
        if len(data.parts) == 1 and skeleton is None and not data.believes_opinions:
            return mirrored(stores[0])
        joined = JoinedStores(
            stores,
            skeleton=skeleton or open_store(data.parts[0]).skeleton,
            shares=[part.share for part in parts],
            doubts=[part.doubt for part in parts],
            taught=[part.taught for part in parts],
            titles=[
                store.dataset if datasets.DATASETS[part.dataset].packed else part.title
                for part, store in zip(parts, stores, strict=True)
            ],
        )
        return mirrored(joined)

    store = join(data.parts)
    held = [part.model_copy(update={"share": None, "opinions": None}) for part in held_out(recipe)]
    if not held:
        return store, None
    holdout = join(held)
    check_disjoint(store.pictures & holdout.pictures)
    check_holdout(holdout)
    return store, holdout


def held_out(recipe: Recipe) -> list[MoreData]:
    """The held-out parts of the data, as if they were to learn from."""
    held = [part for part in recipe.data.parts if part.holdout is not None]
    return [part.model_copy(update={"split": part.holdout}) for part in held]


def open_scenes(
    recipe: Recipe, processes: ProcessGroup, report: Callable[..., None]
) -> tuple[Scenes, Scenes | None]:
    """The same for a network that finds persons: whole pictures."""

    def pack(parts: Sequence[MoreData]) -> Scenes:
        sources: list[tuple[AnnotatedPictures, bool]] = []
        key: list[object] = []
        for part in parts:
            labels = datasets.open_pictures(part.dataset, part.root, part.split)
            if not labels.boxed and part.opinions is not None:
                labels = with_opinions(labels, part.opinions)
            state = [datasets.identity_of(part.root), datasets.identity_of(part.opinions)]
            sources.append((labels, part.complete))
            key.append([labels.name, labels.split, part.complete, state])
        write = partial(pack_scenes, sources, report=report)
        return Scenes(datasets.in_cache("scenes", [key, VERSION], write))

    held = held_out(recipe)
    for _ in processes.in_turns():
        scenes = pack(recipe.data.parts)
        holdout = pack(held) if held else None
    scenes.draws = draws_in_shares(scenes.of_sources, [part.share for part in recipe.data.parts])
    return scenes, holdout


def check_data(recipe: Recipe) -> None:
    """Check that there are enough persons, and that none is learned from and held out."""
    for part in recipe.data.parts:
        datasets.check_opinions(part.dataset, part.root, part.opinions)
    steps_per_epoch(recipe, count_persons(recipe)[0])
    if recipe.task == "pose":
        _check_sides(recipe)
    for part in recipe.data.parts:
        # A store's pictures are compared later.
        if part.holdout is not None and not datasets.DATASETS[part.dataset].packed:
            held = datasets.open_dataset(part.dataset, part.root, part.holdout)
            learned = datasets.open_dataset(part.dataset, part.root, part.split)
            check_disjoint(learned.picture_names & held.picture_names)


def with_pairs(skeleton: Skeleton, pairs: Sequence[tuple[str, str]] | None) -> Skeleton:
    """A skeleton with pairs of joints that mirror each other; a `UserError` where they do not."""
    try:
        return replace(skeleton, pairs=tuple(pairs or skeleton.pairs))
    except ValueError as error:
        raise UserError(f"data.mirror: {error}") from None


def _check_sides(recipe: Recipe) -> None:
    """Check that crops are not mirrored where left and right would stay as they are."""
    data, part = recipe.data, recipe.data.parts[0]
    if datasets.DATASETS[part.dataset].packed:
        skeleton = PackedStore(Path(part.split).expanduser()).skeleton
    else:
        skeleton = datasets.open_dataset(part.dataset, part.root, part.split).skeleton
    skeleton = with_pairs(SKELETONS[data.skeleton] if data.skeleton else skeleton, data.mirror)
    swaps = recipe.augmentation.flip_probability > 0 or recipe.loss.swapped > 0
    mirrors = list(skeleton.flip_permutation) != list(range(len(skeleton)))
    if data.mirror is None and swaps and skeleton.unmirrored and not mirrors:
        some = ", ".join(skeleton.unmirrored[:4])
        raise UserError(
            f"augmentation.flip_probability: {recipe.augmentation.flip_probability:g} mirrors "
            f"crops, and none of the joints mirrors another, though names say sides ({some}); name "
            "the pairs, data.mirror=[[LEFT, RIGHT], ...], or data.mirror=[] where there are none"
        )


def count_persons(recipe: Recipe) -> tuple[int, int]:
    """Persons to learn from, and joints."""
    data, poses = recipe.data, recipe.task == "pose"
    sizes = [datasets.split_size(p.dataset, p.root, p.split, joints=poses) for p in data.parts]
    joints = sizes[0][1] if data.skeleton is None else len(SKELETONS[data.skeleton])
    return sum(persons for persons, _ in sizes), joints

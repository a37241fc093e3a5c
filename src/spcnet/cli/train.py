"""``spcnet train``: a recipe in, a checkpoint out."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from spcnet.cli.console import StopWish, progress, say, stop_wish
from spcnet.cli.options import DEVICE
from spcnet.errors import UserError

if TYPE_CHECKING:
    import torch

    from spcnet.data.scenes import Scenes
    from spcnet.data.store import PackedStore, Store
    from spcnet.metrics.protocols import Score
    from spcnet.training.loop import Progress
    from spcnet.training.recipe import DataSection, MoreData, Recipe
    from spcnet.training.workers import Workers


OVERRIDES = typer.Option("--set", help="Override a field: optimizer.lr=5e-4; may be repeated.")
STOPPING = "stopping; a run that has begun is saved first, and --resume goes on from there"
MAX_MINUTES = typer.Option(min=0, help="Stop cleanly after this time; go on later.")


def train(
    recipe: Annotated[Path, typer.Argument(help="A YAML file; recipes/ has some.")],
    run_dir: Annotated[
        Path | None, typer.Option("--run-dir", "-d", help="By default runs/NAME of the recipe.")
    ] = None,
    overrides: Annotated[list[str] | None, OVERRIDES] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on from the run directory's last checkpoint.")
    ] = False,
    max_minutes: Annotated[float | None, MAX_MINUTES] = None,
    device: Annotated[str, DEVICE] = "auto",
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Print what the run would take, by a few steps; no data."),
    ] = False,
) -> None:
    """Train a network by a recipe.

    The run directory gets recipe.yaml, log.jsonl, state.safetensors (to resume from),
    model.safetensors (to use: spcnet predict --model RUN/model.safetensors photo.jpg) and
    best.safetensors (the one that scored best on the held-out persons). Several GPUs:
    torchrun --standalone --nproc-per-node 4 -m spcnet train RECIPE ...

    Example: spcnet train recipes/synthetic.yaml
    """
    from spcnet.devices import find_device
    from spcnet.training.loop import check_recipe
    from spcnet.training.recipe import load_recipe
    from spcnet.training.run_dir import BEST
    from spcnet.training.workers import join_workers

    plan = load_recipe(recipe, overrides or [])
    directory = run_dir or Path("runs") / plan.name
    found = find_device(device)
    check_recipe(plan)
    if dry_run:
        if os.environ.get("RANK", "0") == "0":
            print(_describe_plan(plan, found))
        return
    with join_workers(found) as workers:
        level = logging.INFO if workers.first else logging.WARNING
        logging.basicConfig(level=level, format="%(message)s")
        if workers.first:
            say(_describe_recipe(plan))
        with stop_wish(STOPPING if workers.first else None, max_minutes=max_minutes) as stop:
            checkpoint = train_by(plan, directory, workers, resume=resume, stop=stop)
        if workers.first:
            best = checkpoint.with_name(BEST)
            if best.exists():
                say(f"{best}: the model as it was when it scored best on the held-out persons")
            print(checkpoint)


def train_by(
    plan: "Recipe",
    directory: Path,
    workers: "Workers",
    *,
    resume: bool | None,
    stop: StopWish,
    finish: Callable[[Path], None] = lambda checkpoint: None,
) -> Path:
    """Open a recipe's data and train, with reports to the person who looks on.

    Raises:
        UserError: as `spcnet.training.loop.train`, or the wish to stop came before the first step.
    """
    from spcnet.training.finding import FinderRun
    from spcnet.training.loop import Run, check_directory, check_processes, steps_per_epoch
    from spcnet.training.loop import train as train_network
    from spcnet.training.run_dir import RunDirectory

    check_processes(plan, workers)
    # What can be found out before the pictures are packed is reported before.
    problem = None
    run = RunDirectory(directory, writes=workers.first)
    try:
        check_directory(run, plan, resume=run.holds_run if resume is None else resume)
        if workers.first:
            _check_data(plan)
    except UserError as error:
        problem = error
    workers.agree(problem)

    def say_packing(done: int, total: int | None = None) -> None:
        if done % 1000 == 0 or done == total:
            say(f"packed {done}{'' if total is None else f' of {total}'}")
        if stop.asked:
            raise UserError("stopped while the data were packed; nothing has begun, start again")

    opened = _open_scenes if plan.task == "finder" else _open_stores
    learned, held = opened(plan, workers, say_packing)
    if workers.first:
        several = f" x {workers.count} processes" if workers.count > 1 else ""
        what = "pictures" if plan.task == "finder" else "persons"
        say(
            f"{plan.name}: {plan.model.variant} at {plan.model.input_size} px, {len(learned)} "
            f"{what} of {_describe_data(plan.data)}, on {workers.device}{several}, into {directory}"
        )
    steps = plan.training.epochs * steps_per_epoch(plan, len(learned))
    with _reporter(steps) if workers.first else nullcontext(lambda now: None) as report:
        return train_network(
            plan,
            learned,
            directory,
            holdout=held,
            resume=resume,
            workers=workers,
            stop=stop,
            report=report,
            finish=finish,
            kind=FinderRun if plan.task == "finder" else Run,
        )


def _open_stores(
    plan: "Recipe", workers: "Workers", report: Callable[..., None]
) -> "tuple[Store, Store | None]":
    """The persons to learn from, and those that are held out.

    Raises:
        UserError: they cannot be packed, or the latter cannot be scored or are among the former.
    """
    from spcnet.data.datasets import cached_store
    from spcnet.data.store import JoinedStores
    from spcnet.geometry import SHARPEST
    from spcnet.skeletons import SKELETONS
    from spcnet.training.evaluation import check_holdout
    from spcnet.training.loop import check_parts

    data = plan.data
    # Packed larger than that, persons would alias when they are sampled.
    side = min(data.side, SHARPEST * plan.model.input_size)

    def open_store(part: "MoreData") -> "PackedStore":
        # The first process packs and expands, and the others find it done.
        for turn in (True, False):
            if workers.first == turn:
                store = cached_store(
                    part.dataset, part.root, part.split,
                    side=side, crop=part.crop, opinions=part.opinions, report=report,
                )  # fmt: skip
                store.expand()
            workers.any(False)
        return store

    skeleton = None if data.skeleton is None else SKELETONS[data.skeleton]

    def join(parts: "Sequence[MoreData]") -> "Store":
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


def _open_scenes(
    plan: "Recipe", workers: "Workers", report: Callable[..., None]
) -> "tuple[Scenes, Scenes | None]":
    """The same for a network that finds persons: whole pictures.

    Raises:
        UserError: they cannot be packed.
    """
    from spcnet.data.datasets import cached_scenes, identity_of, open_pictures
    from spcnet.data.opinions import with_opinions

    def pack(splits: "list[tuple[MoreData, str]]") -> "Scenes":
        parts = []
        for part, split in splits:
            labels = open_pictures(part.dataset, part.root, split)
            if part.dataset == "unlabelled" and part.opinions is not None:
                labels = with_opinions(labels, part.opinions)
            state = [identity_of(part.root), identity_of(part.opinions)]
            parts.append((labels, part.complete, state))
        return cached_scenes(parts, report=report)

    scenes, holdout = None, None
    held = [(part, part.holdout) for part in plan.data.parts if part.holdout is not None]
    for turn in (True, False):  # the first process packs, and the others find it done
        if workers.first == turn:
            scenes = pack([(part, part.split) for part in plan.data.parts])
            holdout = pack(held) if held else None
        workers.any(False)
    assert scenes is not None
    return scenes, holdout


def _check_data(plan: "Recipe") -> None:
    """Check that there are enough persons, and that none is learned from and held out.

    Raises:
        UserError: it is not so.
    """
    from spcnet.data.datasets import check_opinions, open_dataset
    from spcnet.training.loop import check_disjoint, steps_per_epoch

    data = plan.data
    for part in data.parts:
        check_opinions(part.dataset, part.root, part.opinions)
    persons, _ = count_persons(data)
    steps_per_epoch(plan, persons)
    for part in data.parts:
        # A store's pictures are compared later.
        if part.holdout is not None and part.dataset != "store":
            held = open_dataset(part.dataset, part.root, part.holdout)
            learned = open_dataset(part.dataset, part.root, part.split)
            check_disjoint(sorted(learned.picture_names & held.picture_names))


def _describe_plan(recipe: "Recipe", device: "torch.device") -> str:
    """What a run would take, in words."""
    from spcnet.training.loop import check_processes, steps_per_epoch
    from spcnet.training.plan import make_plan
    from spcnet.training.workers import Workers, process_count

    plan, data = recipe.training, recipe.data
    persons, joints = count_persons(data)
    processes = process_count()
    check_processes(recipe, Workers(count=processes, device=device))
    batches = steps_per_epoch(recipe, persons)
    steps = plan.epochs * batches
    costs = make_plan(recipe, joints=joints, steps=steps, processes=processes, device=device)
    parts = f" in {plan.accumulate} parts" if plan.accumulate > 1 else ""
    checkpointing = ", with checkpointing" if plan.checkpointing else ""
    lines = [
        ("recipe", recipe.name),
        ("network", f"{recipe.model.variant} {recipe.model.arguments or ''}".strip()),
        ("parameters", f"{costs.parameters / 1e6:.2f} M"),
        ("multiply-adds", f"{costs.gmac:.3g} G an image of {recipe.model.input_size} px"),
        ("data", f"{_describe_data(data)}, {persons} persons, {joints} joints"),
        ("steps", f"{plan.epochs} epochs x {batches} = {steps}"),
        ("persons a step", f"{plan.batch_size} over {processes} process(es){parts}"),
        (
            "memory",
            f"about {costs.memory / 1e9:.3g} GB a process: {costs.weight_bytes / 1e9:.3g} GB of "
            f"weights and moments, {costs.batch} x {costs.image_bytes / 1e6:.0f} MB of "
            f"activations{checkpointing}",
        ),
        (
            "time",
            f"about {timedelta(seconds=round(costs.seconds))} on {device} at "
            f"{costs.step_seconds:.2f} s a step ({plan.precision}), scoring and data not counted",
        ),
    ]
    return "\n".join(f"{name:16}{value}" for name, value in lines)


def _describe_recipe(recipe: "Recipe") -> str:
    """Every field, a line a section."""
    values = recipe.model_dump(mode="json", exclude={"description"})
    sections = {name: fields for name, fields in values.items() if isinstance(fields, dict)}
    first = {name: value for name, value in values.items() if name not in sections}
    return "\n".join(
        f"{section:13} {', '.join(f'{name} {value}' for name, value in fields.items())}"
        for section, fields in {"recipe": first, **sections}.items()
    )


def count_persons(data: "DataSection") -> tuple[int, int]:
    """Persons to learn from, and joints."""
    from spcnet.data.datasets import split_size
    from spcnet.skeletons import SKELETONS

    sizes = [split_size(part.dataset, part.root, part.split) for part in data.parts]
    joints = sizes[0][1] if data.skeleton is None else len(SKELETONS[data.skeleton])
    return sum(persons for persons, _ in sizes), joints


def _describe_data(data: "DataSection") -> str:
    return " + ".join(f"{part.title} {part.split}" for part in data.parts)


@contextmanager
def _reporter(steps: int) -> Iterator[Callable[["Progress"], None]]:
    """A bar on a terminal, otherwise a line every few steps; and every score on a line."""
    latest = ""

    def hear(now: "Progress") -> bool:
        nonlocal latest
        if now.score is not None:
            latest = f" score {now.score.headline:.2f}"
            _say_score(now.epoch, now.score)
            for title, score in now.sources.items():
                say(f"  {title}: {score.headline:.2f} %, {score.persons} persons")
        return now.score is None

    def note(now: "Progress") -> str:
        return f"loss {now.loss:.4f} lr {now.lr:.2e} {now.images_per_second:.1f} images/s{latest}"

    if not sys.stderr.isatty():

        def line(now: "Progress") -> None:
            if hear(now):
                left = timedelta(seconds=round(now.seconds_left))
                say(f"epoch {now.epoch} step {now.step}/{now.steps} {note(now)} left {left}")

        yield line
        return
    with progress("training steps", steps) as advance:

        def move(now: "Progress") -> None:
            hear(now)
            advance(now.step, note(now))

        yield move


def _say_score(epoch: int, score: "Score") -> None:
    limbs = "" if score.mean_limbs is None else f"{score.mean_limbs:.2f} % over the limbs, "
    say(
        f"epoch {epoch}: {score.protocol} {limbs}{score.mean:.2f} % over all, "
        f"{score.persons} held-out persons"
    )

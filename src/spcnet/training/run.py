"""A recipe from its data to its checkpoint."""

from collections.abc import Callable
from pathlib import Path

import torch

from spcnet.devices import find_device
from spcnet.errors import UserError
from spcnet.training.checks import (
    check_directory,
    check_processes,
    check_recipe,
    steps_per_epoch,
)
from spcnet.training.data import check_data, open_scenes, open_stores
from spcnet.training.distributed import ProcessGroup
from spcnet.training.finding import FinderTask
from spcnet.training.log import Progress
from spcnet.training.loop import train
from spcnet.training.recipe import Recipe
from spcnet.training.run_dir import RunDirectory
from spcnet.training.task import PoseTask


def train_recipe(
    recipe: Recipe,
    run_dir: Path | str | None = None,
    *,
    resume: bool | None = False,
    device: torch.device | str = "auto",
    processes: ProcessGroup | None = None,
    stop: Callable[[], bool] = lambda: False,
    packing: Callable[[int, int | None], None] = lambda done, total: None,
    begin: Callable[[int, int], None] = lambda learned, steps: None,
    report: Callable[[Progress], None] = lambda progress: None,
    finish: Callable[[Path], None] = lambda checkpoint: None,
) -> Path:
    """Open a recipe's data and train by it, as ``spcnet train`` does.

    Args:
        recipe: as `spcnet.training.recipe.load_recipe` reads it.
        run_dir: where everything is written; by default ``runs/NAME``.
        resume: as for `spcnet.training.loop.train`.
        device: where to train, where there is one process.
        processes: this one among those of the run, as
            `spcnet.training.distributed.join_processes` gives them.
        stop: as for `spcnet.training.loop.train`.
        packing: called with the persons or pictures that are packed, and their number where it is
            known.
        begin: called in the first process with the number of persons or pictures to learn from
            and of steps, before the first one.
        report: as for `spcnet.training.loop.train`.
        finish: as for `spcnet.training.loop.train`.

    Returns:
        The trained checkpoint.

    Raises:
        UserError: as `spcnet.training.loop.train`; or the data are not there, cannot be packed or
            are held out and learned from.
    """
    processes = processes or ProcessGroup(device=find_device(str(device)))
    directory = Path(run_dir or Path("runs") / recipe.name)
    check_recipe(recipe)
    check_processes(recipe, processes)
    # What can be found out before the pictures are packed is reported before.
    problem = None
    run = RunDirectory(directory, writes=processes.first)
    try:
        check_directory(run, recipe, resume=run.holds_run if resume is None else resume)
        if processes.first:
            check_data(recipe)
    except UserError as error:
        problem = error
    processes.agree(problem)
    finds = recipe.task == "finder"
    learned, held = (open_scenes if finds else open_stores)(recipe, processes, packing)
    if processes.first:
        begin(len(learned), recipe.training.epochs * steps_per_epoch(recipe, len(learned)))
    return train(
        recipe,
        learned,
        directory,
        holdout=held,
        resume=resume,
        processes=processes,
        stop=stop,
        report=report,
        finish=finish,
        kind=FinderTask if finds else PoseTask,
    )

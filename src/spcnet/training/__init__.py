"""Training: recipes, runs, and the loop that they go through."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a recipe can be read without the loop
    import torch

    from spcnet.training.distributed import ProcessGroup
    from spcnet.training.log import Progress
    from spcnet.training.recipe import Recipe
    from spcnet.training.weights import Taken


def train_recipe(
    recipe: "Recipe",
    run_dir: Path | str | None = None,
    *,
    resume: bool | None = False,
    device: "torch.device | str" = "auto",
    processes: "ProcessGroup | None" = None,
    stop: Callable[[], bool] = lambda: False,
    packing: Callable[..., None] = lambda done, total=None: None,
    begin: Callable[[int, int], None] = lambda learned, steps: None,
    took: Callable[["Taken"], None] = lambda taken: None,
    report: Callable[["Progress"], None] = lambda progress: None,
) -> Path:
    """Open a recipe's data and train by it, as ``spcnet train`` does; gives the trained checkpoint.

    `resume`, `stop`, `took`, `report` and what is raised are as of
    `spcnet.training.loop.train`; `run_dir` is ``runs/NAME`` by default. `packing` is called with
    the persons or pictures that are packed, and their number where it is known; `begin`, in the
    first process, with the number of these to learn from and of steps, before the first one.
    Several `processes` are those of
    `spcnet.training.distributed.join_processes`.
    """
    from spcnet.devices import find_device
    from spcnet.training import checks, data
    from spcnet.training.distributed import ProcessGroup
    from spcnet.training.finding import FinderTask
    from spcnet.training.loop import train
    from spcnet.training.run_dir import RunDirectory
    from spcnet.training.task import PoseTask

    processes = processes or ProcessGroup(device=find_device(str(device)))
    directory = Path(run_dir or Path("runs") / recipe.name)
    checks.check_recipe(recipe)
    checks.check_processes(recipe, processes)
    # What can be found out before the pictures are packed is reported before.
    with processes.agreeing():
        if processes.first:
            run = RunDirectory(directory)
            checks.check_directory(run, recipe, resume=run.holds_run if resume is None else resume)
            data.check_data(recipe)
    finds = recipe.task == "finder"
    learned, held = (data.open_scenes if finds else data.open_stores)(recipe, processes, packing)
    if processes.first:
        begin(len(learned), recipe.training.epochs * checks.steps_per_epoch(recipe, len(learned)))
    return train(
        recipe,
        learned,
        directory,
        holdout=held,
        resume=resume,
        processes=processes,
        stop=stop,
        took=took,
        report=report,
        kind=FinderTask if finds else PoseTask,
    )

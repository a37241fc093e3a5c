"""Peak memory of SPCNet's training step, with and without checkpointing, in fp32 and bf16.

    python benchmarks/training_memory.py [--stacks 8 --width 256 --size 256 --batch 12]

Each case runs in a fresh process. On a CPU it is the process's resident memory, on a GPU what torch
allocated there.
"""

import argparse
import json
import multiprocessing
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from one_prediction import peak_bytes
from training_loop import our_recipe

from spcnet.data.datasets import SyntheticFigures
from spcnet.data.packing import pack
from spcnet.data.store import PackedStore
from spcnet.devices import find_device, memory_suffices
from spcnet.errors import UserError
from spcnet.training.distributed import ProcessGroup
from spcnet.training.loop import Run
from spcnet.training.recipe import Recipe
from spcnet.training.run_dir import RunDirectory
from spcnet.training.task import PoseTask

STEPS = 2  # the second one has the optimiser's moments too


@dataclass(frozen=True)
class MemoryUse:
    """Of one case, in bytes.

    Attributes:
        before: held when the network and the data are there and no step was taken.
        peak: largest that was held at any moment.
    """

    before: int
    peak: int


def peak_memory(
    recipes: Sequence[Recipe],
    *,
    device: torch.device | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> list[MemoryUse | None]:
    """Take two steps by each recipe, on figures, and watch the memory.

    On a CPU it is the process's resident memory, on a GPU what torch allocated there.

    Args:
        recipes: the cases; their data are not looked at.
        device: by default the CPU.
        report: called with the number of cases done.

    Returns:
        One a case; None where the memory did not suffice.
    """
    device = device or torch.device("cpu")
    # A fork of a process that has imported everything and done nothing begins at once.
    forks = "forkserver" in multiprocessing.get_all_start_methods()
    context = multiprocessing.get_context("forkserver" if forks else "spawn")
    if forks:
        context.set_forkserver_preload(["spcnet.training.loop", "torch._dynamo"])
    found: list[MemoryUse | None] = []
    with tempfile.TemporaryDirectory() as folder:
        store = Path(folder) / "store"
        largest = max(recipe.training.batch_size for recipe in recipes)
        pack(SyntheticFigures(f"1-{largest}"), store)
        PackedStore(store).expand()  # once for all
        for recipe in recipes:
            with ProcessPoolExecutor(1, mp_context=context) as pool:
                arguments = (recipe.model_dump(), str(store), str(device))
                try:
                    found.append(pool.submit(_measure, *arguments).result())
                except (BrokenProcessPool, UserError):  # killed for its memory, or refused
                    found.append(None)
            report(len(found))
    return found


def _measure(values: dict[str, Any], store: str, device: str) -> MemoryUse:
    """In the fresh process."""
    on = torch.device(device)
    with tempfile.TemporaryDirectory() as folder:
        recipe, processes = Recipe.model_validate(values), ProcessGroup(device=on)
        task = PoseTask(recipe, PackedStore(Path(store)), processes=processes)
        run = Run(recipe, task, RunDirectory(Path(folder)), processes)
        batches = run.batches()
        before = held_at_most(on)
        with memory_suffices("use a smaller batch"):
            for _ in range(STEPS):
                run.take_step(*next(batches))
        return MemoryUse(before, held_at_most(on))


def held_at_most(device: torch.device) -> int:
    """Bytes so far: resident on a CPU, on a GPU what torch allocated there."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_bytes()


def main() -> None:
    """Read the arguments, measure, and print one JSON object a case."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, value in (("stacks", 8), ("width", 256), ("size", 256), ("batch", 12)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precisions", nargs="+", default=["fp32", "bf16"])
    setting = vars(parser.parse_args())
    device, precisions = find_device(setting.pop("device")), setting.pop("precisions")
    cases = [(precision, keeps) for precision in precisions for keeps in (False, True)]
    recipes = [
        our_recipe(
            variant="spcnet_s8_w256", precision=precision, checkpointing=checkpointing, **setting
        )
        for precision, checkpointing in cases
    ]
    used = peak_memory(recipes, device=device)
    for (precision, checkpointing), use in zip(cases, used, strict=True):
        row = {"precision": precision, "checkpointing": checkpointing}
        print(json.dumps(row | (asdict(use) if use else {"peak": "does not fit"})))


if __name__ == "__main__":
    main()

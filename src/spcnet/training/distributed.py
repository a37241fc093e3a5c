"""The processes of one run: one by default, or those that torchrun started."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from spcnet.errors import UserError

# One process may pack a whole data set while the others wait; one that died is noticed at once.
PATIENCE = timedelta(hours=2)


@dataclass(frozen=True)
class ProcessGroup:
    """This process among those of a run; methods raise `UserError` where another one is gone."""

    rank: int = 0
    count: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    @property
    def first(self) -> bool:
        """Whether this is the process that writes files and reports."""
        return self.rank == 0

    def mean(self, values: Tensor) -> Tensor:
        """The mean of a tensor over the processes, the same in each."""
        if self.count == 1:
            return values
        values = values.to(self.device)
        with reporting_lost():
            dist.all_reduce(values)
        return values / self.count

    def barrier(self) -> None:
        """Wait until every process is here."""
        self.gather(None)

    @contextmanager
    def agreeing(self) -> Iterator[None]:
        """Around checks; where the first process raises a `UserError`, all of them raise it."""
        problem = None
        try:
            yield
        except UserError as error:
            problem = error
        if (problem := self.of_first(problem)) is not None:
            raise problem

    def in_turns(self) -> Iterator[None]:
        """A loop whose body runs once: in the first process, and then in the others."""
        for turn in (True, False):
            if self.first == turn:
                yield
            self.barrier()

    def of_first(self, value: Any) -> Any:
        """What the first process has of something, in every process."""
        if self.count == 1:
            return value
        box = [value]
        with reporting_lost():
            dist.broadcast_object_list(box, src=0, device=self.device)
        return box[0]

    def take_over(self, module: nn.Module) -> None:
        """Give a module the weights and statistics that it has in the first process."""
        if self.count > 1:
            with reporting_lost():
                for tensor in module.state_dict().values():
                    dist.broadcast(tensor, src=0)

    def gather(self, value: Any) -> list[Any]:
        """A value of every process, in the order of their ranks."""
        parts: list[Any] = [value] * self.count
        if self.count > 1:
            with reporting_lost():
                dist.all_gather_object(parts, value)
        return parts


@contextmanager
def join_processes(device: torch.device) -> Iterator[ProcessGroup]:
    """The processes that torchrun started this one among, each with its own GPU; or it alone."""
    count = process_count()
    if count == 1:
        yield ProcessGroup(device=device)
        return
    rank, local = int(os.environ["RANK"]), int(os.environ.get("LOCAL_RANK", "0"))
    if device.type == "cuda":
        if local >= (gpus := torch.cuda.device_count()):
            there = f"the {gpus} GPUs of this machine"
            raise UserError(f"--nproc-per-node asks for more processes than {there}")
        device = torch.device("cuda", local)
        torch.cuda.set_device(device)
    backend = "nccl" if device.type == "cuda" else "gloo"
    dist.init_process_group(backend, rank=rank, world_size=count, timeout=PATIENCE)
    try:
        yield ProcessGroup(rank, count, device)
    finally:
        dist.destroy_process_group()


def process_count() -> int:
    """How many processes torchrun started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


@contextmanager
def reporting_lost() -> Iterator[None]:
    """What the processes do together fails as a `UserError` where one of them is gone."""
    try:
        yield
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "gloo" not in str(error):
            raise
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            "another process of this run is gone, so this one stops too; see its message, and go "
            f"on with --resume ({reason})"
        ) from None

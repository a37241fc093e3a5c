"""The one thread that runs the network, on whatever has come in since it last did."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from spcnet.geometry import Array
from spcnet.inference.people import People, Sightings
from spcnet.inference.pose import Pose

if TYPE_CHECKING:
    from spcnet.inference.estimator import PoseEstimator


PATIENCE = 1.0  # seconds that closing waits for a batch


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """One request's picture, with the future of the poses in it.

    They have all of the model's joints, and maps where any job of the batch asks for them. A
    cancelled future is a job that nobody waits for: the queue drops it at once.
    """

    picture: Array
    boxes: Array | None = None
    people: People = "one"
    maps: bool = False
    future: "Future[list[Pose]]" = field(default_factory=Future)

    @property
    def persons(self) -> int:
        """How much of a batch it takes, as far as that is known before it is looked at."""
        return 1 if self.boxes is None else len(self.boxes)


class Worker:
    """Runs jobs in batches of at most so many persons, in the order in which they come.

    A job with more persons has a batch to itself. The estimator runs in the worker's thread only;
    `counted` is called with each batch's number of jobs and of persons.
    """

    def __init__(
        self, estimator: "PoseEstimator", *, batch: int, counted: Callable[[int, int], None]
    ) -> None:
        self.estimator, self.batch, self.counted = estimator, batch, counted
        self._jobs: deque[Job] = deque()
        self._change = threading.Condition()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="spcnet-network", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> "Future[list[Pose]]":
        """Put a job into the queue; a `RuntimeError` where the worker was closed."""
        with self._change:
            if self._closed:
                raise RuntimeError("the worker is closed")
            self._jobs.append(job)
            self._change.notify()
        # By the future alone: a callback that knows the job would keep its picture alive.
        job.future.add_done_callback(self._drop)
        return job.future

    @property
    def waiting(self) -> int:
        """Jobs whose turn has not come."""
        return len(self._jobs)

    @property
    def alive(self) -> bool:
        """Whether jobs are still taken."""
        return self._thread.is_alive() and not self._closed

    @property
    def ended(self) -> bool:
        """Whether nothing runs any more."""
        return not self._thread.is_alive()

    def close(self) -> None:
        """Drop what waits, and stop: a batch that is in the network has a second left."""
        with self._change:
            self._closed = True
            for job in self._jobs:
                job.future.cancel()
            self._jobs.clear()
            self._change.notify()
        self._thread.join(PATIENCE)

    def _drop(self, future: "Future[list[Pose]]") -> None:
        """Let go of a job that was cancelled: its picture is not to wait for a turn."""
        if future.cancelled():
            with self._change:
                self._jobs = deque(job for job in self._jobs if job.future is not future)

    def _run(self) -> None:
        while jobs := self._take():
            self._answer(jobs)

    def _take(self) -> list[Job]:
        """What waits, up to a batch of persons; nothing when the worker is closed."""
        taken: list[Job] = []
        persons = 0
        with self._change:
            while not taken and not self._closed:
                while self._jobs and (not taken or persons + self._jobs[0].persons <= self.batch):
                    if self._jobs[0].future.set_running_or_notify_cancel():
                        taken.append(self._jobs[0])
                        persons += self._jobs[0].persons
                    self._jobs.popleft()
                if not taken:
                    self._change.wait()
        return taken

    def _answer(self, jobs: list[Job]) -> None:
        """Answer some jobs, and take them off the list: no picture is held once it is answered."""
        poses: list[list[Pose]] | None = None
        try:
            boxes = [self._boxes(job) for job in jobs]
            maps = any(job.maps for job in jobs)
            # No name holds the pictures here.
            poses = [*self.estimator.predict_many([job.picture for job in jobs], boxes, maps=maps)]
        except Exception as error:
            if len(jobs) == 1:
                jobs.pop().future.set_exception(error)
                return
        if poses is None:  # one faulty job is not to fail the others
            while jobs:
                self._answer([jobs.pop(0)])
            return
        self.counted(len(jobs), sum(map(len, poses)))
        while jobs:
            jobs.pop(0).future.set_result(poses.pop(0))

    def _boxes(self, job: Job) -> Array | Sightings:
        if self._closed:
            raise RuntimeError("the worker is closed")
        return self.estimator.find(job.picture, job.people)[1] if job.boxes is None else job.boxes

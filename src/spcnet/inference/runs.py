"""A run over pictures that keeps their results, and goes on with what an earlier one left."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from spcnet.data.label_files import MALFORMED
from spcnet.errors import UserError
from spcnet.files import output_folder, refuse_existing, remove_leftovers, replacing, writing
from spcnet.inference.documents import CocoCollection, coco_document, result_info
from spcnet.inference.files import Failed, Predicted, predict_files
from spcnet.inference.jobs import Job
from spcnet.inference.method import Method
from spcnet.inference.pose import Pose
from spcnet.inference.results import FOREIGN, Results
from spcnet.media.images import GreyRange
from spcnet.tables import TABLES

COLLECTION, LOCK = "poses.json", ".predict.lock"


class OtherMethod(UserError):
    """A folder, or a file, holds results that were predicted by another method."""

    def __init__(self, path: Path, before: Method, now: Method) -> None:
        self.path, self.before, self.now = path, before, now
        super().__init__(f"{path}: was predicted otherwise ({', '.join(before.differences(now))})")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a picture.

    `poses` is None where its results were there already or it failed; `target` is the first file
    that was written of it, and `ahead` counts the pictures after it that take no more time.
    """

    job: Job
    poses: list[Pose] | None = None
    target: Path | None = None
    failure: str | None = None
    ahead: int = 0


@dataclass(kw_only=True)
class PredictionRun:
    """Predicts the pictures of a folder, or some that are named, and writes their results.

    Of a folder, pictures whose results are there by the same method are passed over, and
    `COLLECTION` holds the documents of all where JSON is among the results.

        with run.opened(jobs):
            for outcome in run.outcomes():
                ...

    Where the block ends without an error the collection and the joined tables are written.
    """

    results: Results
    method: Method
    description: str  # of the method, for people
    source: Path | None = None  # the folder of the pictures; None where they are named
    collect: bool = False  # all documents as one, even if no such file is written
    how: Mapping[str, Any] = field(default_factory=dict)  # further arguments of `predict_files`

    jobs: Sequence[Job] = field(default=(), init=False)  # all pictures
    left: Sequence[Job] = field(default=(), init=False)  # those without results, to be predicted
    predicted: int = field(default=0, init=False)  # without those that failed or were there
    empty: int = field(default=0, init=False)  # pictures in which nobody was found
    greys: GreyRange = field(default_factory=GreyRange, init=False)
    collection: CocoCollection | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        collected = self.source is not None and "json" in self.results.kinds
        self.target = self.results.folder / COLLECTION if collected else None
        text = f"spcnet {self.method.version}, {self.description}"
        self._info = result_info(self.method, text)

    @contextmanager
    def opened(self, jobs: Sequence[Job]) -> Iterator[None]:
        """Hold the folder of results while the pictures of these jobs are predicted.

        Raises:
            OtherMethod: the results that are there are by another method.
            UserError: they are of another folder or none of ours; another run holds the folder; or
                it cannot be written to.
        """
        results = self.results
        if self.source is None and not results.force:
            there = [job for job in jobs if os.path.exists(job.path)]  # the others fail later
            for job in there if "json" in results.kinds else ():
                self._refuse_other_method(job)
            refuse_existing(results.path(job, kind) for job in there for kind in results.kinds)
        with output_folder(results.folder) if results.kinds else nullcontext(), self._alone(jobs):
            self.collection = self._open_collection(known=self._goes_on())
            results.check_maps()
            if self.source is not None:
                results.check_joined()
            done = self._done(jobs)
            self.jobs, self.left = jobs, [job for job in jobs if job.name not in done]
            yield
            if self.target is not None and self.collection and self.collection.pictures:
                with replacing(self.target) as partial, partial.open("w", encoding="utf-8") as file:
                    self.collection.save(file)
            if self.source is not None:
                results.join_tables(jobs)

    def outcomes(self) -> Iterator[Outcome]:
        """Predict what is left; every picture's outcome in the order of the jobs."""
        kinds, left = set(self.results.kinds), {job.name for job in self.left}
        found = predict_files(
            self.results.estimator,
            (job.path for job in self.left),
            keep=bool(kinds - {"json", *TABLES}),
            skeleton=self.results.view,
            maps=bool(kinds & {"heatmaps", "attention"}),
            greys=self.greys,
            **self.how,
        )
        for job in self.jobs:
            fresh = next(found) if job.name in left else None
            ahead = fresh.ahead if fresh else 0
            try:
                if fresh is None:
                    self._pass_over(job)
                    yield Outcome(job)
                else:
                    poses, target = self._keep(job, fresh)
                    yield Outcome(job, poses, target, ahead=ahead)
            except UserError as error:
                yield Outcome(job, failure=str(error), ahead=ahead)

    @contextmanager
    def _alone(self, jobs: Sequence[Job]) -> Iterator[None]:
        """Keep other runs on folders out of the results; a dead one's hold ends with it."""
        if self.source is None or not self.results.kinds:
            yield
            return
        lock = FileLock(self.results.folder / LOCK)
        with writing(self.results.folder):
            try:
                lock.acquire(blocking=False)
            except Timeout:  # an OSError too
                raise UserError(
                    f"{self.results.folder}: another spcnet predict writes here; wait for it, or "
                    "-o names another folder"
                ) from None
        try:
            for folder in {self.results.path(job, "json").parent for job in jobs}:
                remove_leftovers(folder)
            yield
        finally:
            with suppress(OSError):
                os.unlink(lock.lock_file)
            lock.release()

    def _goes_on(self) -> bool:
        """Whether an earlier run on the same folder, by the same method, is gone on with."""
        record, folder = self.results.record, self.results.folder
        if self.source is None or not self.results.kinds:
            return False
        now = (str(self.source.resolve()), self.method)
        earlier = record.read()
        if earlier is not None and earlier != now and not self.results.force:
            if earlier[0] != now[0]:
                remedy = "--force predicts all again, -o names another folder"
                raise UserError(f"{folder}: holds the results of {earlier[0]}; {remedy}")
            raise OtherMethod(folder, earlier[1], self.method)
        record.start(*now, same=earlier == now)
        return earlier == now

    def _refuse_other_method(self, job: Job) -> None:
        """Say of a picture's results that are there that they are another method's, if they are."""
        before = self.method
        with suppress(UserError, *MALFORMED):  # none are there, or they are not ours
            before = Method.from_dict(self.results.earlier(job)["info"]["method"])
        if before != self.method:
            raise OtherMethod(self.results.path(job, "json"), before, self.method)

    def _done(self, jobs: Sequence[Job]) -> set[str]:
        """The names of a folder's results that are there from an earlier run."""
        if self.source is None:
            return set()
        for job in jobs:
            self.results.refuse_foreign(job)
        kinds = {*self.results.kinds, *(["json"] if self.collection is not None else [])}
        return {job.name for job in jobs if all(self.results.has(job, kind) for kind in kinds)}

    def _pass_over(self, job: Job) -> None:
        self.empty += self.results.record.persons(job, self.results.kinds[0]) == 0
        if self.collection is not None:
            self.collection.add(self.results.earlier(job))

    def _keep(self, job: Job, found: Predicted | Failed) -> tuple[list[Pose], Path | None]:
        """Write the results of one picture where they are wanted, and collect its document."""
        if isinstance(found, Failed):
            raise UserError(found.reason)
        picture = (job.shown, found.shape, found.poses)
        document = coco_document([picture], self.results.view, self._info)
        if self.source is None and not self.results.force:  # another run may have been quicker
            refuse_existing(self.results.path(job, kind) for kind in self.results.kinds)
        target = self.results.write(job, found, document)
        self.predicted += 1
        self.empty += not found.poses
        if self.collection is not None:
            self.collection.add(document)
        return found.poses, target

    def _open_collection(self, *, known: bool) -> CocoCollection | None:
        """Where the documents of all pictures are collected, if they are wanted as one."""
        target = self.target
        if target is not None:
            if target.is_dir():
                raise UserError(f"{target}: is a folder; -o names another place")
            if target.exists() and not self.results.force and not (known and _is_ours(target)):
                raise UserError(f"{target}: {FOREIGN}")
        elif not self.collect:
            return None
        return CocoCollection({"info": self._info}, self.results.view)


def _is_ours(collection: Path) -> bool:
    with collection.open(encoding="utf-8", errors="replace") as file:
        return file.read(100).startswith('{"info": {"description": "spcnet ')

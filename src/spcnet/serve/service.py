"""From a request to its answer: admission, reading, decoding, the network, within a time."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from starlette.requests import ClientDisconnect, Request

from spcnet import __version__
from spcnet.errors import UserError
from spcnet.geometry import Array
from spcnet.inference.people import check_boxes
from spcnet.media.formats import TooManyPixels
from spcnet.media.images import NotAPicture, count_pixels, decode_image
from spcnet.serve.budget import Budget
from spcnet.serve.errors import RequestError
from spcnet.serve.limits import BUDGET_PICTURES, MAPS_PERSONS, Limits
from spcnet.serve.maps import encode_maps
from spcnet.serve.metrics import Metrics
from spcnet.serve.schema import (
    Answer,
    Keypoint,
    LimitsAnswer,
    ModelAnswer,
    Person,
    Service,
    Size,
    SkeletonAnswer,
)
from spcnet.serve.uploads import Body, Upload, parse
from spcnet.serve.worker import Job, Worker
from spcnet.skeletons import Skeleton

if TYPE_CHECKING:
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.inference.pose import Pose

T = TypeVar("T")

DECODERS = min(4, os.cpu_count() or 1)  # threads
CLERKS = 2  # threads that read requests and write answers, neither of which takes long


class PoseService:
    """Answers requests for poses; everything of it but the threads lives in one event loop.

    Args:
        estimator: finds the poses; from now on it belongs to the service's worker.
        limits: what requests may take.
    """

    def __init__(self, estimator: "PoseEstimator", limits: Limits) -> None:
        self.limits = limits
        self._view = estimator.view
        self.about = _about(estimator, limits)
        self.taken = 0
        self.metrics = Metrics(
            {"version": __version__, "model": estimator.path.stem},
            {
                "spcnet_requests_taken": ("Requests that are not answered yet.", self._in_house),
                "spcnet_queue_length": ("Requests that wait for the network.", self._waiting),
            },
        )
        self.pixels = Budget(BUDGET_PICTURES * limits.pixels)
        self.decoders = ThreadPoolExecutor(DECODERS, thread_name_prefix="spcnet-decode")
        # Apart from the decoders: a small request is not to wait for the pictures of others.
        self.clerks = ThreadPoolExecutor(CLERKS, thread_name_prefix="spcnet-clerk")
        self.worker = Worker(estimator, batch=limits.batch, counted=self.metrics.count_batch)

    def close(self) -> None:
        """Stop the threads."""
        self.worker.close()
        self.decoders.shutdown(cancel_futures=True)
        self.clerks.shutdown(cancel_futures=True)

    async def answer(self, request: Request, body: Body) -> Answer:
        """The answer to one request.

        Args:
            request: for its connection: a client that hangs up is answered no further.
            body: of the request.

        Raises:
            RequestError: there is none; it says why.
            ClientDisconnect: nobody waits for it.
        """
        with self._admitted():
            try:
                async with asyncio.timeout(self.limits.timeout):
                    # No name holds the body here: it goes as soon as its picture is out of it.
                    work = self._find(*await body.read(self.limits))
                    return await _unless_hung_up(request, work)
            except TimeoutError:
                seconds = f"{self.limits.timeout:g} seconds"
                if not body.whole:
                    raise RequestError(
                        408, "slow_upload", f"the upload took more than {seconds}"
                    ) from None
                raise RequestError(
                    504, "timeout", f"no answer within {seconds}; try later"
                ) from None

    @contextmanager
    def _admitted(self) -> Iterator[None]:
        """A place among those who are served; refused before anything of them is read."""
        if self.taken >= self.limits.queue:
            raise RequestError(
                503,
                "busy",
                f"{self.taken} requests are already waiting; try again in a moment",
                {"Retry-After": "1"},
            )
        self.taken += 1
        try:
            yield
        finally:
            self.taken -= 1

    async def _find(self, content: bytes, kind: str) -> Answer:
        upload, pixels = await asyncio.wrap_future(_submit(self.clerks, self._read, content, kind))
        del content
        kinds = [kind for kind in ("heatmaps", "attention") if getattr(upload, kind)]
        async with self.pixels.lend(pixels) as loan:
            job = await loan.begin(_submit(self.decoders, self._decode, upload))
            poses = await loan.begin(self.worker.submit(job))
            answer = partial(self._answer, kinds=kinds)
            return await loan.begin(_submit(self.clerks, answer, job, poses))

    def _read(self, content: bytes, kind: str) -> tuple[Upload, int]:
        """What is asked, and how many pixels the picture has by its header."""
        upload = parse(content, kind, self.limits)
        if upload.attention and not self.about.model.levels:
            raise RequestError(
                422, "no_attention", f"model {self.about.model.name} has no attention to answer"
            )
        try:
            self._view(upload.skeleton)
        except UserError as error:
            raise RequestError(422, "no_such_skeleton", str(error)) from None
        with _refused():
            return upload, count_pixels(upload.picture, max_pixels=self.limits.pixels)

    def _decode(self, upload: Upload) -> Job:
        with _refused():
            picture = decode_image(upload.picture, max_pixels=self.limits.pixels)
        try:
            boxes = None if upload.boxes is None else check_boxes(upload.boxes, picture.shape)
        except UserError as error:
            raise RequestError(422, "bad_boxes", str(error)) from None
        return Job(
            picture=picture,
            boxes=boxes,
            people=upload.people,
            skeleton=self._view(upload.skeleton),
            maps=upload.heatmaps or upload.attention,
        )

    def _answer(self, job: Job, poses: "list[Pose]", *, kinds: Collection[str]) -> Answer:
        height, width = job.picture.shape[:2]
        skeleton = job.skeleton or self._view(None)
        seen = [pose.seen_as(skeleton) for pose in poses]
        people = [_person(pose) for pose in seen]
        for person, pose in zip(people[:MAPS_PERSONS], seen, strict=False):
            if pose.maps is None:
                continue
            if "heatmaps" in kinds:
                person.heatmaps = encode_maps(pose.maps.heatmaps, pose.maps.region)
            if "attention" in kinds and pose.maps.attention is not None:
                person.attention = encode_maps(pose.maps.attention, pose.maps.region)
        return Answer(
            image=Size(width=width, height=height),
            poses=people,
            skeleton=_described(skeleton),
            model=self.about.model,
        )

    def _in_house(self) -> float:
        return self.taken

    def _waiting(self) -> float:
        return self.worker.waiting


def _submit(threads: ThreadPoolExecutor, function: Callable[..., T], *arguments: Any) -> Future[T]:
    """Have a thread call a function; who cancels that before its turn frees the arguments."""
    held = list(arguments)
    work = threads.submit(lambda: function(*held))
    work.add_done_callback(lambda _: held.clear())
    return work


async def _unless_hung_up(request: Request, work: Awaitable[T]) -> T:
    """What some work gives, unless the client hangs up first: then the work is dropped.

    Raises:
        ClientDisconnect: it hung up.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        gone.cancel()


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


@contextmanager
def _refused() -> Iterator[None]:
    """What is wrong with a picture, as a refusal."""
    try:
        yield
    except TooManyPixels as error:
        raise RequestError(413, "too_many_pixels", str(error)) from None
    except NotAPicture as error:
        raise RequestError(415, "not_a_picture", str(error)) from None
    except UserError as error:
        raise RequestError(422, "broken_picture", str(error)) from None


def _person(pose: "Pose") -> Person:
    keypoints = [
        Keypoint(name=name, x=round(x, 2), y=round(y, 2), score=round(score, 4))
        for name, (x, y), score in zip(
            pose.skeleton.joints, pose.keypoints.tolist(), pose.scores.tolist(), strict=True
        )
    ]
    x0, y0, x1, y1 = (round(side, 2) for side in pose.box.tolist())
    return Person(
        keypoints=keypoints, box=(x0, y0, x1, y1), score=round(float(pose.scores.mean()), 4)
    )


def _about(estimator: "PoseEstimator", limits: Limits) -> Service:
    """What the service is; also the network's first run, which is slower than the others."""
    blank: Array = np.zeros((64, 64, 3), dtype=np.uint8)
    estimator.predict(blank)
    estimator.predict(blank, [[0, 0, 63, 63]])
    try:
        levels = len(estimator.attention(blank, [0, 0, 63, 63]))
    except UserError:
        levels = 0
    return Service(
        model=ModelAnswer(
            name=estimator.path.stem,
            description=estimator.describe(),
            version=__version__,
            levels=levels,
        ),
        skeleton=_described(estimator.skeleton),
        limits=LimitsAnswer(
            megabytes=limits.picture_bytes / 1e6,
            megapixels=limits.pixels / 1e6,
            boxes=limits.boxes,
            maps=MAPS_PERSONS,
            seconds=limits.timeout,
        ),
    )


def _described(skeleton: Skeleton) -> SkeletonAnswer:
    return SkeletonAnswer(
        name=skeleton.name,
        joints=list(skeleton.joints),
        sides=[skeleton.side(joint) for joint in range(len(skeleton))],
        limbs=list(skeleton.limb_indices),
    )

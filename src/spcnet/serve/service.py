"""From a request to its answer: admission, reading, decoding, the network, within a time."""

import asyncio
import base64
import os
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import numpy as np
from PIL import Image
from starlette.requests import ClientDisconnect, Request

from spcnet import __version__
from spcnet.errors import UserError
from spcnet.files import picture_bytes
from spcnet.geometry import Array
from spcnet.inference.documents import coco_document, result_info
from spcnet.inference.method import PersonSource
from spcnet.inference.people import People, check_boxes, check_people
from spcnet.serve import schema
from spcnet.serve.budget import Budget
from spcnet.serve.decoding import Decoders
from spcnet.serve.errors import RequestError
from spcnet.serve.limits import (
    BUDGET_PICTURES,
    MAPS_PERSONS,
    VIDEO_FRAMES,
    VIDEO_SECONDS,
    Limits,
)
from spcnet.serve.metrics import Metrics
from spcnet.serve.places import Places
from spcnet.serve.schema import Form, Question
from spcnet.serve.uploads import parse, read_body
from spcnet.serve.worker import Job, Worker
from spcnet.skeletons import Skeleton

if TYPE_CHECKING:
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.inference.pose import Pose

T = TypeVar("T")

DECODERS = min(4, os.cpu_count() or 1)  # threads, each of which asks a process
CLERKS = 4  # threads that read requests and write answers, neither of which takes long


class PoseService:
    """Answers requests for poses, in one event loop; the estimator belongs to it from now on."""

    def __init__(self, estimator: "PoseEstimator", limits: Limits) -> None:
        self.limits = limits
        self.view = estimator.view
        self.about = _about(estimator, limits)
        self._methods = {people: estimator.method(people) for people in get_args(People)}
        self.places = Places(limits.queue, seconds=limits.timeout)
        self.metrics = Metrics({"version": __version__, "model": estimator.path.stem})
        self.pixels = Budget(BUDGET_PICTURES * limits.pixels)
        self.pictures = Decoders(max_pixels=limits.pixels)
        self.decoders = ThreadPoolExecutor(DECODERS, thread_name_prefix="spcnet-decode")
        # Apart from the decoders: a small request is not to wait for the pictures of others.
        self.clerks = ThreadPoolExecutor(CLERKS, thread_name_prefix="spcnet-clerk")
        self.worker = Worker(estimator, batch=limits.batch, counted=self.metrics.count_batch)
        watch = self.metrics.watch
        watch("requests_taken", "Requests that are not answered yet.", lambda: len(self.places))
        watch("queue_length", "Requests that wait for the network.", lambda: self.worker.waiting)

    def close(self) -> None:
        """Stop the threads; decoders are not waited for."""
        self.pictures.close()
        self.worker.close()
        self.decoders.shutdown(cancel_futures=True)
        self.clerks.shutdown(cancel_futures=True)

    def info(self, people: People, skeleton: Skeleton, **facts: Any) -> dict[str, Any]:
        """The head of a result: what it is made by, with these facts of a `Method`."""
        method = replace(self._methods[people], skeleton=skeleton.name, **facts)
        return result_info(method, f"spcnet {__version__}, model {self.about.model.description}")

    async def answer(self, request: Request) -> dict[str, Any]:
        """The result that answers one request; a `RequestError` says why there is none.

        `ClientDisconnect` says that nobody waits for it any more.
        """
        async with self.places.take() as place:
            # No name holds the body here: it goes as soon as its picture is out of it.
            work = self._find(*await read_body(request, self.limits, place.heard))
            place.heard(whole=True)
            return await unless_hung_up(request, work)

    async def _find(self, content: bytes, kind: str) -> dict[str, Any]:
        read = submit(self.clerks, self._read, content, kind)
        del content
        asked, pixels = await asyncio.wrap_future(read)
        async with self.pixels.lend(pixels) as loan:
            job = await loan.begin(submit(self.decoders, self._decode, asked))
            poses = await loan.begin(self.worker.submit(job))
            return await loan.begin(submit(self.clerks, self._answer, asked, job, poses))

    def _read(self, content: bytes, kind: str) -> tuple[Form | Question, int]:
        """What is asked, and how many pixels the picture has by its header."""
        asked = parse(content, kind, self.limits)
        model = self.about.model
        if asked.attention and not model.levels:
            text = f"model {model.name} has no attention to answer"
            raise RequestError(422, "no_attention", text)
        with refused("bad_request"):
            check_people(asked.people, asked.boxes)
        with refused("no_such_skeleton"):
            self.view(asked.skeleton)
        return asked, self.pictures.count_pixels(asked.image)

    def _decode(self, asked: Form | Question) -> Job:
        picture = self.pictures.decode(asked.image)
        with refused("bad_boxes"):
            boxes = None if asked.boxes is None else check_boxes(asked.boxes, picture.shape)
        maps = asked.heatmaps or asked.attention
        return Job(picture=picture, boxes=boxes, people=asked.people, maps=maps)

    def _answer(self, asked: Form | Question, job: Job, poses: "list[Pose]") -> dict[str, Any]:
        skeleton = self.view(asked.skeleton)
        given = asked.boxes is not None and {"persons": PersonSource.of_boxes(asked.boxes)}
        info = self.info(asked.people, skeleton, **(given or {}))
        found = [pose.seen_as(skeleton) for pose in poses]
        picture = (asked.file_name, (job.picture.shape[0], job.picture.shape[1]), found)
        result = coco_document([picture], skeleton, info)
        people = zip(result["annotations"], found, strict=True)
        for person, pose in islice(people, MAPS_PERSONS):
            if pose.maps is not None and asked.heatmaps:
                person["heatmaps"] = _encoded(pose.maps.heatmaps, pose.maps.region)
            if pose.maps is not None and pose.maps.attention is not None and asked.attention:
                person["attention"] = _encoded(pose.maps.attention, pose.maps.region)
        return result


def submit(threads: ThreadPoolExecutor, function: Callable[..., T], *arguments: Any) -> Future[T]:
    """Have a thread call a function; who cancels that before its turn frees the arguments."""
    held = list(arguments)
    work = threads.submit(lambda: function(*held))
    work.add_done_callback(lambda _: held.clear())
    return work


async def unless_hung_up(request: Request, work: Awaitable[T]) -> T:
    """What some work gives, unless the client hangs up first: then the work is dropped."""

    async def gone() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    task, watch = asyncio.ensure_future(work), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({task, watch}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        task.cancel()
        watch.cancel()


@contextmanager
def refused(code: str) -> Iterator[None]:
    """What the user can mend, as a refusal."""
    try:
        yield
    except UserError as error:
        raise RequestError(422, code, str(error)) from None


def _encoded(maps: Array, region: Array) -> dict[str, Any]:
    """Maps (N, h, w), cut off to 0..1, of a region (4,) of the picture, below each other."""
    count, height, width = maps.shape
    grey = np.rint(255 * maps.clip(0, 1)).astype(np.uint8).reshape(count * height, width)
    png = base64.b64encode(picture_bytes(Image.fromarray(grey), "PNG")).decode()
    sizes = {"count": count, "width": width, "height": height}
    corners = [round(side, 2) for side in region.tolist()]
    return {"png": f"data:image/png;base64,{png}", **sizes, "region": corners}


def _about(estimator: "PoseEstimator", limits: Limits) -> schema.Service:
    """What the service is; also the network's first run, which is slower than the others."""
    blank: Array = np.zeros((64, 64, 3), dtype=np.uint8)
    estimator.predict(blank)
    estimator.predict(blank, [[0, 0, 63, 63]])
    levels = 0
    with suppress(UserError):
        levels = len(estimator.attention(blank, [0, 0, 63, 63]))
    name, text = estimator.path.stem, estimator.describe()
    most = schema.LimitsAnswer(
        megabytes=limits.picture_bytes / 1e6,
        megapixels=limits.pixels / 1e6,
        boxes=limits.boxes,
        maps=MAPS_PERSONS,
        video_seconds=VIDEO_SECONDS if find_spec("av") else 0.0,
        video_frames=VIDEO_FRAMES,
        seconds=limits.timeout,
    )
    model = schema.ModelAnswer(name=name, description=text, version=__version__, levels=levels)
    return schema.Service(model=model, skeleton=_described(estimator.skeleton), limits=most)


def _described(skeleton: Skeleton) -> schema.SkeletonAnswer:
    return schema.SkeletonAnswer(
        name=skeleton.name,
        joints=list(skeleton.joints),
        sides=[skeleton.side(joint) for joint in range(len(skeleton))],
        limbs=list(skeleton.limb_indices),
    )

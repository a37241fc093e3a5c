"""Videos: people followed frame by frame, between the pictures of others, and answered by lines.

Each line is a JSON object: of the ``video``, then of every ``frame``, at last of the ``result`` or
an ``error``.
"""

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from io import StringIO
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from numpy.typing import ArrayLike
from PIL import Image
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from spcnet.files import picture_bytes
from spcnet.geometry import Array
from spcnet.inference.documents import CocoCollection
from spcnet.inference.people import People, check_boxes
from spcnet.inference.video import STEADIED, FramePoses, follow, steadied
from spcnet.serve.budget import Budget
from spcnet.serve.errors import RequestError
from spcnet.serve.limits import VIDEO_FRAMES, VIDEO_PATIENCE, VIDEO_SECONDS, VIDEOS, VIDEOS_TAKEN
from spcnet.serve.places import try_later
from spcnet.serve.schema import VideoForm
from spcnet.serve.service import PoseService, refused, submit, unless_hung_up
from spcnet.serve.uploads import parse_video, read_body
from spcnet.serve.worker import Job

if TYPE_CHECKING:
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.inference.pose import Pose
    from spcnet.skeletons import Skeleton

SHOWN, QUALITY = 720, 80  # of frames that are sent back: pixels of the longer side, of JPEG
PIECE = 65_536  # bytes that are sent when the client took those before
Write: TypeAlias = Callable[[bytes], Awaitable[None]]


class Videos:
    """The videos of a service, each of which asks the network as a `PoseEstimator` is asked."""

    def __init__(self, service: PoseService) -> None:
        self.service = service
        self.taken = 0
        self._turns = Budget(VIDEOS)
        self._threads = ThreadPoolExecutor(VIDEOS, thread_name_prefix="spcnet-video")

    def close(self) -> None:
        """Stop the threads, when the worker and the decoders were."""
        self._threads.shutdown(cancel_futures=True)

    async def answer(self, request: Request, write: Write) -> int:
        """Write the lines that answer one request; gives how many persons all frames have.

        A `RequestError` says why not, or why no further, a `ClientDisconnect` that nobody waits.
        """
        if self.taken >= VIDEOS_TAKEN:
            raise try_later(503, "busy", f"{self.taken} videos are already waiting")
        self.taken += 1
        try:
            async with self.service.places.take(times=VIDEO_PATIENCE) as place:
                body = read_body(request, self.service.limits, place.heard, "video")
                work = self._follow(*await body, write)
                place.heard(whole=True)
                return await unless_hung_up(request, work)
        finally:
            self.taken -= 1

    def predict(
        self, image: Array, boxes: ArrayLike | None = None, *, people: People = "one"
    ) -> "list[Pose]":
        """The poses in a frame, in the worker's next batch; in a thread, which waits for them."""
        given = None if boxes is None else check_boxes(boxes, image.shape)
        return self.service.worker.submit(Job(picture=image, boxes=given, people=people)).result()

    def view(self, skeleton: "str | Skeleton | None") -> "Skeleton":
        """As of the service's estimator."""
        return self.service.view(skeleton)

    async def _follow(self, content: bytes, kind: str, write: Write) -> int:
        read = submit(self.service.clerks, parse_video, content, kind, self.service.limits)
        del content
        asked = await asyncio.wrap_future(read)
        with refused("no_such_skeleton"):
            self.view(asked.skeleton)
        found: list[FramePoses] = []
        async with self._turns.lend(1) as loan:
            steps = self._steps(asked, found)
            try:
                while line := await loan.begin(submit(self._threads, next, steps, None)):
                    await write(line)
            finally:
                if loan.work is not None:  # a thread may be at it still
                    loan.work.add_done_callback(lambda _: steps.close())
        return sum(pose is not None for frame in found for pose in frame.persons)

    def _steps(self, asked: VideoForm, found: list[FramePoses]) -> Generator[bytes, None, None]:
        """The lines, each when it is known; what is found in frames is kept."""
        view, fault = self.view(asked.skeleton), ""
        with closing(self.service.pictures.video(asked.video)) as opened:
            head, _ = next(opened)
            height, width = head["size"]
            count = head["frames"]
            _check_length((count or 0) / head["rate"], count or 0)
            yield _line(video={"width": width, "height": height, "frames": count})

            def frames() -> Iterator[tuple[float, Array]]:
                nonlocal fault
                for answer, picture in opened:
                    if "fault" in answer:
                        fault = answer["fault"]
                        return
                    yield answer["time"], picture

            network = cast("PoseEstimator", self)  # as far as following asks it
            for frame in follow(network, frames(), people=asked.people, skeleton=view):
                _check_length(frame.time, frame.index + 1)
                found.append(frame.without_picture())
                shown = {"picture": _jpeg(frame.image)} if asked.pictures else {}
                yield _line(frame={"frame_id": frame.index, "time": frame.time, **shown})
        info = self.service.info(asked.people, view, smoothing=STEADIED)
        video = {"id": 1, "name": asked.file_name, "width": width, "height": height}
        result = CocoCollection({"info": info, "videos": [video]}, view)
        for frame in steadied(found, view):
            result.add(frame.to_coco(asked.file_name, (height, width)))
        text = StringIO()
        result.save(text)
        more = f'"fault": {json.dumps(fault)}, ' if fault else ""
        yield f'{{{more}"result": {text.getvalue()}}}'.replace("\n", "").encode() + b"\n"


class VideoResponse(Response):
    """Answers while it reads the request: within one task, as places want it."""

    def __init__(self, videos: Videos, counted: Callable[..., Awaitable[Response]]) -> None:
        super().__init__()
        self.videos, self.counted = videos, counted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the lines, or a refusal, which is a line where some were sent."""
        request, begun = Request(scope, receive), False

        async def write(line: bytes) -> None:
            nonlocal begun
            if not begun:
                begun = True
                headers = [(b"content-type", b"application/x-ndjson")]
                await send({"type": "http.response.start", "status": 200, "headers": headers})
            for at in range(0, len(line), PIECE):
                piece = {"body": line[at : at + PIECE], "more_body": True}
                await send({"type": "http.response.body", **piece})

        async def answer() -> tuple[Response, int]:
            return Response(), await self.videos.answer(request, write)

        refusal = await self.counted(self.videos.service, answer())
        if not begun:
            await refusal(scope, receive, send)
            return
        if refusal.body:
            await write(bytes(refusal.body) + b"\n")
        await send({"type": "http.response.body", "body": b""})


def _line(**values: Any) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _jpeg(picture: Array) -> str:
    """A small JPEG of a picture, as a data URI."""
    image = Image.fromarray(picture)
    image.thumbnail((SHOWN, SHOWN))
    content = base64.b64encode(picture_bytes(image, "JPEG", quality=QUALITY)).decode()
    return f"data:image/jpeg;base64,{content}"


def _check_length(seconds: float, frames: int) -> None:
    if seconds > VIDEO_SECONDS or frames > VIDEO_FRAMES:
        text = f"the video lasts more than {VIDEO_SECONDS:g} seconds or {VIDEO_FRAMES} frames"
        if frames > 1:
            text += f": {seconds:.0f} and {frames}"
        raise RequestError(413, "too_long", f"{text}; cut it, or use `spcnet video`")

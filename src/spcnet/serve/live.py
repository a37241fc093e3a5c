"""A page that shows pictures as they come (Motion JPEG), always the newest."""

import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import cv2
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from spcnet.geometry import Array
from spcnet.media.camera import Latest
from spcnet.serve.limits import LOOPBACK
from spcnet.serve.pages import add_pages
from spcnet.serve.server import running

BOUNDARY = "picture"
JPEG_QUALITY = 85
PAGES = {"/": "live.html", "/style.css": "style.css", "/icon.svg": "icon.svg"}


@contextmanager
def live_page(opened: socket.socket) -> Iterator[Callable[[Array], None]]:
    """Serve the page on a socket while the block runs; gives what shows an RGB uint8 picture."""
    pictures: Latest[bytes] = Latest()

    def show(picture: Array) -> None:
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        pictures.put(data.tobytes())

    def stream(_: Request) -> Response:
        kind = f"multipart/x-mixed-replace; boundary={BOUNDARY}"
        return StreamingResponse(_parts(pictures), media_type=kind)

    app = Starlette()
    app.add_route("/stream", stream)
    add_pages(app, PAGES, names=LOOPBACK)
    with running(app, opened):
        try:
            yield show
        finally:
            pictures.close()


async def _parts(pictures: Latest[bytes]) -> AsyncIterator[bytes]:
    number = 0
    yield f"--{BOUNDARY}\r\n".encode()
    while not pictures.closed:
        found = await run_in_threadpool(pictures.after, number)
        if found is not None:
            number, data = found
            head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
            # A browser shows a picture when it sees where the next one begins.
            yield head.encode() + data + f"\r\n--{BOUNDARY}\r\n".encode()

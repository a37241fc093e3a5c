"""A page on this machine alone that shows pictures as they come (Motion JPEG)."""

import sys
import threading
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import TYPE_CHECKING, Self

from spcnet.errors import UserError
from spcnet.media.camera import PATIENCE, Latest
from spcnet.serve.hosts import LOOPBACK, host_name

if TYPE_CHECKING:
    from spcnet.geometry import Array

HOST = "127.0.0.1"
BOUNDARY = "picture"
JPEG_QUALITY = 85
PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>spcnet webcam</title>
<style>
body { margin: 0; background: #111; color: #bbb; font: 15px sans-serif; text-align: center }
img { max-width: 100vw; max-height: 94vh }
</style>
<img src="/stream" alt="The camera's picture with the skeleton">
<p>Left is orange, right is blue. Ctrl-C in the terminal ends it.</p>
</html>
"""


class LivePage:
    """Serves a page with the newest picture while the context lasts.

    Args:
        port: where; 0 takes a free one.

    Attributes:
        address: of the page.

    Raises:
        UserError: the port is taken or not permitted.
    """

    def __init__(self, port: int) -> None:
        self._pictures: Latest[bytes] = Latest()
        try:
            self._server = _Server(port, self._pictures)
        except OSError as error:
            raise UserError(
                f"port {port} cannot be used ({error.strerror}); --port names another, "
                "and 0 takes a free one"
            ) from None
        self.address = f"http://{HOST}:{self._server.server_port}/"

    def show(self, picture: "Array") -> None:
        """Show an RGB uint8 picture (H, W, 3) from now on."""
        import cv2

        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
        self._pictures.put(data.tobytes())

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(PATIENCE,), daemon=True).start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._pictures.close()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    allow_reuse_port = False

    def __init__(self, port: int, pictures: Latest[bytes]) -> None:
        self.pictures = pictures
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Keep silent where a browser went away."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Answer a browser on this machine, and nobody who came by another name."""
        # A page from elsewhere could give its own name this address and read the camera.
        if host_name(self.headers.get("Host", "")) not in LOOPBACK:
            self.send_error(HTTPStatus.FORBIDDEN)
        elif self.path == "/":
            self._head("text/html; charset=utf-8")
            self.wfile.write(PAGE.encode())
        elif self.path == "/stream":
            self._head(f"multipart/x-mixed-replace; boundary={BOUNDARY}")
            self._stream()
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    def _head(self, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", "no-store")
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header(
            "Content-Security-Policy",
            "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'",
        )
        self.end_headers()

    def _stream(self) -> None:
        number = 0
        try:
            self.wfile.write(f"--{BOUNDARY}\r\n".encode())
            while not self.server.pictures.closed:
                found = self.server.pictures.after(number, patience=PATIENCE)
                if found is None:
                    continue
                number, data = found
                head = f"Content-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                # A browser shows a picture when it sees where the next one begins.
                self.wfile.write(head.encode() + data + f"\r\n--{BOUNDARY}\r\n".encode())
        except ConnectionError:
            return  # the page was closed

    def log_message(self, format: str, *args: object) -> None:
        """Keep silent: the terminal is for what the command says."""

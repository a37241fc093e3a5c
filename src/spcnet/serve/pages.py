"""What pages of this machine share: their files, their headers, and the names they answer to."""

from collections.abc import Collection, Mapping
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path

from starlette.applications import Starlette
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spcnet.serve.errors import ErrorResponse, RequestError
from spcnet.serve.limits import host_name

HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def add_pages(
    app: Starlette,
    pages: Mapping[str, str],
    *,
    names: Collection[str] | None,
    root_path: str = "",
) -> None:
    """Give an application pages (file by path), `HEADERS`, and refusals of the one form.

    `names` are those by which alone it may be asked, such as `LOOPBACK`; then a page from elsewhere
    may not ask it either. None is any. `root_path` is where a proxy shows it, such as ``/pose``,
    whether it cuts that off or passes it on.
    """
    folder = Path(str(files("spcnet.serve") / "page"))
    for path, name in pages.items():

        def page(_: Request, file: Path = folder / name) -> Response:
            return FileResponse(file)

        app.add_route(path, page, include_in_schema=False)
    app.add_middleware(_Guard, names=names, root_path=f"/{root_path.strip('/')}".rstrip("/"))
    app.add_exception_handler(HTTPException, _answer_http_error)


def _answer_http_error(_: Request, error: Exception) -> Response:
    """What the framework refuses, such as an unknown path."""
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).name.lower()
    return ErrorResponse(RequestError(error.status_code, code, error.detail, error.headers or {}))


class _Guard:
    """Refuses who asks by another name, adds `HEADERS`, and answers HEAD as GET without a body."""

    def __init__(self, app: ASGIApp, *, names: Collection[str] | None, root_path: str) -> None:
        self.app, self.names, self.root_path = app, names, root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        bare = scope["method"] == "HEAD"
        scope = {**scope, "root_path": self.root_path, "method": "GET" if bare else scope["method"]}

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            elif bare:
                message = {**message, "body": b""}
            await send(message)

        answer = self._refusal(Headers(scope=scope)) or self.app
        await answer(scope, receive, send_more)

    def _refusal(self, headers: Headers) -> ErrorResponse | None:
        """A page from elsewhere could give its name this address, or send a form here."""
        host = headers.get("host", "")
        origin = headers.get("origin", f"http://{host}")
        own = origin.partition("://")[2] == host
        if self.names is None or (own and host_name(host) in self.names):
            return None
        text = f"asked as {host[:80]!r} by a page of {origin[:80]!r}"
        text = f"{text}; it answers to {', '.join(self.names)}"
        return ErrorResponse(RequestError(403, "forbidden", text, unread=True))

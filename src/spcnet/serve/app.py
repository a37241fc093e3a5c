"""The ASGI application: its routes, its headers, its description of itself."""

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from http import HTTPStatus
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from fastapi import FastAPI, Request
from fastapi.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from spcnet import __version__
from spcnet.serve.errors import ErrorResponse, RequestError
from spcnet.serve.hosts import host_name
from spcnet.serve.limits import Limits
from spcnet.serve.schema import Answer, Error, Question, Service
from spcnet.serve.service import PoseService
from spcnet.serve.uploads import JSON, MULTIPART, Body

if TYPE_CHECKING:
    from spcnet.inference.estimator import PoseEstimator

logger = logging.getLogger(__name__)

HUNG_UP = 499  # what proxies log for a client that did not wait

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

PAGES = {
    "/": "index.html",
    "/docs": "docs.html",
    **{f"/{name}": name for name in ("style.css", "page.js", "drawing.js", "icon.svg")},
}

ERRORS = {
    408: "The upload took too long.",
    413: "The picture's file is too large, or it has too many pixels.",
    415: "Not a picture, or another content type.",
    422: "Faulty JSON, base64, form or boxes, too many boxes, or a broken picture.",
    503: "Too many requests wait; Retry-After says when to try again.",
    504: "No answer in time.",
}

QUESTION: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            MULTIPART: {
                "schema": {
                    "type": "object",
                    "required": ["image"],
                    "properties": {
                        **Question.model_json_schema()["properties"],
                        "image": {
                            "type": "string",
                            "format": "binary",
                            "description": "The picture's file: JPEG, PNG, WebP, TIFF, BMP or GIF.",
                        },
                    },
                },
                "encoding": {"boxes": {"contentType": JSON}},
            },
            JSON: {
                "schema": Question.model_json_schema(),
                "example": {
                    "image": "/9j/4AAQSkZJRgABAQAAAQABAAD...",
                    "boxes": [[180, 90, 470, 830]],
                    "heatmaps": False,
                    "attention": False,
                },
            },
        },
    }
}


def create_app(
    estimator: "PoseEstimator",
    limits: Limits | None = None,
    *,
    names: Collection[str] | None = None,
) -> FastAPI:
    """The service of one estimator as an ASGI application.

    Args:
        estimator: finds the poses; its `batch_size` should be that of the limits.
        limits: what requests may take.
        names: by which alone it may be asked, such as `spcnet.serve.hosts.LOOPBACK`; then a page
            from elsewhere may not ask it either. None is any.
    """
    service = PoseService(estimator, limits or Limits())

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    # FastAPI's own pages of documentation load scripts from elsewhere.
    app = FastAPI(
        title="SPCNet",
        summary="Single-person human pose estimation: pictures in, poses out.",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
        license_info={"name": "MIT", "identifier": "MIT"},
    )
    app.state.service = service
    if names is not None:
        app.add_middleware(_ByName, names=names)
    app.add_middleware(_WithHeaders)  # the outermost: refusals have the headers too
    app.add_exception_handler(HTTPException, _answer_http_error)

    @app.post(
        "/v1/poses",
        summary="The poses in one picture",
        openapi_extra=QUESTION,
        response_model=Answer,
        responses={
            status: {"model": Error, "description": text} for status, text in ERRORS.items()
        },
    )
    async def poses(request: Request) -> Response:
        """Find people's joints.

        The picture is sent as a file in a form, or in base64 within JSON. Coordinates are pixels
        of the upright picture: an orientation that its EXIF data tells is honoured. Nothing of it
        is kept.
        """
        began = time.perf_counter()
        body = Body(request)
        status, persons = 500, 0
        try:
            answer = await service.answer(request, body)
            status, persons = 200, len(answer.poses)
            return Response(answer.model_dump_json(exclude_none=True), media_type=JSON)
        except RequestError as refusal:
            status = refusal.status
            return ErrorResponse(refusal, unread=not body.whole)
        except ClientDisconnect:
            status = HUNG_UP
            return Response(status_code=400)  # nobody is there to read it
        except Exception:
            logger.exception("a request for poses failed")
            return ErrorResponse(
                RequestError(500, "internal", "the service failed; its log says why")
            )
        finally:
            service.metrics.count_request(status, time.perf_counter() - began, persons)

    @app.get("/v1/service", summary="The model, its joints, and the limits")
    async def about() -> Service:
        """What answers here, and what a request may take."""
        return service.about

    @app.get(
        "/healthz",
        summary="Whether requests are answered",
        response_class=JSONResponse,
        responses={503: {"model": Error, "description": "The network's thread has ended."}},
    )
    async def healthz() -> Response:
        """For load balancers and containers."""
        if not service.worker.alive:
            return ErrorResponse(RequestError(503, "stopped", "the service is stopping"))
        return JSONResponse({"status": "ok"})

    @app.get(
        "/metrics",
        summary="Counts and times in Prometheus' text form",
        response_class=PlainTextResponse,
    )
    async def metrics() -> Response:
        """Requests by status, their seconds, persons, batches, and the queue."""
        return Response(
            service.metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8"
        )

    page = Path(str(files("spcnet.serve") / "page"))
    for path, name in PAGES.items():
        app.add_route(path, _file(page / name), include_in_schema=False)
    return app


def _file(path: Path) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_: Request) -> Response:
        return FileResponse(path)

    return answer


def _answer_http_error(_: Request, error: Exception) -> Response:
    """What the framework refuses, such as an unknown path, in the form of all refusals."""
    assert isinstance(error, HTTPException)
    code = HTTPStatus(error.status_code).name.lower()
    headers = dict(error.headers or {})
    return ErrorResponse(RequestError(error.status_code, code, str(error.detail), headers))


class _ByName:
    """Answers requests by the service's own names, from its own pages.

    A page from elsewhere could give its name this address, or send a form here.
    """

    def __init__(self, app: ASGIApp, *, names: Collection[str]) -> None:
        self.app, self.names = app, names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            headers = Headers(scope=scope)
            host = headers.get("host", "")
            origin = headers.get("origin", f"http://{host}")
            if host_name(host) not in self.names or urlsplit(origin).netloc != host:
                text = f"asked as {host[:80]!r} by a page of {origin[:80]!r}; it answers to "
                refusal = RequestError(403, "forbidden", text + ", ".join(self.names))
                await ErrorResponse(refusal, unread=True)(scope, receive, send)
                return
        await self.app(scope, receive, send)


class _WithHeaders:
    """Adds the headers that keep a page to itself to every answer; HEAD is GET without a body."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        bare = scope["method"] == "HEAD"
        if bare:
            scope = {**scope, "method": "GET"}

        async def send_more(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            elif bare:
                message = {**message, "body": b""}
            await send(message)

        await self.app(scope, receive, send_more)

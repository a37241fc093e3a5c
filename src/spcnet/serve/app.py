"""The service as an ASGI application: its routes and its description of itself."""

import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Collection
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.requests import ClientDisconnect

from spcnet import __version__
from spcnet.inference.documents import result_schema
from spcnet.serve.errors import ErrorResponse, RequestError
from spcnet.serve.limits import Limits
from spcnet.serve.pages import add_pages
from spcnet.serve.schema import Error, Service
from spcnet.serve.service import PoseService
from spcnet.serve.uploads import ENCODINGS, JSON, File
from spcnet.serve.videos import VideoResponse, Videos

if TYPE_CHECKING:
    from spcnet.inference.estimator import PoseEstimator

logger = logging.getLogger(__name__)

HUNG_UP = 499  # what proxies log for a client that did not wait

SCRIPTS = ("page.js", "drawing.js", "engine-service.js", "tables.js", "words.js")
PAGES = {f"/{name}": name for name in (*SCRIPTS, "style.css", "icon.svg")}
PAGES |= {"/": "index.html", "/docs": "docs.html"}
ERRORS = {
    408: "The upload took too long, or longer than others could wait for its place.",
    413: "The file is too large, or has too many pixels; or the video is too long.",
    415: "Not a picture or video, or another content type.",
    422: "Faulty JSON, base64, form or boxes, too many boxes, or a broken or costly file.",
    503: "Too many requests wait, or it is stopping; Retry-After says when to try again.",
    504: "No answer in time.",
}
RESULT = {"content": {JSON: {"schema": result_schema()}}, "description": "A result."}
LINES = {"content": {"application/x-ndjson": {}}, "description": "A line of JSON each."}
REFUSALS: dict[int | str, dict[str, Any]] = {
    status: {"model": Error, "description": text} for status, text in ERRORS.items()
}


def question(file: File) -> dict[str, Any]:
    """How OpenAPI describes what is sent."""
    forms = {kind: {"schema": form.model_json_schema()} for kind, form in ENCODINGS[file].items()}
    return {"requestBody": {"required": True, "content": forms}}


def create_app(
    estimator: "PoseEstimator",
    limits: Limits | None = None,
    *,
    names: Collection[str] | None = None,
    root_path: str = "",
) -> FastAPI:
    """The service of one estimator, whose `batch_size` should be that of the limits.

    `names` and `root_path` are those of `spcnet.serve.pages.add_pages`.
    """
    service = PoseService(estimator, limits or Limits())
    videos = Videos(service)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.pictures.warm()
        yield
        service.close()
        videos.close()

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
    add_pages(app, PAGES, names=names, root_path=root_path)

    @app.post(
        "/v1/poses",
        summary="The poses in one picture",
        openapi_extra=question("image"),
        response_model=None,
        responses={200: RESULT, **REFUSALS},
    )
    async def poses(request: Request) -> Response:
        """Find people's joints: a result as files of spcnet hold it.

        The picture is sent as a file in a form, or in base64 within JSON. Coordinates are pixels
        of the upright picture: an orientation that its EXIF data gives is honoured. Nothing of it
        is kept.
        """
        return await _counted(service, _answer(service, request))

    _add_videos(app, videos)

    @app.get("/v1/service", summary="The model, its joints, and the limits")
    async def about() -> Service:
        """What answers here, and what a request may take."""
        return service.about

    @app.get(
        "/healthz",
        summary="Whether requests are answered",
        responses={503: {"model": Error, "description": "They are not, or not in time."}},
    )
    async def healthz() -> JSONResponse:
        """For load balancers and containers; how many places for requests are taken."""
        places = service.places
        trouble = places.trouble if service.worker.alive else "the service is stopping"
        if trouble is not None:
            return ErrorResponse(RequestError(503, "unavailable", trouble))
        return JSONResponse({"status": "ok", "taken": len(places), "places": places.count})

    @app.get(
        "/metrics", summary="Counts and times for Prometheus", response_class=PlainTextResponse
    )
    async def metrics() -> Response:
        """Requests by status, their seconds, persons, batches, and the queue."""
        return PlainTextResponse(service.metrics.text(), media_type="text/plain; version=0.0.4")

    return app


def _add_videos(app: FastAPI, videos: Videos) -> None:
    @app.post(
        "/v1/video",
        summary="The poses in a short video",
        openapi_extra=question("video"),
        response_model=None,
        responses={200: LINES, **REFUSALS},
    )
    async def video() -> Response:
        """Follow people through a video: lines tell how far, and the last one is the result.

        The lines are objects of one of `video` (width, height, and frames if they are known),
        `frame` (frame_id, time, and picture where pictures are asked for), `result` (and fault,
        where a damaged file was followed as far as it goes), and `error`, as of other refusals.
        Who hangs up ends it.
        """
        return VideoResponse(videos, _counted)


async def _answer(service: PoseService, request: Request) -> tuple[Response, int]:
    result = await service.answer(request)
    return Response(json.dumps(result), media_type=JSON), len(result["annotations"])


async def _counted(service: PoseService, answer: Awaitable[tuple[Response, int]]) -> Response:
    """The answer, with how many persons are in it, or the refusal; counted."""
    began = time.perf_counter()
    status, persons = 500, 0
    try:
        response, persons = await answer
        status = 200
        return response
    except RequestError as refusal:
        status = refusal.status
        return ErrorResponse(refusal)
    except ClientDisconnect:
        status = HUNG_UP
        return Response(status_code=400)  # nobody is there to read it
    except Exception:
        logger.exception("a request for poses failed")
        return ErrorResponse(RequestError(500, "internal", "the service failed; its log says why"))
    finally:
        service.metrics.count_request(status, time.perf_counter() - began, persons)

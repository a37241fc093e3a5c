"""The service as an ASGI application: its routes and its description of itself."""

import json
import logging
import time
from collections.abc import AsyncIterator, Collection
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
from spcnet.serve.uploads import ENCODINGS, JSON

if TYPE_CHECKING:
    from spcnet.inference.estimator import PoseEstimator

logger = logging.getLogger(__name__)

HUNG_UP = 499  # what proxies log for a client that did not wait

PAGES = {f"/{name}": name for name in ("style.css", "page.js", "drawing.js", "icon.svg")}
PAGES |= {"/": "index.html", "/docs": "docs.html"}
ERRORS = {
    408: "The upload took too long, or longer than others could wait for its place.",
    413: "The picture's file is too large, or it has too many pixels.",
    415: "Not a picture, or another content type.",
    422: "Faulty JSON, base64, form or boxes, too many boxes, or a broken or costly picture.",
    503: "Too many requests wait, or it is stopping; Retry-After says when to try again.",
    504: "No answer in time.",
}
FORMS = {kind: {"schema": form.model_json_schema()} for kind, form in ENCODINGS.items()}
QUESTION: dict[str, Any] = {"requestBody": {"required": True, "content": FORMS}}


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

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.pictures.warm()
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
    add_pages(app, PAGES, names=names, root_path=root_path)

    @app.post(
        "/v1/poses",
        summary="The poses in one picture",
        openapi_extra=QUESTION,
        response_model=None,
        responses={
            200: {"content": {JSON: {"schema": result_schema()}}, "description": "A result."},
            **{status: {"model": Error, "description": text} for status, text in ERRORS.items()},
        },
    )
    async def poses(request: Request) -> Response:
        """Find people's joints: a result as files of spcnet hold it.

        The picture is sent as a file in a form, or in base64 within JSON. Coordinates are pixels
        of the upright picture: an orientation that its EXIF data gives is honoured. Nothing of it
        is kept.
        """
        return await _answer(service, request)

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


async def _answer(service: PoseService, request: Request) -> Response:
    """The poses, or the refusal; counted."""
    began = time.perf_counter()
    status, persons = 500, 0
    try:
        answer = await service.answer(request)
        status, persons = 200, len(answer["annotations"])
        return Response(json.dumps(answer), media_type=JSON)
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

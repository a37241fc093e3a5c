"""``spcnet serve``: poses over HTTP, and a page to try it by hand."""

import os
from contextlib import suppress
from typing import Annotated

from typer import Option

from spcnet.cli.console import say
from spcnet.cli.estimator_options import BY_DEFAULT, EstimatorOptions, with_estimator
from spcnet.errors import needs_extra
from spcnet.media.limits import MAX_PIXELS
from spcnet.serve.limits import LOOPBACK, Limits, is_loopback

DEFAULTS = Limits()

HOST = Option(help="Address to listen on; 0.0.0.0 is every one of this machine.")
PORT = Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")
NAME = Option(
    help="A further name it may be asked by on this machine, such as a proxy's; may be repeated."
)
ROOT_PATH = Option(help="Path under which a proxy shows it, such as /pose.")
MAX_MEGABYTES = Option(min=0.001, max=1000, help="Largest file of a picture or a video.")
MAX_MEGAPIXELS = Option(min=0.001, max=MAX_PIXELS / 1e6, help="Largest picture, by its header.")
QUEUE = Option(min=1, help="Most requests at once; further ones get 503.")
TIMEOUT = Option(min=0.1, help="Seconds a request may take in all; then 504.")
BATCH = Option(min=1, help="Most persons that go through the network at once.")


@with_estimator
def serve(
    host: Annotated[str, HOST] = "127.0.0.1",
    port: Annotated[int, PORT] = 8000,
    name: Annotated[list[str] | None, NAME] = None,
    root_path: Annotated[str, ROOT_PATH] = "",
    options: EstimatorOptions = BY_DEFAULT,
    max_megabytes: Annotated[float, MAX_MEGABYTES] = DEFAULTS.picture_bytes / 1e6,
    max_megapixels: Annotated[float, MAX_MEGAPIXELS] = DEFAULTS.pixels / 1e6,
    max_boxes: Annotated[int, Option(min=1, help="Most persons in a request.")] = DEFAULTS.boxes,
    queue: Annotated[int, QUEUE] = DEFAULTS.queue,
    timeout: Annotated[float, TIMEOUT] = DEFAULTS.timeout,
    batch: Annotated[int, BATCH] = DEFAULTS.batch,
) -> None:
    """Answer poses over HTTP, and serve a page for photos, short videos and the camera.

    The API is described at /docs and /openapi.json, its counts are at /metrics. There are no
    accounts: beyond this machine, put a proxy in front. The page is at the address that it prints.

    Example: spcnet serve --port 8000
    """
    with needs_extra("serve", "the service"):
        from spcnet.serve.app import create_app
        from spcnet.serve.server import listen, run, url

    opened = listen(host, port)
    estimator = options.open(batch_size=batch)
    say(f"model {estimator.describe()}")
    size, area = round(max_megabytes * 1e6), round(max_megapixels * 1e6)
    limits = Limits(
        picture_bytes=size, pixels=area, boxes=max_boxes, queue=queue, timeout=timeout, batch=batch
    )
    local = is_loopback(opened.getsockname()[0])  # whatever name it was asked for by
    names = dict.fromkeys(each.lower() for each in (*LOOPBACK, host, *(name or [])))
    app = create_app(estimator, limits, names=names if local else None, root_path=root_path)
    if not local:
        say(f"{host} is open to other machines, and there are no accounts")
    print(f"listening on {url(opened)} (Ctrl-C stops)", flush=True)
    with suppress(KeyboardInterrupt):
        run(app, opened, stopping=app.state.service.places.stop)
    say("stopped")
    if not app.state.service.worker.ended:  # a batch that nobody waits for cannot be given up on
        os._exit(0)

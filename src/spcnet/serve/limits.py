"""Who may ask a service, and what one request, and all of them together, may take."""

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")  # names of this machine

MAPS_PERSONS = 16  # persons a request may ask heatmaps or attention of: each takes its own look
BODY_SLACK = 1_000_000  # bytes beside the picture: boxes, the form's headers
TEXT_OF_BOX = 400  # bytes that the text of one box may take
FEW = 1000  # strings of a JSON body: of a question's there are some ten
VIDEO_SECONDS, VIDEO_FRAMES = 20.0, 600  # of a video, at most
VIDEO_PIXELS = 9_000_000  # of its pictures: 4096 x 2160 have fewer
VIDEO_PATIENCE = 10  # times as long as a picture a video may take
VIDEOS, VIDEOS_TAKEN = 2, 8  # followed at once, and taken in: the other places are for pictures
BUDGET_PICTURES = 4  # pictures of the largest size that are held decoded at once


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The bounds of a service."""

    picture_bytes: int = 20_000_000  # of a picture's file
    pixels: int = 50_000_000  # of a picture, by its header
    boxes: int = 100  # persons in one request
    queue: int = 64  # requests that are taken in at once; further ones are sent away
    timeout: float = 30.0  # seconds from a request's first byte to its answer
    batch: int = 16  # persons that go through the network at once

    def body_bytes(self, *, base64: bool) -> int:
        """The largest body of a request: the picture, its encoding and what goes with it."""
        picture = -(-self.picture_bytes // 3) * 4 if base64 else self.picture_bytes
        return picture + BODY_SLACK


def host_name(host: str) -> str | None:
    """The name in a Host header, in lower case and without its port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def is_loopback(address: str) -> bool:
    """Whether what listens at an address of a socket is for this machine alone."""
    return ipaddress.ip_address(address).is_loopback

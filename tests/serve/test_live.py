"""The page that shows pictures as they come."""

import socket
import struct
from collections.abc import Iterator
from http.client import HTTPConnection

import numpy as np
import pytest

from spcnet.serve.live import live_page
from spcnet.serve.server import listen


@pytest.fixture
def port() -> Iterator[int]:
    """Where a page is served that shows one picture."""
    opened = listen("127.0.0.1", 0)
    with live_page(opened) as show:
        show(np.zeros((8, 8, 3), dtype=np.uint8))
        yield opened.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8700", 200),
        ("127.0.0.1", 200),  # a browser leaves port 80 out
        ("LOCALHOST:8700", 200),
        ("elsewhere.example", 403),
        ("elsewhere.example:8700", 403),
        ("127.0.0.1.elsewhere.example", 403),
        ("[", 403),
        ("", 403),
    ],
)
def test_only_who_came_by_this_machines_name_is_answered(port: int, host: str, status: int) -> None:
    browser = HTTPConnection("127.0.0.1", port, timeout=20)
    browser.request("GET", "/", headers={"Host": host})
    assert browser.getresponse().status == status
    browser.close()


def test_a_page_from_elsewhere_may_not_see_the_camera(port: int) -> None:
    browser = HTTPConnection("127.0.0.1", port, timeout=20)
    browser.request("GET", "/stream", headers={"Origin": "http://elsewhere.example"})
    answer = browser.getresponse()
    assert (answer.status, b"image" in answer.read()) == (403, False)
    browser.close()


def test_every_answer_keeps_the_page_to_itself(port: int) -> None:
    for path in ("/", "/stream", "/style.css", "/nothing"):
        browser = HTTPConnection("127.0.0.1", port, timeout=20)
        browser.request("GET", path)
        headers = browser.getresponse().headers
        assert headers["content-security-policy"].startswith("default-src 'none'; ")
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["cache-control"] == "no-store"
        browser.close()


def test_a_connection_that_is_reset_is_no_matter_for_the_terminal(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as browser:
        browser.sendall(b"GET /")  # the server waits for the rest of the line
        # Closing without lingering resets the connection.
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    with socket.create_connection(("127.0.0.1", port), timeout=20) as browser:
        browser.sendall(b"GET /stream HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert browser.recv(1)  # it is shown pictures
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for _ in range(2):  # the second answer comes after the reset was seen
        other = HTTPConnection("127.0.0.1", port, timeout=20)
        other.request("GET", "/")
        assert other.getresponse().read()
        other.close()
    assert capfd.readouterr().err == ""

import socket
import struct
from collections.abc import Iterator
from http.client import HTTPConnection

import numpy as np
import pytest

from spcnet.cli.live_page import LivePage


@pytest.fixture
def port() -> Iterator[int]:
    """Where a page is served that shows one picture."""
    with LivePage(0) as page:
        page.show(np.zeros((8, 8, 3), dtype=np.uint8))
        yield int(page.address.rstrip("/").rpartition(":")[2])


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


def test_a_connection_that_is_reset_is_no_matter_for_the_terminal(
    port: int, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as browser:
        browser.sendall(b"GET /")  # the server waits for the rest of the line
        # Closing without lingering resets the connection.
        browser.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    for _ in range(2):  # the second answer comes after the reset was seen
        other = HTTPConnection("127.0.0.1", port, timeout=20)
        other.request("GET", "/")
        assert other.getresponse().read()
        other.close()
    assert capfd.readouterr().err == ""

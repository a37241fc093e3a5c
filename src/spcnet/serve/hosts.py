"""Names by which a service on this machine may be asked."""

import ipaddress
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def host_name(host: str) -> str | None:
    """The name in a Host header, in lower case and without its port."""
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def is_loopback(address: str) -> bool:
    """Whether what listens at an address is for this machine alone."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"

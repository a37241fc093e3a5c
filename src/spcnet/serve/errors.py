"""Answers other than poses, all of one form: ``{"error": {"code", "message"}}``."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from starlette.responses import JSONResponse
from starlette.types import Receive, Scope, Send

LONGEST_MESSAGE = 400  # characters; what was wrong may be as long as a body
LINGER = 2.0  # seconds in which a client may go on sending a body that nobody wants


@dataclass(eq=False)
class RequestError(Exception):
    """A request that gets an error for an answer."""

    status: int
    code: str  # one word for programs
    message: str  # one line for people: what was wrong, what is accepted
    headers: Mapping[str, str] = field(default_factory=dict)
    unread: bool = False  # whether its body was not read to its end


class ErrorResponse(JSONResponse):
    """A refusal as an answer.

    Where the body was not read it goes out at once, and the connection is closed soon after it:
    closed at once, clients that are still sending would see a broken connection instead.
    """

    def __init__(self, refusal: RequestError) -> None:
        message = refusal.message
        if len(message) > LONGEST_MESSAGE:
            message = message[:LONGEST_MESSAGE] + "..."
        content = {"error": {"code": refusal.code, "message": message}}
        closing = {"Connection": "close"} if refusal.unread else {}
        super().__init__(content, refusal.status, {**refusal.headers, **closing})
        self.unread = refusal.unread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it."""
        if not self.unread:
            await super().__call__(scope, receive, send)
            return
        head = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start", **head})
        await send({"type": "http.response.body", "body": self.body, "more_body": True})
        with suppress(TimeoutError):
            async with asyncio.timeout(LINGER):
                while (await receive()).get("more_body", False):
                    pass
        await send({"type": "http.response.body", "body": b""})

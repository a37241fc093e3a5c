"""Several requests at once: batches, queues, time, and clients that hang up."""

import asyncio
import json
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from serving import POISON, Stub, app_of, picture

from spcnet.media.images import decode_image
from spcnet.serve.budget import Budget
from spcnet.serve.service import DECODERS
from spcnet.serve.worker import Job, Worker

FORM = "multipart/form-data; boundary=x"


@pytest.fixture
def stub() -> Stub:
    return Stub()


class Decoder:
    """Holds whoever decodes a picture until it is freed."""

    def __init__(self) -> None:
        self.free = threading.Event()
        self.begun = 0

    def __call__(self, content: bytes) -> Any:
        self.begun += 1
        assert self.free.wait(20)
        return decode_image(content)


@pytest.fixture
def decoder(monkeypatch: pytest.MonkeyPatch) -> Decoder:
    slow = Decoder()
    monkeypatch.setattr("spcnet.serve.decoding.Decoders.decode", lambda _, content: slow(content))
    return slow


@dataclass
class Call:
    """One request at the level of ASGI: what was sent and received, in order."""

    chunks: Sequence[bytes] | AsyncIterator[bytes]
    headers: dict[str, str] = field(default_factory=dict)
    path: str = "/v1/poses"
    method: str = "POST"
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    taken: int = 0  # bytes of the body that were asked for
    taken_at_start: int = -1  # of these, when the answer began
    status: int = 0
    answer: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    async def __call__(self, app: FastAPI) -> "Call":
        async def feed() -> AsyncIterator[bytes]:
            for chunk in self.chunks:
                yield chunk

        chunks = feed() if isinstance(self.chunks, Sequence) else self.chunks
        whole = False

        async def receive() -> dict[str, Any]:
            nonlocal whole
            if not whole and not self.gone.is_set():
                try:
                    chunk = await anext(chunks)
                    self.taken += len(chunk)
                    return {"type": "http.request", "body": chunk, "more_body": True}
                except StopAsyncIteration:
                    whole = True
                    return {"type": "http.request", "body": b"", "more_body": False}
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.taken_at_start = self.taken
                self.answer = {k.decode(): v.decode() for k, v in message["headers"]}
            else:
                self.body += message.get("body", b"")

        headers = {"content-type": FORM, **self.headers}
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "scheme": "http",
            "method": self.method, "path": self.path, "raw_path": self.path.encode(),
            "root_path": "", "query_string": b"", "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 2),
            "headers": [(k.encode(), v.encode()) for k, v in headers.items()],
        }  # fmt: skip
        await app(scope, receive, send)  # type: ignore[arg-type]
        return self

    @property
    def code(self) -> str:
        return str(json.loads(self.body)["error"]["code"])


def form(content: bytes, persons: int | None = None) -> list[bytes]:
    def part(name: str, value: bytes) -> bytes:
        head = f'--x\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        return head.encode() + value + b"\r\n"

    parts = [part("image", content)]
    if persons is not None:
        parts.append(part("boxes", json.dumps([[1, 1, 9, 9]] * persons).encode()))
    return [*parts, b"--x--\r\n"]


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.002)


def with_service(
    stub: Stub, scenario: Callable[[FastAPI], Coroutine[Any, Any, None]], **limits: Any
) -> None:
    with app_of(stub, **limits) as app:
        app.state.service.pictures.warm()
        asyncio.run(scenario(app))


async def held(app: FastAPI, stub: Stub) -> "asyncio.Task[Call]":
    """A request that the network is busy with until the stub is freed."""
    stub.free.clear()
    batches = len(stub.batches)
    task = asyncio.create_task(Call(form(picture(11, 11)))(app))
    await eventually(lambda: len(stub.batches) > batches)
    return task


async def queued(
    app: FastAPI, calls: Sequence[Call], *, before: int = 0
) -> "list[asyncio.Task[Call]]":
    """Requests that wait for the network in this order."""
    tasks = []
    for n, call in enumerate(calls, start=before + 1):
        tasks.append(asyncio.create_task(call(app)))
        await eventually(lambda n=n: app.state.service.worker.waiting == n)  # type: ignore[misc]
    return tasks


def test_what_waits_goes_through_the_network_together(stub: Stub) -> None:
    async def scenario(app: FastAPI) -> None:
        first = await held(app, stub)
        rest = await queued(app, [Call(form(picture(20 + n, 20))) for n in range(3)])
        stub.free.set()
        answers = [json.loads((await call).body) for call in [first, *rest]]
        assert [answer["images"][0]["width"] for answer in answers] == [11, 20, 21, 22]
        assert stub.batches == [[(11, 11)], [(20, 20), (21, 20), (22, 20)]]

    with_service(stub, scenario)


def test_a_batch_holds_no_more_persons_than_it_may(stub: Stub) -> None:
    async def scenario(app: FastAPI) -> None:
        first = await held(app, stub)
        persons = [3, 2, 2, 9, 1]
        rest = await queued(app, [Call(form(picture(20 + n, 20), n)) for n in persons])
        stub.free.set()
        found = [json.loads((await call).body) for call in [first, *rest]]
        assert [len(answer["annotations"]) for answer in found] == [1, *persons]
        assert [[width - 20 for width, _ in batch] for batch in stub.batches[1:]] == [
            [3], [2, 2], [9], [1]
        ]  # fmt: skip

    with_service(stub, scenario, batch=4)


def test_one_faulty_request_does_not_fail_its_batch(stub: Stub) -> None:
    async def scenario(app: FastAPI) -> None:
        first = await held(app, stub)
        contents = [picture(), picture(corner=POISON), picture()]
        rest = await queued(app, [Call(form(content)) for content in contents])
        stub.free.set()
        assert [(await call).status for call in [first, *rest]] == [200, 200, 500, 200]

    with_service(stub, scenario)


def test_a_client_that_hangs_up_costs_no_look(stub: Stub) -> None:
    async def scenario(app: FastAPI) -> None:
        first = await held(app, stub)
        waits, stays = Call(form(picture(33, 33))), Call(form(picture(44, 44)))
        gone, there = await queued(app, [waits, stays])
        waits.gone.set()
        await gone
        assert len(app.state.service.places) == 2
        stub.free.set()
        await asyncio.gather(first, there)
        assert stub.batches == [[(11, 11)], [(44, 44)]]
        text = app.state.service.metrics.text()
        assert 'requests_total{status="200"} 2.0' in text
        assert 'requests_total{status="499"} 1.0' in text

    with_service(stub, scenario)


def test_clients_that_hang_up_leave_no_picture_in_the_queue(stub: Stub) -> None:
    async def scenario(app: FastAPI) -> None:
        service = app.state.service
        whole = service.pixels.left
        first = Call(form(picture(11, 11)))
        stub.free.clear()
        running = asyncio.create_task(first(app))
        await eventually(lambda: bool(stub.batches))
        for _ in range(8):
            call = Call(form(picture(33, 33)))
            (gone,) = await queued(app, [call])
            call.gone.set()
            await gone
            await eventually(lambda: service.worker.waiting == 0)
        assert service.pixels.left == whole - 11 * 11
        first.gone.set()  # the network still looks at its picture
        await running
        await asyncio.sleep(0.01)
        assert len(service.places) == 0 and service.pixels.left == whole - 11 * 11
        stub.free.set()
        await eventually(lambda: bool(service.pixels.left == whole))

    with_service(stub, scenario, queue=2)


def test_a_picture_that_is_decoded_for_nobody_counts_until_it_is(
    stub: Stub, decoder: Decoder
) -> None:
    async def scenario(app: FastAPI) -> None:
        service = app.state.service
        whole = service.pixels.left
        call = Call(form(picture(33, 33)))
        task = asyncio.create_task(call(app))
        await eventually(lambda: decoder.begun == 1)
        call.gone.set()
        await task
        await asyncio.sleep(0.01)
        assert len(service.places) == 0 and service.pixels.left == whole - 33 * 33
        decoder.free.set()
        await eventually(lambda: bool(service.pixels.left == whole))
        assert stub.batches == []

    with_service(stub, scenario)


def test_an_answered_job_is_let_go(stub: Stub) -> None:
    worker = Worker(stub, batch=4, counted=lambda jobs, persons: None)  # type: ignore[arg-type]
    try:
        dark = [np.zeros((9, 9, 3), np.uint8) for _ in range(2)]
        poisoned = np.full((9, 9, 3), POISON, np.uint8)
        for picture in (*dark, poisoned):
            wait([worker.submit(Job(picture=picture))])
        held = [weakref.ref(picture) for picture in (*dark, poisoned)]
        del picture, dark, poisoned
        asyncio.run(eventually(lambda: all(each() is None for each in held)))
    finally:
        worker.close()


def test_closing_does_not_wait_long_for_the_network(stub: Stub) -> None:
    worker = Worker(stub, batch=1, counted=lambda jobs, persons: None)  # type: ignore[arg-type]
    stub.free.clear()
    pictures = [np.zeros((9, 9, 3), np.uint8) for _ in range(2)]
    running, waiting = [worker.submit(Job(picture=picture)) for picture in pictures]
    stub.entered.acquire()
    began = time.perf_counter()
    worker.close()
    assert 1 <= time.perf_counter() - began < 10
    assert not worker.ended and not worker.alive
    assert waiting.cancelled() and not running.done()
    stub.free.set()
    assert running.result(20) == []  # a black picture
    asyncio.run(eventually(lambda: worker.ended))


def test_a_client_that_hangs_up_while_it_sends_is_forgotten(stub: Stub) -> None:
    async def scenario(app: FastAPI) -> None:
        call = Call([])

        async def chunks() -> AsyncIterator[bytes]:
            yield form(picture())[0]
            call.gone.set()
            yield b""

        call.chunks = chunks()
        await call(app)
        assert stub.batches == [] and len(app.state.service.places) == 0

    with_service(stub, scenario)


def test_a_full_queue_sends_away_before_it_reads(stub: Stub) -> None:
    async def scenario(app: FastAPI) -> None:
        first = await held(app, stub)
        second = await Call(form(picture()))(app)
        assert (second.status, second.code, second.taken_at_start) == (503, "busy", 0)
        assert int(second.answer["retry-after"]) >= 1
        stub.free.set()
        assert (await first).status == 200
        assert (await Call(form(picture()))(app)).status == 200

    with_service(stub, scenario, queue=1)


def test_an_answer_that_takes_too_long_is_not_waited_for(stub: Stub) -> None:
    async def scenario(app: FastAPI) -> None:
        first = await held(app, stub)
        second = await Call(form(picture(33, 33)))(app)
        assert (second.status, second.code) == (504, "timeout")
        assert (await first).status == 504
        await eventually(lambda: app.state.service.worker.waiting == 0)
        stub.free.set()
        assert (await Call(form(picture(44, 44)))(app)).status == 200
        assert stub.batches == [[(11, 11)], [(44, 44)]]  # the second was dropped

    with_service(stub, scenario, timeout=1)


def test_an_upload_that_takes_too_long_is_ended(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spcnet.serve.errors.LINGER", 0.01)

    async def scenario(app: FastAPI) -> None:
        call = await Call(trickle())(app)
        assert (call.status, call.code) == (408, "slow_upload")
        assert call.answer["connection"] == "close"

    with_service(stub, scenario, timeout=0.1)


async def trickle() -> AsyncIterator[bytes]:
    """An upload without end."""
    while True:
        yield b"-"
        await asyncio.sleep(0.01)


async def silence() -> AsyncIterator[bytes]:
    """An upload that stops in the middle."""
    yield b"-"
    await asyncio.sleep(60)


def test_an_upload_that_falls_silent_is_ended(stub: Stub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("spcnet.serve.errors.LINGER", 0.01)
    monkeypatch.setattr("spcnet.serve.places.SILENT_SECONDS", 0.2)

    async def scenario(app: FastAPI) -> None:
        steady = asyncio.create_task(Call(trickle())(app))
        call = await Call(silence())(app)
        assert (call.status, call.code) == (408, "slow_upload")
        assert "the upload was silent for 0.2 seconds" in call.body.decode()
        first = await held(app, stub)
        await asyncio.sleep(0.5)  # an answer may take longer
        stub.free.set()
        assert (await first).status == 200
        assert not steady.done()
        steady.cancel()

    with_service(stub, scenario)


def test_slow_uploads_give_their_places_to_others(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spcnet.serve.errors.LINGER", 0.01)
    monkeypatch.setattr("spcnet.serve.places.SLOW_SECONDS", 0.5)

    async def scenario(app: FastAPI) -> None:
        slow = [asyncio.create_task(Call(trickle())(app)) for _ in range(3)]
        await eventually(lambda: len(app.state.service.places) == 3)
        early = await Call(form(picture()))(app)
        assert (early.status, early.code) == (503, "busy")
        await asyncio.sleep(0.6)
        first = await held(app, stub)
        second, third = await queued(app, [Call(form(picture())) for _ in range(2)])
        ended = await asyncio.gather(*slow)  # longest first
        assert {(call.status, call.code) for call in ended} == {(408, "slow_upload")}
        full = await Call(form(picture()))(app)  # who is waited for keeps the place
        assert (full.status, full.code) == (503, "busy")
        stub.free.set()
        answers = await asyncio.gather(first, second, third)
        assert {call.status for call in answers} == {200}
        assert len(app.state.service.places) == 0

    with_service(stub, scenario, queue=3)


@pytest.mark.parametrize("soon", [True, False])
def test_stopping_waits_for_answers_a_little_and_for_uploads_not_at_all(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, soon: bool
) -> None:
    monkeypatch.setattr("spcnet.serve.errors.LINGER", 0.01)
    monkeypatch.setattr("spcnet.serve.places.GRACE_SECONDS", 1.0)

    async def scenario(app: FastAPI) -> None:
        uploads = [asyncio.create_task(Call(each())(app)) for each in (trickle, silence)]
        first = await held(app, stub)
        (waits,) = await queued(app, [Call(form(picture()))])
        app.state.service.places.stop()
        for call in await asyncio.wait_for(asyncio.gather(*uploads), 0.9):
            assert (call.status, call.code) == (503, "stopping")
        late = await Call(form(picture()))(app)
        assert (late.status, late.code) == (503, "stopping")
        if soon:
            stub.free.set()
        answers = await asyncio.wait_for(asyncio.gather(first, waits), 5)
        assert {call.status for call in answers} == ({200} if soon else {503})
        assert soon or {call.code for call in answers} == {"stopping"}

    with_service(stub, scenario)


def test_health_tells_of_places_that_are_taken_for_long_and_of_late_answers(
    stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("spcnet.serve.places.FULL_SECONDS", 0.2)

    async def health(app: FastAPI) -> tuple[int, Any]:
        call = await Call([], path="/healthz", method="GET")(app)
        return call.status, json.loads(call.body)

    async def scenario(app: FastAPI) -> None:
        assert await health(app) == (200, {"status": "ok", "taken": 0, "places": 2})
        first = await held(app, stub)
        (second,) = await queued(app, [Call(form(picture()))])
        assert (await health(app))[0] == 200
        await asyncio.sleep(0.3)
        status, said = await health(app)
        assert status == 503 and said["error"]["code"] == "unavailable"
        assert said["error"]["message"].startswith("all 2 places are taken for ")
        assert [(await call).status for call in (first, second)] == [504, 504]
        status, said = await health(app)
        assert status == 503
        assert said["error"]["message"] == "the last requests got no answer within 4 seconds"
        stub.free.set()
        assert (await Call(form(picture()))(app)).status == 200
        assert (await health(app))[0] == 200

    with_service(stub, scenario, queue=2, timeout=4)


@pytest.mark.parametrize("announced", [True, False])
def test_too_large_an_upload_is_refused_as_it_comes(
    stub: Stub, monkeypatch: pytest.MonkeyPatch, announced: bool
) -> None:
    monkeypatch.setattr("spcnet.serve.errors.LINGER", 0.05)

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"-" * 65_536
            await asyncio.sleep(0)

    async def scenario(app: FastAPI) -> None:
        headers = {"content-length": str(10**9)} if announced else {}
        call = await Call(endless(), headers)(app)
        assert (call.status, call.code) == (413, "too_large")
        assert call.answer["connection"] == "close"
        most = app.state.service.limits.body_bytes(base64=False)
        assert call.taken_at_start == 0 if announced else call.taken_at_start <= most + 65_536

    with_service(stub, scenario, picture_bytes=100_000)


def test_a_picture_is_held_to_its_limit_within_a_smaller_body(stub: Stub) -> None:
    async def scenario(app: FastAPI) -> None:
        call = await Call(form(b"-" * 100_001))(app)
        assert (call.status, call.code) == (413, "too_large")
        assert "0.1 MB" in call.body.decode()

    with_service(stub, scenario, picture_bytes=100_000)


def test_others_are_answered_while_the_network_is_busy(stub: Stub) -> None:
    async def scenario(app: FastAPI) -> None:
        first = await held(app, stub)
        faulty = await Call(form(b"no picture"))(app)
        assert faulty.status == 415
        stub.free.set()
        assert (await first).status == 200

    with_service(stub, scenario)


def test_slow_decoders_hold_up_neither_answers_nor_small_requests(
    stub: Stub, decoder: Decoder
) -> None:
    async def scenario(app: FastAPI) -> None:
        decoder.free.set()
        first = await held(app, stub)
        decoder.free.clear()
        slow = [asyncio.create_task(Call(form(picture(33, 33)))(app)) for _ in range(DECODERS + 1)]
        await eventually(lambda: decoder.begun == 1 + DECODERS)
        faulty = await asyncio.wait_for(Call(form(b"no picture"))(app), 5)
        assert faulty.status == 415
        stub.free.set()
        assert (await asyncio.wait_for(first, 5)).status == 200
        decoder.free.set()
        assert {call.status for call in await asyncio.gather(*slow)} == {200}

    with_service(stub, scenario)


def test_what_is_counted_is_told(stub: Stub) -> None:
    async def scenario(app: FastAPI) -> None:
        first = await held(app, stub)
        (rest,) = await queued(app, [Call(form(picture(), 3))])
        metrics = app.state.service.metrics
        assert "spcnet_queue_length 1.0\n" in metrics.text()
        assert "spcnet_requests_taken 2.0\n" in metrics.text()
        stub.free.set()
        await asyncio.gather(first, rest)
        await Call(form(b""))(app)
        text = metrics.text()
        for line in (
            'spcnet_requests_total{status="200"} 2.0', 'spcnet_requests_total{status="422"} 1.0',
            "spcnet_persons_total 4.0", "spcnet_request_seconds_count 3.0",
            'spcnet_request_seconds_bucket{le="+Inf"} 3.0',
            'spcnet_batch_persons_bucket{le="2.0"} 1.0',
            'spcnet_batch_persons_bucket{le="4.0"} 2.0', "spcnet_batch_requests_sum 2.0",
            "spcnet_queue_length 0.0", "spcnet_requests_taken 0.0",
        ):  # fmt: skip
            assert line + "\n" in text, line
        names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
        samples = [line for line in text.splitlines() if not line.startswith("#")]
        assert all(any(sample.startswith(name) for name in names) for sample in samples)

    with_service(stub, scenario)


def test_a_service_that_was_closed_is_not_healthy(stub: Stub) -> None:
    from fastapi.testclient import TestClient

    with app_of(stub) as app:
        with TestClient(app) as client:
            assert client.get("/healthz").json() == {"status": "ok", "taken": 0, "places": 64}
        assert TestClient(app).get("/healthz").status_code == 503


def test_a_budget_is_lent_in_the_order_of_asking() -> None:
    async def scenario() -> None:
        budget = Budget(10)
        order: list[str] = []

        async def use(name: str, amount: int, done: asyncio.Event) -> None:
            async with budget.lend(amount):
                order.append(name)
                await done.wait()

        ends = {name: asyncio.Event() for name in "abcd"}
        tasks = {
            name: asyncio.create_task(use(name, amount, ends[name]))
            for name, amount in (("a", 6), ("b", 9), ("c", 2), ("d", 3))
        }
        await asyncio.sleep(0)
        assert order == ["a"]  # c would fit, but b was first
        tasks["b"].cancel()
        await asyncio.sleep(0.01)
        assert order == ["a", "c"]  # who leaves the line lets others through
        ends["a"].set()
        await asyncio.sleep(0.01)
        assert order == ["a", "c", "d"]
        for end in ends.values():
            end.set()
        await asyncio.gather(*tasks.values(), return_exceptions=True)
        assert budget.left == 10

    asyncio.run(scenario())

"""Videos that are sent to the service: what their lines hold, and what ends them."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from making_videos import make_sound, make_video, plain_pictures
from result_documents import check_result
from serving import Stub, app_of, picture
from test_waiting import Call, eventually, form, with_service

import spcnet.serve.videos
from spcnet.media.video_files import VideoReader
from spcnet.serve.decoding import Decoders
from spcnet.serve.limits import VIDEOS, VIDEOS_TAKEN

SIZE = {"width": 64, "height": 48}


@pytest.fixture
def clip(tmp_path: Path) -> bytes:
    return make_video(tmp_path / "clip.mp4", plain_pictures(5)).read_bytes()


@pytest.fixture
def stub() -> Stub:
    return Stub()


@pytest.fixture
def client(stub: Stub) -> Iterator[TestClient]:
    with app_of(stub) as app, TestClient(app) as client:
        yield client


def post(client: TestClient, content: bytes, **fields: str) -> tuple[int, list[dict[str, Any]]]:
    """The status and the lines of an answer."""
    sent = client.post("/v1/video", files={"video": ("a clip.mp4", content)}, data=fields)
    return sent.status_code, [json.loads(line) for line in sent.text.splitlines()]


def refused(client: TestClient, content: bytes) -> tuple[int, str, str]:
    status, (line,) = post(client, content)
    return status, line["error"]["code"], line["error"]["message"]


def test_lines_tell_of_every_frame_and_the_last_is_a_result(
    client: TestClient, clip: bytes
) -> None:
    status, (video, *frames, last) = post(client, clip, pictures="true")
    assert status == 200 and video == {"video": {**SIZE, "frames": 5}}
    assert [line["frame"]["frame_id"] for line in frames] == [0, 1, 2, 3, 4]
    assert all(line["frame"]["picture"].startswith("data:image/jpeg;") for line in frames)
    assert set(last) == {"result"}
    result = check_result(last["result"])
    assert result["videos"] == [{"id": 1, "name": "a clip.mp4", **SIZE}]
    assert [image["time"] for image in result["images"]] == [0, 0.1, 0.2, 0.3, 0.4]
    assert len(result["annotations"]) == 5
    method = result["info"]["method"]
    assert method["smoothing"] == "sides, gaps, Butterworth"
    _, (_, first, *_) = post(client, clip, file_name="other")
    assert set(first["frame"]) == {"frame_id", "time"}
    assert 'spcnet_requests_total{status="200"} 2.0' in client.get("/metrics").text


def test_what_is_no_video_is_refused_in_one_line(
    client: TestClient, clip: bytes, tmp_path: Path
) -> None:
    odd = make_video(tmp_path / "odd.avi", plain_pictures(2), encoder="ffv1").read_bytes()
    source = make_video(tmp_path / "other.mp4", plain_pictures(2))
    elsewhere = f"ffconcat version 1.0\nfile '{source}'\n".encode()  # would open other files
    for content in (
        b"",
        b"hello",
        picture(),
        odd,
        elsewhere,
        make_sound(tmp_path / "a.mp4").read_bytes(),
    ):
        status, code, text = refused(client, content)
        assert (status, code) == (415, "not_a_video") and "\n" not in text
    sent = client.post("/v1/video", files={"image": ("a.mp4", clip)})
    assert sent.status_code == 422 and "a file named video" in sent.json()["error"]["message"]
    assert client.post("/v1/video", json={}).status_code == 415
    sent = client.post("/v1/video", files={"video": clip}, data={"skeleton": "coco17"})
    assert sent.json()["error"]["code"] == "no_such_skeleton"


def test_a_cut_file_is_followed_as_far_as_it_goes(client: TestClient, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (30, 48, 64, 3), dtype=np.uint8)
    whole = make_video(tmp_path / "clip.mp4", list(noise)).read_bytes()
    _, lines = post(client, whole[: len(whole) // 2])
    assert lines[-1]["fault"].startswith("cut short: ")
    assert 0 < len(lines[-1]["result"]["images"]) < 30


def test_bounds_are_kept_by_the_head_and_on_the_way(
    client: TestClient, clip: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spcnet.serve.videos, "VIDEO_FRAMES", 3)
    status, code, text = refused(client, clip)
    assert (status, code) == (413, "too_long") and "3 frames: 0 and 5; cut it" in text
    decode = Decoders.video

    def untold(self: Decoders, content: bytes) -> Iterator[Any]:
        for answer, pixels in decode(self, content):
            yield {**answer, "frames": None}, pixels

    monkeypatch.setattr(Decoders, "video", untold)
    status, lines = post(client, clip)
    assert status == 200 and lines[-1]["error"]["code"] == "too_long"
    assert len(lines) == 1 + 3 + 1


def test_pictures_are_bounded_before_they_are_decoded(tmp_path: Path) -> None:
    clip = make_video(tmp_path / "clip.mp4", plain_pictures(2)).read_bytes()
    with pytest.raises(Exception, match=r"64 x 48 pixels is more than 0\.003 megapixels"):
        VideoReader("the video", content=clip, max_pixels=3000)


def ask(clip: bytes) -> Call:
    head = b'--x\r\nContent-Disposition: form-data; name="video"\r\n\r\n'
    return Call([head, clip, b"\r\n--x--\r\n"], path="/v1/video")


def test_photos_are_answered_between_frames(stub: Stub, clip: bytes) -> None:
    async def scenario(app: FastAPI) -> None:
        stub.free.clear()
        video = asyncio.create_task(ask(clip)(app))
        await eventually(lambda: len(stub.batches) == 1)
        photo = asyncio.create_task(Call(form(picture(11, 11)))(app))
        await eventually(lambda: app.state.service.worker.waiting == 1)
        stub.free.set()
        assert (await photo).status == (await video).status == 200
        assert len((await video).body.splitlines()) == 1 + 5 + 1
        assert stub.batches.index([(11, 11)]) == 1
        assert stub.batches.count([(64, 48)]) == 6  # of five frames, the first is looked at twice

    with_service(stub, scenario)


def test_who_hangs_up_ends_the_video_and_its_decoder(stub: Stub, clip: bytes) -> None:
    async def scenario(app: FastAPI) -> None:
        service = app.state.service
        stub.free.clear()
        call = ask(clip)
        video = asyncio.create_task(call(app))
        await eventually(lambda: len(stub.batches) == 1)
        (decoder,) = service.pictures._all
        call.gone.set()
        await video
        assert call.body.count(b"\n") == 1  # of the video; its first frame was at hand
        assert len(service.places) == 0
        stub.free.set()
        await eventually(lambda: decoder.poll() is not None)
        assert stub.batches in (
            [[(64, 48)]],
            [[(64, 48)]] * 2,
        )  # the first frame is looked at twice
        assert 'status="499"} 1.0' in service.metrics.text()
        assert (await ask(clip)(app)).status == 200

    with_service(stub, scenario)


def test_videos_wait_for_their_turn_and_leave_places_to_pictures(stub: Stub, clip: bytes) -> None:
    async def scenario(app: FastAPI) -> None:
        pictures = app.state.service.pictures
        stub.free.clear()
        videos = [asyncio.create_task(ask(clip)(app)) for _ in range(VIDEOS_TAKEN)]
        await eventually(lambda: len(stub.batches) == 1 and len(pictures._all) == VIDEOS)
        one_more = await ask(clip)(app)
        assert (one_more.status, one_more.code) == (503, "busy")
        photo = asyncio.create_task(Call(form(picture(11, 11)))(app))
        stub.free.set()
        assert (await photo).status == 200
        assert [(await video).status for video in videos] == [200] * VIDEOS_TAKEN
        assert len(pictures._all) <= VIDEOS + 1

    with_service(stub, scenario)

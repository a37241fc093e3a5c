"""The real command, and its page in a real browser."""

import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from io import BytesIO
from pathlib import Path
from typing import Any, get_type_hints

import httpx
import numpy as np
import pytest
from conftest import EXAMPLES
from making_videos import make_video
from PIL import Image
from result_documents import check_result

from spcnet.cli.serve import serve
from spcnet.errors import UserError
from spcnet.inference.result_files import poses_of
from spcnet.media.limits import MAX_PIXELS
from spcnet.serve.limits import Limits, is_loopback
from spcnet.serve.server import listen, url
from spcnet.skeletons import SKELETONS
from spcnet.tables import columns, to_records
from spcnet.viz.skeletons import Style, _thickness

BROWSER = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip


@contextmanager
def command(
    *arguments: str, host: str = "127.0.0.1"
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The running command, and the address that it says it listens on."""
    process = subprocess.Popen(
        [sys.executable, "-m", "spcnet", "serve", "--host", host, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    try:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith(f"listening on http://{host}:"), process.stderr.read()
        yield process, line.split()[2]
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def served() -> Iterator[str]:
    with command() as (_, address):
        yield address


def upside(content: bytes) -> bytes:
    """A picture stored lying on its side, as phones do, with the EXIF that sets it upright."""
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.open(BytesIO(content)).transpose(Image.Transpose.ROTATE_90)
    file = BytesIO()
    lying.save(file, format="JPEG", quality=95, exif=exif)
    return file.getvalue()


def test_the_command_answers_with_right_joints_and_stops_when_told() -> None:
    truth = json.loads((EXAMPLES / "joints.json").read_text())
    number = next(i["id"] for i in truth["images"] if i["file_name"] == "standing.jpg")
    row = next(a for a in truth["annotations"] if a["image_id"] == number)
    joints = np.array(row["keypoints"]).reshape(14, 3)[:, :2]
    content = (EXAMPLES / "standing.jpg").read_bytes()
    with command("--max-megabytes", "1") as (process, address):
        for sent in (content, upside(content)):
            answer = httpx.post(
                f"{address}/v1/poses", files={"image": sent}, data={"skeleton": "lsp14"}, timeout=60
            ).json()
            (image,), (person,) = check_result(answer)["images"], answer["annotations"]
            assert (image["width"], image["height"]) == (672, 896)
            assert 0.5 < person["presence"] < 1
            found = np.reshape(person["keypoints"], (14, 3))[:, :2]
            torso = np.linalg.norm(joints[9] - joints[2])
            assert (np.linalg.norm(found - joints, axis=1) <= 0.2 * torso).sum() >= 12
        large = httpx.post(f"{address}/v1/poses", files={"image": bytes(3_000_000)}, timeout=60)
        assert large.status_code == 413
        assert large.json()["error"]["code"] == "too_large"
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=30)
        assert process.returncode == 0, said
        assert said.splitlines()[-1] == "stopped" and "Traceback" not in said


def test_a_service_for_other_machines_says_so_and_answers_by_any_name() -> None:
    with command("--root-path", "/pose", host="0.0.0.0") as (process, address):
        other = {"host": "poses.example", "origin": "https://poses.example"}
        port = address.rpartition(":")[2]
        answer = httpx.get(f"http://127.0.0.1:{port}/pose/v1/service", headers=other, timeout=60)
        assert answer.status_code == 200
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert "0.0.0.0 is open to other machines, and there are no accounts" in said.splitlines()


@pytest.mark.parametrize(
    ("host", "loopback"), [("localhost", True), ("127.1", True), ("127.0.0.2", True), ("", False)]
)
def test_whether_it_is_for_this_machine_alone_is_asked_of_the_socket(
    host: str, loopback: bool
) -> None:
    with listen(host, 0) as opened:
        assert is_loopback(opened.getsockname()[0]) is loopback


def test_the_options_have_the_limits_of_the_service() -> None:
    default = {name: each.default for name, each in signature(serve).parameters.items()}
    assert Limits() == Limits(
        picture_bytes=default["max_megabytes"] * 1e6,
        pixels=default["max_megapixels"] * 1e6,
        boxes=default["max_boxes"],
        queue=default["queue"],
        timeout=default["timeout"],
        batch=default["batch"],
    )
    (option,) = get_type_hints(serve, include_extras=True)["max_megapixels"].__metadata__
    assert option.max * 1e6 == MAX_PIXELS


def test_a_port_in_use_is_one_clear_line() -> None:
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        assert url(taken) == f"http://127.0.0.1:{port}"
        with pytest.raises(
            UserError, match=rf"127\.0\.0\.1:{port}: Address already in use; --port 0"
        ):
            listen("127.0.0.1", port)
    with pytest.raises(UserError, match=r"cannot listen on nowhere\.invalid:0: ") as refused:
        listen("nowhere.invalid", 0)
    # "Name or service not known" here, "nodename nor servname provided, or not known" there.
    assert "name" in str(refused.value).partition(":0: ")[2].partition(";")[0].lower()
    assert "Unknown error" not in str(refused.value)


def test_the_body_of_an_answer_does_not_wait_for_its_head() -> None:
    with (
        listen("127.0.0.1", 0) as opened,
        socket.create_connection(opened.getsockname()),
        opened.accept()[0] as connection,
    ):
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_an_ipv6_address_is_written_as_browsers_want_it() -> None:
    try:
        opened = listen("::1", 0)
    except UserError:
        pytest.skip("this machine has no IPv6")
    with opened:
        assert url(opened) == f"http://[::1]:{opened.getsockname()[1]}"


# In place of a camera, and of a slow decoder: both wait until they are told to go on.
HELD = """
    window.cameras = [];
    window.allow = [];
    navigator.mediaDevices.getUserMedia = () => new Promise((give) => {
      window.allow.push(() => {
        const canvas = document.createElement("canvas");
        canvas.getContext("2d").fillRect(0, 0, 9, 9);
        window.cameras.push(canvas.captureStream());
        give(window.cameras.at(-1));
      });
    });
    const decode = window.createImageBitmap;
    window.createImageBitmap = async (...all) => {
      if (all[0].name === "slow.jpg") await new Promise((go) => { window.decodeSlow = go; });
      return decode(...all);
    };
"""


def test_the_page_keeps_to_the_last_photo_or_camera(
    served: str, browser: Any, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    page = browser.new_page(viewport={"width": 800, "height": 900})
    page.add_init_script(HELD)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))
    page.goto(served)
    expect(page.locator("#limits")).to_contain_text("20 MB")

    def cameras(allowed: int) -> list[str]:
        """What the cameras do once so many of the questions for one were answered."""
        page.wait_for_function("n => window.allow.length === n", arg=allowed)
        page.evaluate("window.allow.slice(window.cameras.length).forEach((allow) => allow())")
        page.evaluate("new Promise((done) => setTimeout(done, 50))")
        return list(page.evaluate("cameras.map((c) => c.getTracks()[0].readyState)"))

    slow = tmp_path / "slow.jpg"
    slow.write_bytes((EXAMPLES / "standing.jpg").read_bytes())
    page.set_input_files("#file", slow)
    page.wait_for_function("window.decodeSlow !== undefined")
    page.set_input_files("#file", EXAMPLES / "standing.jpg")
    expect(page.locator("#status")).to_contain_text("19 joints")
    page.evaluate("window.decodeSlow(); new Promise((done) => setTimeout(done, 100))")
    assert asked.count("POST") == 1

    camera = page.locator("#result [data-do=camera]")
    camera.click()
    camera.click()
    assert cameras(2) == ["live", "ended"]
    page.locator("[data-do=leave-camera]").click()
    camera.click()
    page.set_input_files("#file", slow)
    assert cameras(3) == ["ended", "ended", "ended"]
    page.evaluate("window.decodeSlow()")
    expect(page.locator("#status")).to_contain_text("19 joints")
    expect(page.locator("#result")).to_be_visible()

    canvas = page.locator("#canvas")
    before = canvas.evaluate("c => c.toDataURL()")
    page.route("**/v1/poses", lambda _: None)  # an answer that does not come
    page.locator("[data-do=frame]").click()
    canvas.scroll_into_view_if_needed()
    place = canvas.bounding_box()
    page.mouse.move(place["x"] + 50, place["y"] + 50)
    page.mouse.down()
    page.mouse.move(place["x"] + 200, place["y"] + 300)
    page.mouse.up()
    expect(page.locator("#busy")).to_be_visible()
    camera.click()
    assert cameras(4)[-1] == "live"
    page.locator("[data-do=leave-camera]").click()
    expect(page.locator("#result")).to_be_visible()
    expect(page.locator("#busy")).to_be_hidden()
    page.mouse.move(1, 1)
    assert canvas.evaluate("c => c.toDataURL()") == before


@pytest.fixture
def browser() -> Iterator[Any]:
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    chromium = shutil.which("chromium") or "/usr/bin/chromium"
    if not Path(chromium).exists():
        pytest.skip("needs chromium")
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=chromium, args=list(BROWSER))
        sync_api.expect.set_options(timeout=60_000)
        yield opened
        opened.close()


def test_the_page_shows_and_gives_what_the_service_finds(
    served: str, browser: Any, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    page = browser.new_page(viewport={"width": 390, "height": 844})
    told: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(served)
    expect(page.locator("#limits")).to_contain_text("20 MB")

    photo = tmp_path / "from a phone.jpg"
    photo.write_bytes(upside((EXAMPLES / "standing.jpg").read_bytes()))
    page.set_input_files("#file", photo)
    joints = page.locator("#joints button")
    expect(joints).to_have_count(19)
    expect(joints.first).to_contain_text("right ankle")
    expect(page.locator("#status")).to_contain_text("19 joints")
    canvas = page.locator("#canvas")
    assert canvas.evaluate("c => [c.width, c.height]") == [672, 896]

    def drawn() -> str:
        return str(canvas.evaluate("c => c.toDataURL()"))

    for size in ((5, 8), (90, 300), (900, 20), (600, 4000)):
        points = [{"x": 0, "y": 0}, {"x": size[0], "y": size[1]}]
        for width, height in ((672, 896), (8000, 6000), (40, 30)):
            wide = page.evaluate(
                "async (all) => (await import('/drawing.js')).thickness(...all)",
                [points, width, height],
            )
            blank = np.zeros((height, width), np.uint8)
            assert wide == pytest.approx(_thickness(np.array([(0, 0), size]), blank, Style()))

    seen = [drawn()]
    for switch in ("#heatmaps", "#attention"):
        page.locator(switch).check()
        seen.append(drawn())
    expect(page.locator("#heatmaps")).not_to_be_checked()
    expect(page.locator("#legend li")).to_have_count(4)
    page.locator("#attention").uncheck()
    page.locator("#skeleton").uncheck()
    seen.append(drawn())
    page.locator("#skeleton").check()
    assert drawn() == seen[0]
    assert len(set(seen)) == 4

    joints.first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("#tip")).to_contain_text("right knee")
    assert drawn() != seen[0]

    with page.expect_download() as download:
        page.get_by_role("button", name="Save JSON").click()
    assert download.value.suggested_filename == "from a phone.pose.json"
    saved = json.loads(Path(download.value.path()).read_text())
    content = photo.read_bytes()
    sent = {"files": {"image": content}, "data": {"people": "all"}}
    answer = httpx.post(f"{served}/v1/poses", **sent, timeout=60).json()
    answer["images"][0]["file_name"] = "from a phone.jpg"  # what the page alone knows
    assert check_result(saved) == answer
    with page.expect_download() as download:
        page.get_by_role("button", name="Save picture").click()
    with Image.open(download.value.path()) as overlay:
        assert overlay.format == "PNG" and overlay.size == (672, 896)

    page.get_by_role("button", name="Frame one person").click()
    canvas.scroll_into_view_if_needed()
    place = canvas.bounding_box()
    page.mouse.move(place["x"] + 0.3 * place["width"], place["y"] + 0.1 * place["height"])
    page.mouse.down()
    page.mouse.move(place["x"] + 0.7 * place["width"], place["y"] + 0.9 * place["height"])
    page.mouse.up()
    expect(page.get_by_role("button", name="Whole picture")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    assert told == []
    assert [address for address in asked if not address.startswith((served, "blob:"))] == []
    page.set_input_files("#file", EXAMPLES / "joints.json")
    expect(page.locator("#alert")).to_contain_text("Not a picture")


@pytest.fixture
def pair(tmp_path: Path) -> Path:
    """A picture of two figures beside each other."""
    figure = np.asarray(Image.open(EXAMPLES / "standing.jpg"))
    Image.fromarray(np.hstack([figure, figure])).save(tmp_path / "pair.jpg")
    return tmp_path / "pair.jpg"


def download(page: Any, name: str) -> Path:
    with page.expect_download() as got:
        page.get_by_role("button", name=name).press("Enter")
    return Path(got.value.path()).rename(
        Path(got.value.path()).with_name(got.value.suggested_filename)
    )


def check_tables(page: Any, saved: dict[str, Any], source: str) -> None:
    """The tables that the page saves are those of the library for the document that it saves."""
    for what in ("joints", "angles"):
        with download(page, f"{what.capitalize()} CSV").open(newline="") as file:
            rows = list(csv.DictReader(file))
        expected = [
            row
            for image, people in poses_of(saved)
            for row in to_records(
                people, source=source, frame=image.get("frame_id", 0), time=image.get("time", 0.0),
                what=what,
            )
        ]  # fmt: skip
        assert list(rows[0]) == columns(SKELETONS["body19"], what) and len(rows) == len(expected)
        for row, true in zip(rows, expected, strict=True):
            for name, value in true.items():
                if isinstance(value, str):
                    assert row[name] == value
                else:
                    digits = 0.11 if name in ("degrees", "low", "high") else 1e-9
                    assert float(row[name]) == pytest.approx(value, abs=digits), (row, name)


def test_two_people_are_shown_listed_and_framed_by_the_keyboard_alone(
    served: str, browser: Any, pair: Path
) -> None:
    from playwright.sync_api import expect

    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(served)
    expect(page.locator("#limits")).to_contain_text("videos up to 20 MB and 20 seconds")

    def go(selector: str) -> Any:
        """The element, which the Tab key reaches."""
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                return page.locator(":focus")
        raise AssertionError(f"{selector} was not reached")

    with page.expect_file_chooser() as chooser:
        go("#empty [data-do=choose]").press("Enter")
    chooser.value.set_files(pair)
    status = page.locator("#status")
    expect(status).to_contain_text("2 people, 19 joints each")
    assert page.evaluate("document.activeElement.dataset.do") == "choose"
    expect(page.locator("#angles tr")).to_have_count(17)
    saved = json.loads(download(page, "Save JSON").read_text())
    assert len(check_result(saved)["annotations"]) == 2
    check_tables(page, saved, "pair.jpg")

    def tip() -> float:
        """Where the first joint's name stands, in pixels of the page."""
        page.locator("#joints button").first.focus()
        return float(page.locator("#tip").bounding_box()["x"])

    one = tip()
    page.locator("#result [data-do=choose]").focus()
    go("#people input").press("ArrowRight")
    expect(page.locator("#people input").nth(1)).to_be_checked()
    assert abs(tip() - one) > 200

    page.locator("#result [data-do=choose]").focus()
    go("[data-do=frame]").press("Enter")
    expect(status).to_contain_text("arrow keys move it")
    for key in ("ArrowRight", "Shift+ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    expect(status).to_have_text("Frame from 370, 56 to 1008, 772.")
    page.keyboard.press("Escape")
    expect(page.locator("[data-do=whole]")).to_be_hidden()
    page.keyboard.press("Enter")
    for _ in range(20):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    expect(status).to_contain_text("19 joints, mean score")
    saved = json.loads(download(page, "Save JSON").read_text())
    (person,) = saved["annotations"]
    assert person["bbox"] == [671, 90, 672, 716] and person["score"] > 0.6
    go("[data-do=whole]").press("Enter")
    expect(status).to_contain_text("2 people")


def test_a_short_video_comes_back_with_its_skeletons_and_tables(
    served: str, browser: Any, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    figure = np.asarray(Image.open(EXAMPLES / "standing.jpg").resize((135, 180)))
    pictures = [np.full((192, 240, 3), 128, np.uint8) for _ in range(9)]
    for n, picture in enumerate(pictures):
        picture[6:186, 10 * n : 10 * n + 135] = figure
    clip = make_video(tmp_path / "walk.mp4", pictures)
    page = browser.new_page(viewport={"width": 390, "height": 844})
    told: list[str] = []
    page.on("console", lambda message: told.append(message.text))
    page.on("pageerror", lambda error: told.append(str(error)))
    page.goto(served)
    expect(page.locator("#limits")).to_contain_text("videos up to")
    page.set_input_files("#file", clip)
    expect(page.locator("#status")).to_have_text("9 frames, 1 person.")
    saved = json.loads(download(page, "Save JSON").read_text())
    assert [image["time"] for image in check_result(saved)["images"]] == pytest.approx(
        [n / 10 for n in range(9)]
    )
    assert saved["videos"][0]["name"] == "walk.mp4"
    assert saved["info"]["method"]["smoothing"] == "sides, gaps, Butterworth"
    assert {row["track_id"] for row in saved["annotations"]} == {0}
    check_tables(page, saved, "walk.mp4")
    canvas, clock = page.locator("#canvas"), page.locator("#player output")
    seen = {canvas.evaluate("c => c.toDataURL()")}
    page.locator("#time").press("End")
    expect(clock).to_have_text("0.8 s")
    seen.add(canvas.evaluate("c => c.toDataURL()"))
    page.get_by_role("button", name="Play").press("Enter")
    expect(page.get_by_role("button", name="Pause")).to_be_visible()
    expect(page.get_by_role("button", name="Play")).to_be_visible()
    expect(clock).to_have_text("0.8 s")
    assert len(seen) == 2 and told == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    page.route("**/v1/video", lambda _: None)  # an answer that does not come
    page.set_input_files("#file", clip)
    page.get_by_role("button", name="Cancel").click()
    expect(page.locator("#status")).to_have_text("Stopped.")
    expect(page.locator("#empty")).to_be_visible()
    page.unroute("**/v1/video")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    page.set_input_files("#file", broken)
    expect(page.locator("#alert")).to_contain_text("not a video that can be read")


def test_a_phone_is_offered_what_it_can_do(served: str, browser: Any) -> None:
    phone = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}
    page = browser.new_context(**phone).new_page()
    page.goto(served)
    shown = [each.inner_text() for each in page.locator("#empty button:visible").all()]
    assert shown == ["Take a photo", "Choose a file", "Record a video"]
    for name, kind in (("Take a photo", "image/*"), ("Record a video", "video/*")):
        with page.expect_file_chooser():
            page.get_by_role("button", name=name).tap()
        file = page.locator("#file")
        assert file.get_attribute("accept") == kind and file.get_attribute("capture") is not None

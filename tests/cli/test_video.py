"""``spcnet video`` and ``spcnet webcam``, from end to end."""

import csv
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import av
import cv2
import numpy as np
import pytest
import typer
from command_line import spcnet
from conftest import EXAMPLES
from making_videos import make_video, packets, plain_pictures
from result_documents import check_result
from typer.testing import CliRunner

from spcnet.cli.console import progress
from spcnet.cli.main import app
from spcnet.cli.video import video
from spcnet.cli.webcam import webcam
from spcnet.errors import UserError
from spcnet.inference.result_files import result_angles
from spcnet.inference.video import FramePoses
from spcnet.media.images import read_image
from spcnet.media.video_files import VideoReader, VideoWriter
from spcnet.tables import read_angles

COMMAND = [sys.executable, "-m", "spcnet"]


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_video(tmp_path / "my clip.mp4", plain_pictures(4))


def test_a_phone_video_of_a_walker_from_end_to_end(tmp_path: Path) -> None:
    """Turned, with uneven times and sound: the default model follows the figure."""
    walker = cv2.resize(read_image(EXAMPLES / "standing.jpg"), (135, 180))
    upright = [np.full((192, 240, 3), 128, dtype=np.uint8) for _ in range(9)]
    for n, picture in enumerate(upright):
        picture[6:186, 10 * n : 10 * n + 135] = walker
    times = [0, 30, 70, 100, 200, 233, 266, 300, 420]
    source = make_video(
        tmp_path / "my walk.mp4", [np.rot90(picture) for picture in upright], times=times,
        sound="aac", matrix=[0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30],
    )  # fmt: skip
    output = tmp_path / "out put" / "walk.mp4"
    done = spcnet("video", source, "-o", output, "--device", "cpu", "--save", "csv,angles,trc,mot")
    assert done.returncode == 0, done.stderr
    assert "9 frames" in done.stdout and "person found in 9; nobody in 0" in done.stdout
    assert "default" in done.stderr and "in two passes: 18 of 18" in done.stderr
    assert "; the main person by finder from presence 0.26" in done.stderr
    ends = (".mp4", ".json", ".csv", ".angles.csv", ".trc", ".mot")
    written = " and ".join(str(output.with_suffix(end)) for end in ends)
    assert done.stdout.startswith(f"{source} -> {written}: 9 frames")

    with VideoReader(output) as made:
        assert made.size == (192, 240)
        shown = list(made.frames())
    assert [time for time, _ in shown] == pytest.approx([t / 1000 for t in times], abs=1e-4)
    assert packets(output, "audio") == packets(source, "audio") != []
    changed = np.abs(shown[4][1].astype(int) - upright[4]).max(axis=2) > 60
    assert 100 < changed.sum() < 0.2 * changed.size  # a skeleton was drawn

    document = read(output.with_suffix(".json"))
    assert list(document) == ["info", "videos", "images", "annotations", "categories"]
    size = {"width": 240, "height": 192}
    assert document["videos"] == [{"id": 1, "name": "my walk.mp4", **size}]
    frames, rows = document["images"], document["annotations"]
    assert [frame["frame_id"] for frame in frames] == list(range(9))
    assert {(frame["file_name"], frame["video_id"]) for frame in frames} == {("my walk.mp4", 1)}
    assert [frame["time"] for frame in frames] == pytest.approx([t / 1000 for t in times])
    assert [(row["image_id"], row["track_id"]) for row in rows] == [(n, 0) for n in range(1, 10)]
    method = document["info"]["method"]
    assert (method["persons"]["kind"], method["persons"]["people"]) == ("finder", "one")
    assert method["smoothing"] == "sides, gaps, Butterworth"
    assert method["skeleton"] == "body19"
    lefts = np.array([row["bbox"][0] for row in rows])
    assert np.diff(lefts).mean() == pytest.approx(10, abs=1.5)
    joints = document["categories"][0]["keypoints"]
    neck = joints.index("neck")
    truth = json.loads((EXAMPLES / "joints.json").read_text())
    (number,) = (p["id"] for p in truth["images"] if p["file_name"] == "standing.jpg")
    (row,) = (row for row in truth["annotations"] if row["image_id"] == number)
    true_neck = np.array(row["keypoints"]).reshape(14, 3)[12, :2] * 135 / 672
    found = np.reshape([row["keypoints"] for row in rows], (9, 19, 3))[:, neck, :2]
    expected = true_neck + [[10 * n, 6] for n in range(9)]
    assert np.abs(found - expected).max() < 8
    check_tables(output, document, joints)
    markers = [line.split("\t") for line in output.with_suffix(".trc").read_text().splitlines()[6:]]
    assert [float(row[1]) for row in markers] == pytest.approx([t / 1000 for t in times])
    at = np.array([row[2 + 3 * neck :][:2] for row in markers], float)
    assert at * [1, -1] + [0, 191] == pytest.approx(found, abs=0.01)
    assert len(output.with_suffix(".mot").read_text().splitlines()) == 7 + 9


def read(path: Path) -> dict[str, Any]:
    return check_result(json.loads(path.read_text()))


def check_tables(output: Path, document: dict[str, Any], joints: list[str]) -> None:
    """Joints and angles stand beside the video, a row each, and the angles can be drawn."""
    with output.with_suffix(".csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [(row["frame"], row["joint"]) for row in rows] == [
        (str(n), joint) for n in range(9) for joint in joints
    ]
    assert {row["source"] for row in rows} == {"my walk.mp4"}
    last = np.reshape(document["annotations"][-1]["keypoints"], (-1, 3))
    of_last = rows[-len(joints) :]
    assert [[float(row["x"]), float(row["y"])] for row in of_last] == last[:, :2].tolist()
    assert {float(row["time"]) for row in of_last} == {document["images"][-1]["time"]}
    table = output.with_suffix(".angles.csv")
    times, found = read_angles(table)
    assert times.tolist() == [frame["time"] for frame in document["images"]]
    trunk = found.names.index("trunk")
    assert np.abs(found.degrees[:, trunk]).max() < 15  # upright
    assert (found.low[:, trunk] < 0).all() and (found.high[:, trunk] > 0).all()
    runner = CliRunner()
    drawn = runner.invoke(app, ["figure", "angles", str(table), "-o", str(output.parent / "a.png")])
    assert drawn.exit_code == 0, drawn.output
    assert read_image(output.parent / "a.png").shape[0] > 600
    again, of_json = result_angles(output.with_suffix(".json"))
    assert again.tolist() == times.tolist() and of_json.names == found.names
    sure = found.scores >= 0.9
    assert np.abs(of_json.degrees - found.degrees)[sure].max() < 0.1
    wrong = runner.invoke(app, ["figure", "angles", str(table), "-o", str(output.parent / "b.png"),
                                "--angle", "left_toe"])  # fmt: skip
    assert isinstance(wrong.exception, UserError) and "--angle left_toe: not in" in str(
        wrong.exception
    )


def test_joints_alone_and_one_person_a_box(
    tmp_path: Path, clip: Path, tiny_checkpoint: Path
) -> None:
    target = tmp_path / "joints.json"
    video(clip, json_path=target, box=["0,0,30,40", "30,5,60,45"], model=str(tiny_checkpoint),
          device="cpu", raw=True)  # fmt: skip
    assert {path.name for path in tmp_path.iterdir()} == {"my clip.mp4", "joints.json"}
    document = read(target)
    assert document["info"]["method"]["smoothing"] is None
    assert document["info"]["method"]["persons"]["name"] == "0,0,30,40 30,5,60,45"
    assert len(document["images"]) == 4
    assert {row["track_id"] for row in document["annotations"]} <= {0, 1}
    with pytest.raises(typer.BadParameter, match="--box 1,2"):
        video(clip, json_path=target, box=["1,2"], force=True)
    with pytest.raises(UserError, match="outside the picture of 64 x 48"):
        video(clip, json_path=target, box=["90,0,99,40"], model=str(tiny_checkpoint), force=True)
    assert json.loads(target.read_text()) == document


def test_joints_to_the_standard_output(
    clip: Path, tiny_checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    video(clip, json_path=Path("-"), model=str(tiny_checkpoint), device="cpu")
    captured = capsys.readouterr()
    assert len(check_result(json.loads(captured.out))["images"]) > 1
    assert "-> standard output: " in captured.err
    assert not Path("-").exists()


def test_without_o_the_results_go_where_those_of_predict_go(
    clip: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(clip.parent)
    video(Path(clip.name), model=str(tiny_checkpoint), device="cpu")
    assert {path.name for path in Path("poses").iterdir()} == {
        "my clip.pose.mp4", "my clip.pose.json"
    }  # fmt: skip


def test_nothing_of_the_users_is_overwritten(
    tmp_path: Path, clip: Path, tiny_checkpoint: Path
) -> None:
    mine = tmp_path / "out.mp4"
    mine.write_text("precious")
    for taken in (mine, mine.with_suffix(".json")):
        taken.write_text("precious")
        with pytest.raises(UserError, match=f"{taken.name}: already exists; --force"):
            video(clip, mine)
        taken.unlink()
    before = clip.read_bytes()
    link = tmp_path / "link.mp4"
    link.symlink_to(clip)
    for same in (clip, link):
        with pytest.raises(UserError, match="must be another file than the video to read"):
            video(clip, same, force=True)
    with pytest.raises(UserError, match="must be another file than -o"):
        video(clip, tmp_path / "a.mp4", json_path=tmp_path / "a.mp4")
    with pytest.raises(UserError, match=r"out\.gif: not a kind of video"):
        video(clip, tmp_path / "out.gif")
    folder = Path("/proc") if os.geteuid() == 0 else tmp_path / "locked"
    if folder != Path("/proc"):
        folder.mkdir(0o500)
    with pytest.raises(UserError, match="cannot write here"):
        video(clip, folder / "out" / "out.mp4")
    assert clip.read_bytes() == before


def test_the_video_that_plays_the_cameras_part_is_not_recorded_over(clip: Path) -> None:
    before = clip.read_bytes()
    link = clip.with_name("link.mp4")
    link.symlink_to(clip)
    for same in (clip, link):
        with pytest.raises(UserError, match="-o must be another file than the video to play"):
            webcam(source=clip, output=same, port=0, force=True)
        with pytest.raises(UserError, match="--json must be another file than the video to play"):
            webcam(source=clip, json_path=same, port=0, force=True)
    with pytest.raises(typer.BadParameter, match="--json -: wanted a file"):
        webcam(json_path=Path("-"))
    assert clip.read_bytes() == before


def test_what_cannot_be_read_leaves_no_files_and_one_line(tmp_path: Path) -> None:
    (tmp_path / "in.mp4").write_text("no video")
    done = spcnet("video", tmp_path / "in.mp4", "-o", tmp_path / "out.mp4")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("spcnet: error:") and "not a video that can be read" in line
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_of_a_video_that_was_cut_the_beginning_is_done(
    tmp_path: Path, tiny_checkpoint: Path
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (10, 48, 64, 3), dtype=np.uint8)
    whole = make_video(tmp_path / "whole.mp4", list(noise), gop_size=2)
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole.read_bytes()[: int(0.6 * whole.stat().st_size)])
    told = (
        r"cut\.mp4: cut short: the last [\d,]+ bytes of the file are missing; the results hold \d "
    )
    with pytest.raises(UserError, match=told):
        video(cut, tmp_path / "out.mp4", model=str(tiny_checkpoint), device="cpu")
    with VideoReader(tmp_path / "out.mp4") as made:
        shown = len(list(made.frames()))
    frames = read(tmp_path / "out.json")["images"]
    assert 1 < shown == len(frames) < 10


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
def test_a_disk_that_is_full_is_told_of_the_file_it_was_full_for(
    tmp_path: Path, clip: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    as_it_is = Path.open

    def full(path: Path, *arguments: Any, **settings: Any) -> Any:
        if "joints.json" not in path.name:
            return as_it_is(path, *arguments, **settings)
        return as_it_is(Path("/dev/full"), *arguments, **settings)

    monkeypatch.setattr(Path, "open", full)
    long = {"images": [{"id": 1, "long": "x" * 100_000}], "annotations": []}
    monkeypatch.setattr(FramePoses, "to_coco", lambda frame, video, size: long)
    with pytest.raises(UserError, match=r"joints\.json: cannot be written: No space left"):
        video(clip, tmp_path / "out.mp4", tmp_path / "joints.json", model=str(tiny_checkpoint))


def test_times_that_jump_back_are_mended_and_told(
    tmp_path: Path, tiny_checkpoint: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "joined.ts"
    source.write_bytes(make_video(source, plain_pictures(15)).read_bytes() * 2)
    video(source, json_path=tmp_path / "joints.json", model=str(tiny_checkpoint), device="cpu")
    frames = read(tmp_path / "joints.json")["images"]
    assert [frame["time"] for frame in frames] == pytest.approx([n / 10 for n in range(30)])
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "warning" in line]
    assert "joined.ts: its times jump back once," in line


def test_ctrl_c_keeps_the_frames_so_far(tmp_path: Path, tiny_checkpoint: Path) -> None:
    source = make_video(tmp_path / "in.mp4", plain_pictures(1) * 600, sound="aac")
    output = tmp_path / "out.mp4"
    command = [*COMMAND, "video", source, "-o", output, "--model", tiny_checkpoint]
    with subprocess.Popen(list(map(str, command)), stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if line.startswith("model"):
                process.send_signal(signal.SIGINT)
                break
        told = process.stderr.read()
    assert process.returncode == 1
    assert "stopped after" in told and "Traceback" not in told
    with VideoReader(output) as made:
        shown = len(list(made.frames()))
    frames = read(output.with_suffix(".json"))["images"]
    assert 0 < shown == len(frames) < 600
    assert not list(tmp_path.glob(".*"))


def test_progress_tells_the_time_left_or_only_counts(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with progress("frames", 20) as report:
        for n in range(1, 21):
            report(n)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "frames: 2 of 20, 0:00:00 left" and len(lines) == 10
    with progress("frames", None) as report:
        for n in range(1, 251):
            report(n)
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == ["frames: 100", "frames: 200"]
    clock = iter(range(1000))  # a second passes with each thing done
    monkeypatch.setattr("spcnet.cli.console.time.monotonic", lambda: next(clock))
    for total, first in ((300, "of 300, 0:04:58 left"), (None, ", 1.0 per second")):
        with progress("frames", total) as report:
            for n in range(1, 61):
                report(n)
        lines = capsys.readouterr().err.splitlines()
        assert lines[0] == f"frames: 2{' ' if total else ''}{first}"
        assert len(lines) == (3 if total else 1)


@pytest.fixture
def live(clip: Path, tiny_checkpoint: Path) -> Iterator[tuple[subprocess.Popen[str], str, Path]]:
    """The command with a video that plays the camera's part; its page; what it records."""
    record = clip.with_name("record.mp4")
    process = subprocess.Popen(
        [*COMMAND, "webcam", "--source", str(clip), "--port", "0", "-o", str(record),
         "--model", str(tiny_checkpoint), "--device", "cpu"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout is not None and process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith("http://127.0.0.1:"), process.stderr.read()
        yield process, line.split()[0], record
        process.kill()


def test_the_webcams_page_shows_jpegs_until_ctrl_c(
    live: tuple[subprocess.Popen[str], str, Path],
) -> None:
    process, page, record = live
    with urlopen(page, timeout=20) as answer:
        text = answer.read().decode()
        assert 'src="stream"' in text and text.count("http") == 0  # nothing from elsewhere
    with urlopen(f"{page}stream", timeout=20) as stream:
        assert stream.headers.get_content_type() == "multipart/x-mixed-replace"
        for _ in range(3):
            assert stream.readline() == b"--picture\r\n"
            assert stream.readline() == b"Content-Type: image/jpeg\r\n"
            length = int(stream.readline().split()[1])
            assert stream.readline() == b"\r\n"
            picture = cv2.imdecode(np.frombuffer(stream.read(length), np.uint8), cv2.IMREAD_COLOR)
            assert picture.shape == (48, 64, 3)
            assert stream.readline() == b"\r\n"
    for url, headers, status in (
        (page, {"Host": "elsewhere.example:80"}, 403),
        (f"{page}etc/passwd", {}, 404),
    ):
        with pytest.raises(HTTPError) as refused:
            urlopen(Request(url, headers=headers), timeout=20)
        assert refused.value.code == status
        refused.value.close()
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0
    assert process.stderr is not None and "Traceback" not in process.stderr.read()
    with VideoReader(record) as made:
        times = [time for time, _ in made.frames()]
    assert len(times) >= 3 and times[0] == 0 and (np.diff(times) > 0).all()


def test_what_was_recorded_is_kept_when_the_camera_is_unplugged(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cv2, "VideoCapture", lambda number: Unplugged(4))
    with pytest.raises(UserError, match="camera 2 gives no more pictures"):
        webcam(camera=2, port=0, output=tmp_path / "r.mkv", json_path=tmp_path / "r.json",
               model=str(tiny_checkpoint), smooth=True)  # fmt: skip
    with VideoReader(tmp_path / "r.mkv") as made:
        pictures = [picture for _, picture in made.frames()]
    assert 1 <= len(pictures) <= 4
    document = read(tmp_path / "r.json")
    assert document["videos"] == [{"id": 1, "name": "camera 2", "width": 64, "height": 48}]
    assert [image["frame_id"] for image in document["images"]] == list(range(len(pictures)))
    assert document["info"]["method"]["smoothing"] == "one-euro"
    red, _, blue = pictures[0][2:6, 2:6].reshape(-1, 3).mean(axis=0)
    assert red > 150 and blue < 60  # the camera's blue-green-red is converted


def test_what_keeps_it_from_recording_is_told_as_it_is_and_before_the_camera(
    tmp_path: Path, tiny_checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = tmp_path / "r.mp4"
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "av", None)
        without.delitem(sys.modules, "spcnet.media.video_files")
        with pytest.raises(UserError, match=r"needs av: pip install 'spcnet\[video\]'"):
            webcam(camera=97, port=0, output=record)
    with monkeypatch.context() as without:
        without.setattr(av, "codecs_available", set())
        with pytest.raises(UserError, match=r"\.mp4 needs the encoder libx264"):
            webcam(camera=97, port=0, output=record)

    def broken(*arguments: object, **settings: object) -> None:
        raise UserError("the encoder has a cold")

    monkeypatch.setattr(cv2, "VideoCapture", lambda number: Unplugged(4))
    monkeypatch.setattr(VideoWriter, "__init__", broken)
    with pytest.raises(UserError, match="the encoder has a cold"):
        webcam(port=0, output=record, model=str(tiny_checkpoint), device="cpu")
    assert not list(tmp_path.glob("*.mp4"))


class Unplugged:
    """A camera that shows a red picture a few times and then nothing."""

    def __init__(self, count: int) -> None:
        self.left = count

    def isOpened(self) -> bool:
        return True

    def read(self) -> tuple[bool, np.ndarray | None]:
        self.left -= 1
        red = np.zeros((48, 64, 3), dtype=np.uint8)
        red[:, :, 2] = 200
        return (True, red) if self.left >= 0 else (False, None)

    def release(self) -> None:
        pass


def test_a_camera_that_is_not_there_and_a_port_that_is_taken_are_told(
    tiny_checkpoint: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserError, match="camera 97 cannot be opened: it is not there"):
        webcam(camera=97, port=0, model=str(tiny_checkpoint), device="cpu")
    assert "WARN" not in capfd.readouterr().err
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        told = f"cannot listen on 127.0.0.1:{port}: .*; --port 0 takes a free port"
        with pytest.raises(UserError, match=told):
            webcam(camera=97, port=port)


@pytest.mark.parametrize("command", ["video", "webcam"])
def test_help_has_an_example(command: str) -> None:
    shown = CliRunner().invoke(app, [command, "--help"])
    assert shown.exit_code == 0
    assert f"Example: spcnet {command}" in " ".join(shown.output.split())


def test_how_many_people_and_who_finds_them(tmp_path: Path, clip: Path) -> None:
    for wrong in ("0", "two", "-1"):
        with pytest.raises(typer.BadParameter, match=f"--people {wrong}: wanted one, all, or a"):
            video(clip, people=wrong)
    with pytest.raises(typer.BadParameter, match="use one of --box, --detector and --finder"):
        video(clip, box=["0,0,9,9"], detector=tmp_path / "a.onnx")
    with pytest.raises(typer.BadParameter, match="--people goes without --box"):
        video(clip, box=["0,0,9,9"], people="2")
    with pytest.raises(UserError, match=r"a\.onnx: "):
        video(clip, people="2", detector=tmp_path / "a.onnx")
    assert not (tmp_path / "poses").exists()


def test_a_wrong_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        typer.BadParameter, match="--save csw: 'csw' is none of json, csv, angles, trc, mot, c3d"
    ):
        video(tmp_path / "clip.mp4", save="csw")
    with pytest.raises(UserError, match="bvh: needs the rotations of bones in space"):
        video(tmp_path / "clip.mp4", save="csv,bvh")
    with pytest.raises(
        typer.BadParameter, match="--save goes with a file for the joints: -o, or --json FILE"
    ):
        video(tmp_path / "clip.mp4", json_path=Path("-"), save="csv")

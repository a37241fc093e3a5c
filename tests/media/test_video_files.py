import importlib
import itertools
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from conftest import EXAMPLES
from making_videos import make_sound, make_video, packets, plain_pictures

from spcnet.errors import UserError
from spcnet.media.video_files import KINDS, VideoReader, VideoWriter, check_suffix

UNEVEN = [0, 33, 67, 70, 200, 201, 350, 777, 800, 1234]


def copy(source: Path, target: Path) -> VideoWriter:
    """Read a video and write it again."""
    with (
        VideoReader(source) as video,
        VideoWriter(
            target, target.suffix, video.size,
            time_base=video.time_base, rate=video.rate, like=video,
        ) as writer,
    ):  # fmt: skip
        for time, picture in video.frames(writer.copy_sound):
            writer.write(picture, time)
        assert video.fault == ""
    return writer


def read(path: Path) -> tuple[list[float], list[np.ndarray]]:
    with VideoReader(path) as video:
        times, pictures = zip(*video.frames(), strict=True)
    return list(times), list(pictures)


@pytest.mark.parametrize("suffix", KINDS)
def test_uneven_times_and_the_pictures_are_kept(tmp_path: Path, suffix: str) -> None:
    pictures = plain_pictures(len(UNEVEN))
    source = make_video(tmp_path / "a:b in.mp4", pictures, times=UNEVEN)
    copy(source, tmp_path / f"out{suffix}")
    times, found = read(tmp_path / f"out{suffix}")
    assert times == pytest.approx([time / 1000 for time in UNEVEN], abs=0.0005)
    assert len(found) == len(pictures)
    assert np.abs(np.stack(found).astype(int) - pictures).mean() < 3


def test_sound_is_copied_byte_for_byte(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", plain_pictures(8), sound="aac")
    before = packets(source, "audio")
    assert len(before) > 10
    for suffix in (".mp4", ".mov"):
        assert copy(source, tmp_path / f"out{suffix}").left_out == []
        assert packets(tmp_path / f"out{suffix}", "audio") == before
    copy(source, tmp_path / "out.mkv")
    assert [data for _, data in packets(tmp_path / "out.mkv", "audio")] == [d for _, d in before]


def test_sound_that_the_container_cannot_hold_is_left_out_and_told(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.mp4", plain_pictures(3), sound="aac")
    assert copy(source, tmp_path / "out.webm").left_out == ["aac"]
    assert packets(tmp_path / "out.webm", "audio") == []
    assert len(read(tmp_path / "out.webm")[0]) == 3


def test_times_of_a_broadcast_count_from_its_start(tmp_path: Path) -> None:
    source = make_video(tmp_path / "in.ts", plain_pictures(5), sound="aac")
    with av.open(str(source)) as container:
        begin = container.start_time / 1e6
        video_begin = float(container.streams.video[0].start_time / 90_000)
    assert begin > 0.05
    times, _ = read(source)
    assert times == pytest.approx([video_begin - begin + n / 10 for n in range(5)], abs=1e-4)
    copy(source, tmp_path / "out.mp4")
    assert packets(tmp_path / "out.mp4", "audio")[0][0] == pytest.approx(0, abs=1e-4)
    assert read(tmp_path / "out.mp4")[0] == pytest.approx(times, abs=1e-4)


@pytest.mark.parametrize("sound", [None, "aac"])
def test_the_parts_of_joined_recordings_follow_one_another(
    tmp_path: Path, sound: str | None
) -> None:
    part = make_video(tmp_path / "part.ts", plain_pictures(25), sound=sound).read_bytes()
    joined = tmp_path / "joined.ts"
    joined.write_bytes(part * 3)
    with VideoReader(joined) as video:
        times = np.array([time for time, _ in video.frames()])
        assert video.restarts == 2
    steps = np.diff(times)
    assert len(times) == 75
    assert np.delete(steps, [24, 49]) == pytest.approx(0.1, abs=1e-4)
    # A part begins where pictures and sound have both ended.
    assert steps[[24, 49]] == pytest.approx(0.1, abs=0.07 if sound else 1e-4)
    copy(joined, tmp_path / "out.mp4")
    assert read(tmp_path / "out.mp4")[0] == pytest.approx(times, abs=1e-4)
    heard = [time for time, _ in packets(tmp_path / "out.mp4", "audio")]
    assert np.diff(heard) == pytest.approx(0.064, abs=0.065)  # seldom one that is left out
    assert len(heard) == 0 or heard[-1] == pytest.approx(times[-1], abs=0.2)


ORIENTATIONS = [
    (a, b, c, d)
    for (a, d), (b, c) in (
        *itertools.product(itertools.product((1, -1), repeat=2), [(0, 0)]),
        *itertools.product([(0, 0)], itertools.product((1, -1), repeat=2)),
    )
]


@pytest.mark.parametrize("orientation", ORIENTATIONS, ids=str)
def test_every_display_matrix_is_honoured(
    tmp_path: Path, orientation: tuple[int, int, int, int]
) -> None:
    stored = plain_pictures(2, (48, 80))
    stored[0][-10:, :30] = (30, 30, 230)  # the corner below the red one is blue
    a, b, c, d = orientation
    one = 1 << 16
    matrix = [a * one, b * one, 0, c * one, d * one, 0, 0, 0, 1 << 30]
    source = make_video(tmp_path / "in.mp4", stored, matrix=matrix)
    ys, xs = np.mgrid[:48, :80]
    across, down = a * xs + c * ys, b * xs + d * ys  # the definition of the matrix
    across, down = across - across.min(), down - down.min()
    upright = np.empty((down.max() + 1, across.max() + 1, 3), dtype=np.uint8)
    upright[down, across] = stored[0]
    with VideoReader(source) as video:
        assert video.size == upright.shape[:2]
        _, first = next(video.frames())
    assert np.abs(first.astype(int) - upright).mean() < 4
    copy(source, tmp_path / "out.mp4")
    with VideoReader(tmp_path / "out.mp4") as video:
        _, again = next(video.frames())
    assert np.abs(again.astype(int) - upright).mean() < 5
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert "DISPLAYMATRIX" not in next(container.decode(video=0)).side_data


def test_odd_sizes_keep_every_pixel(tmp_path: Path) -> None:
    pictures = plain_pictures(2, (41, 63))
    with VideoWriter(tmp_path / "o.mkv", ".mkv", (41, 63), time_base=Fraction(1, 10)) as writer:
        for n, picture in enumerate(pictures):
            writer.write(picture, n / 10)
    _, found = read(tmp_path / "o.mkv")
    assert found[0].shape == (42, 64, 3)
    assert np.abs(found[0][:41, :63].astype(int) - pictures[0]).mean() < 3


def test_colours_are_those_of_the_videos_own_space(tmp_path: Path) -> None:
    yuv = np.empty((72, 64), dtype=np.uint8)
    yuv[:48], yuv[48:60], yuv[60:] = 63, 102, 240  # red, by BT.709
    red = av.VideoFrame.from_ndarray(yuv, format="yuv420p")
    red.colorspace, red.color_range = 1, 1
    tags = {"colorspace": 1, "color_range": 1, "color_primaries": 1, "color_trc": 1}
    source = make_video(tmp_path / "in.mp4", [red], **tags)
    _, (picture,) = read(source)
    assert picture.reshape(-1, 3).mean(axis=0) == pytest.approx([255, 0, 0], abs=4)
    copy(source, tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        frame = next(container.decode(video=0))
        assert (frame.colorspace, frame.color_primaries, frame.color_trc) == (1, 1, 1)
        planes = frame.to_ndarray()
    assert [planes[:48].mean(), planes[48:60].mean(), planes[60:].mean()] == pytest.approx(
        [63, 102, 240], abs=3
    )


def test_the_shape_of_pixels_is_kept_and_turns_with_the_picture(tmp_path: Path) -> None:
    quarter = [0, 1 << 16, 0, -1 << 16, 0, 0, 0, 0, 1 << 30]
    for matrix, aspect in ((None, Fraction(16, 11)), (quarter, Fraction(11, 16))):
        source = make_video(
            tmp_path / "in.mp4", plain_pictures(2), matrix=matrix,
            sample_aspect_ratio=Fraction(16, 11),
        )  # fmt: skip
        copy(source, tmp_path / "out.mp4")
        with VideoReader(tmp_path / "out.mp4") as video:
            assert video.pixel_aspect == aspect


def test_how_many_frames_there_should_be_is_known_or_estimated(tmp_path: Path) -> None:
    for suffix in (".mp4", ".mkv"):
        with VideoReader(make_video(tmp_path / f"v{suffix}", plain_pictures(12))) as video:
            assert video.expected == 12


@pytest.mark.parametrize(
    ("suffix", "share", "least"), [(".mp4", 0.6, 6), (".mkv", 0.6, 6), (".mkv", 0.95, 16)]
)
def test_of_a_file_that_was_cut_the_beginning_is_read_and_the_fault_told(
    tmp_path: Path, suffix: str, share: float, least: int
) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (20, 48, 64, 3), dtype=np.uint8)
    whole = make_video(tmp_path / f"whole{suffix}", list(noise), gop_size=2)
    cut = tmp_path / f"cut{suffix}"
    cut.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    with VideoReader(cut) as video:
        frames = list(video.frames())
        assert "cut short: " in video.fault
    assert least <= len(frames) < 20


def test_what_an_edit_list_leaves_out_is_not_missed(tmp_path: Path) -> None:
    """As in a video that was trimmed on the phone: its first frames are there, but not shown."""
    times = [100 * n - 400 for n in range(12)]
    path = make_video(tmp_path / "in.mp4", plain_pictures(12), times=times, gop_size=2)
    with VideoReader(path) as video:
        assert video.expected == 8
        assert [time for time, _ in video.frames()] == pytest.approx([n / 10 for n in range(8)])
        assert video.fault == ""


def test_a_damaged_picture_is_passed_over_and_told(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (9, 32, 32, 3), dtype=np.uint8)
    path = make_video(tmp_path / "v.mov", list(noise), encoder="png", pix_fmt="rgb24")
    data = bytearray(path.read_bytes())
    fourth = [n for n in range(len(data)) if data.startswith(b"\x89PNG", n)][3]
    data[fourth : fourth + 64] = bytes(64)
    path.write_bytes(data)
    with VideoReader(path) as video:
        times = [time for time, _ in video.frames()]
        assert video.fault == "damaged: 1 of its 9 frames cannot be decoded"
    assert times == pytest.approx([n / 10 for n in range(9) if n != 3])


def test_what_is_no_video_is_told(tmp_path: Path) -> None:
    (tmp_path / "text.mp4").write_text("no video\n" * 50)
    (tmp_path / "text.txt").write_text("no video\n" * 50)
    (tmp_path / "empty.mp4").touch()
    whole = make_video(tmp_path / "whole.mp4", plain_pictures(3)).read_bytes()
    (tmp_path / "head.mp4").write_bytes(whole[:200])
    make_sound(tmp_path / "song.m4a")
    told = {
        "missing.mp4": "no such file",
        ".": "is a folder",
        "text.mp4": "not a video that can be read",
        "text.txt": "is a text, not a video",
        "empty.mp4": r"empty \(0 bytes\)",
        "head.mp4": "only the first part of a video",
        "song.m4a": "holds sound only",
    }
    for name, text in told.items():
        with pytest.raises(UserError, match=text):
            VideoReader(tmp_path / name)
    with pytest.raises(UserError, match="`spcnet predict` takes pictures"):
        VideoReader(EXAMPLES / "lunge.jpg")


def test_a_video_without_a_single_picture_is_told(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (1, 32, 32, 3), dtype=np.uint8)
    path = make_video(tmp_path / "v.mov", list(noise), encoder="png", pix_fmt="rgb24")
    data = bytearray(path.read_bytes())
    begin = data.index(b"\x89PNG")
    data[begin : begin + 64] = bytes(64)
    path.write_bytes(data)
    with pytest.raises(UserError, match="none of its pictures can be decoded"):
        VideoReader(path)


def test_only_kinds_that_can_be_written_are_accepted() -> None:
    check_suffix(Path("OUT.MP4"))
    with pytest.raises(UserError, match=r"\.mp4, \.m4v, \.mov, \.mkv, \.webm"):
        check_suffix(Path("out.avi"))


def test_without_pyav_the_remedy_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    monkeypatch.delitem(sys.modules, "spcnet.media.video_files")
    with pytest.raises(UserError, match=r"needs av: pip install 'spcnet\[video\]'"):
        importlib.import_module("spcnet.media.video_files")


def test_frames_are_counted_where_the_file_does_not_say_how_long_it_is(tmp_path: Path) -> None:
    """As in what a browser records: a WebM whose head was never gone back to."""
    path = tmp_path / "recorded.webm"
    with av.open(str(path), "w", format="webm", options={"live": "1"}) as made:
        track = made.add_stream("libvpx", rate=10)
        track.height, track.width, track.pix_fmt = 48, 64, "yuv420p"
        for picture in plain_pictures(7):
            made.mux(track.encode(av.VideoFrame.from_ndarray(picture)))
        made.mux(track.encode(None))
    with av.open(str(path)) as opened:
        assert opened.duration is None
    with VideoReader(path) as video:
        assert video.expected == 7 == len(list(video.frames()))

from pathlib import Path

import av
import numpy as np
import pytest
from making_videos import make_video, plain_pictures

from spcnet.media.containers import missing_bytes

FRAGMENTS = {"movflags": "frag_keyframe+empty_moov"}


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm", ".avi"])
def test_every_cut_is_seen_to_the_byte(tmp_path: Path, suffix: str) -> None:
    codec = {"encoder": "libvpx-vp9"} if suffix == ".webm" else {}
    whole = make_video(tmp_path / f"whole{suffix}", plain_pictures(6), **codec).read_bytes()
    path = tmp_path / f"cut{suffix}"
    for left_out in (0, 1, 40, len(whole) // 20):
        path.write_bytes(whole[: len(whole) - left_out])
        assert missing_bytes(path) == left_out


def test_of_a_fragmented_file_the_last_fragment_tells(tmp_path: Path) -> None:
    path = tmp_path / "v.mp4"
    with av.open(str(path), "w", options=FRAGMENTS) as container:
        track = container.add_stream("libx264", rate=10, options={"g": "2"})
        track.width = track.height = 32
        for picture in np.random.default_rng(0).integers(0, 255, (8, 32, 32, 3), dtype=np.uint8):
            container.mux(track.encode(av.VideoFrame.from_ndarray(picture)))
        container.mux(track.encode(None))
    whole = path.read_bytes()
    assert missing_bytes(path) == 0
    path.write_bytes(whole[: whole.rindex(b"mdat") + 100])
    assert 0 < missing_bytes(path) < len(whole)


def test_what_does_not_tell_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "v"
    whole = make_video(tmp_path / "v.mkv", plain_pictures(3)).read_bytes()
    at = whole.index(b"\x18\x53\x80\x67") + 4
    unknown = whole[:at] + b"\x01" + b"\xff" * 7 + whole[at + 8 :]
    video = make_video(tmp_path / "v.mp4", plain_pictures(3)).read_bytes()
    texts = [b"", b"no video", b"\x1a\x45\xdf\xa3", b"RIFF", b"RIFF" + bytes(8), unknown[:-50]]
    for data in (*texts, video + b"a camera's own" * 9, bytes(4) + b"mdat" + bytes(90)):
        path.write_bytes(data)
        assert missing_bytes(path) == 0

"""Small videos for tests: known pictures at known times, with or without sound."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

SAMPLES = 16_000  # of sound a second


def make_video(
    path: Path,
    pictures: Sequence[np.ndarray],
    *,
    times: Sequence[int] | None = None,
    sound: str | None = None,
    matrix: Sequence[int] | None = None,
    encoder: str = "libx264",
    pix_fmt: str = "yuv420p",
    **settings: Any,
) -> Path:
    """Write RGB pictures (or PyAV's own) at times in milliseconds, by default ten a second."""
    times = times or [100 * n for n in range(len(pictures))]
    with av.open(f"file:{path}", "w", options={"movflags": "faststart"}) as container:
        video = container.add_stream(encoder, rate=10)
        first = pictures[0]
        frame = isinstance(first, av.VideoFrame)
        video.height, video.width = (first.height, first.width) if frame else first.shape[:2]
        video.pix_fmt = pix_fmt
        video.codec_context.time_base = Fraction(1, 1000)
        for name, value in settings.items():
            setattr(video.codec_context, name, value)
        if matrix is not None:
            video.set_display_matrix(matrix)
        track = None
        if sound is not None:
            track = container.add_stream(sound, rate=SAMPLES)
            track.layout = "mono"
        for picture, time in zip(pictures, times, strict=True):
            frame = picture
            if not isinstance(frame, av.VideoFrame):
                frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture))
            frame.pts, frame.time_base = time, Fraction(1, 1000)
            container.mux(video.encode(frame))
        if track is not None:
            for heard in sine((times[-1] + 100) / 1000, track):
                container.mux(track.encode(heard))
            container.mux(track.encode(None))
        container.mux(video.encode(None))
    return path


def sine(seconds: float, track: Any) -> list[Any]:
    """Frames of a tone as an encoder takes them."""
    wave = np.sin(np.arange(int(seconds * SAMPLES)) / 6).astype(np.float32) / 2
    whole = av.AudioFrame.from_ndarray(wave[None], format="fltp", layout="mono")
    whole.sample_rate, whole.pts = SAMPLES, 0
    resampler = av.AudioResampler(format=track.codec_context.format, layout="mono", rate=SAMPLES)
    return resampler.resample(whole)


def make_sound(path: Path) -> Path:
    """A tone without pictures."""
    with av.open(str(path), "w") as container:
        track = container.add_stream("aac", rate=SAMPLES)
        track.layout = "mono"
        for heard in sine(0.5, track):
            container.mux(track.encode(heard))
        container.mux(track.encode(None))
    return path


def plain_pictures(count: int, size: tuple[int, int] = (48, 64)) -> list[np.ndarray]:
    """Pictures (height, width) with one red corner; each a little brighter than the one before."""
    pictures = []
    for n in range(count):
        picture = np.full((*size, 3), 60 + 4 * n, dtype=np.uint8)
        picture[: size[0] // 3, : size[1] // 3] = (230, 30, 30)
        pictures.append(picture)
    return pictures


def packets(path: Path, kind: str) -> list[tuple[float, bytes]]:
    """Time in seconds and bytes of the packets of a file's first track of a kind, by time."""
    with av.open(f"file:{path}") as container:
        tracks = getattr(container.streams, kind)
        found = [
            (float(packet.pts * packet.time_base), bytes(packet))
            for packet in (container.demux(tracks[0]) if tracks else [])
            if packet.pts is not None
        ]
    return sorted(found)

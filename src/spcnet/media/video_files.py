"""Video files: upright pictures with their times out, and in again with the sound as it was.

with VideoReader("in.mp4") as video:
    for time, picture in video.frames():
        ...
"""

import errno
import math
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import Self, TypeAlias, cast

import numpy as np

from spcnet.errors import UserError, needs_extra
from spcnet.files import check_file
from spcnet.geometry import Array
from spcnet.media.containers import missing_bytes
from spcnet.media.formats import TooManyPixels, clear_errors
from spcnet.media.limits import MAX_PIXELS

with needs_extra("video", "reading and writing videos"):
    import av
    from av.container import InputContainer
    from av.sidedata.sidedata import SideData
    from av.stream import Stream

Packet: TypeAlias = "av.Packet[Stream]"

H264 = ("libx264", {"crf": "18", "preset": "veryfast"})
VP9 = ("libvpx-vp9", {"crf": "28", "b": "0", "deadline": "realtime", "cpu-used": "6"})
# Of each suffix that can be written: the container, the encoder and its options.
KINDS: dict[str, tuple[str, str, dict[str, str]]] = {
    ".mp4": ("mp4", *H264),
    ".m4v": ("mp4", *H264),
    ".mov": ("mov", *H264),
    ".mkv": ("matroska", *H264),
    ".webm": ("webm", *VP9),
}
COLOURS = ("colorspace", "color_range", "color_trc", "color_primaries")
USUAL_RATE = Fraction(30)
HIGHEST_RATE = 1000  # frames a second; what claims more counts ticks, not frames
# What a stranger's file may be: of no container that names other files, and of usual decoders.
CONTAINERS = "mov,matroska,avi,mpegts"
DECODERS = "h264,hevc,av1,libdav1d,vp8,vp9,mpeg4,mpeg2video,mjpeg"
JUMP = 1.0  # seconds back from which on a clock began anew; frames are out of order by less


class VideoReader:
    """A video file that FFmpeg reads.

    Pictures are upright, by the display matrix that phones write; times count from the start of
    the file, as players show them; pictures that change their size are scaled to the first's. What
    is damaged is passed over. A `UserError` says why a file is no video.

    Args:
        path: of the file, or what errors call it if its `content` is given.
        content: of a stranger's file: one of `CONTAINERS` and `DECODERS`, in memory.
        max_pixels: of a picture; a larger one is a `TooManyPixels`.

    Attributes:
        size: (height, width) of the upright pictures.
        time_base: the seconds that times are multiples of.
        rate: frames a second, on average.
        pixel_aspect: width of a pixel over its height.
        colours: the stored pictures' `COLOURS`, as FFmpeg numbers them.
        expected: how many frames there should be; where the file does not say how long it is, they
            are counted, and None is of a file in which that fails.
        fault: what is wrong with the file, known once `frames` has ended; "" where all is well.
        restarts: how often its clock jumped back, as where recordings were joined.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        content: bytes | None = None,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self.path, self._content, self._max_pixels = Path(path), content, max_pixels
        self._container = _open_input(self.path, content)
        try:
            self._video = _video_track(self._container, self.path)
            decoder = self._video.codec_context
            if decoder is None:
                raise UserError(f"{self.path}: its pictures are of an unknown kind")
            self._check_size(decoder.width, decoder.height)
            if content is not None:  # pictures may grow on their way; some decode more than is seen
                most = {"max_pixels": str(2 * max_pixels)}
                decoder.options = {"codec_whitelist": DECODERS, **most}
            decoder.thread_type = "AUTO"
            rate = self._video.average_rate or self._video.guessed_rate or USUAL_RATE
            self.rate = rate if 0 < rate <= HIGHEST_RATE else USUAL_RATE
            self.time_base = self._video.time_base or 1 / USUAL_RATE
            self.sound = list(self._container.streams.audio)
            seconds = (self._video.duration or 0) * self.time_base
            seconds = seconds or Fraction(self._container.duration or 0, av.time_base)
            self.expected = max(1, round(seconds * self.rate)) if seconds else self._count()
            self.fault = ""
            self.restarts = 0
            start = Fraction(max(0, self._container.start_time or 0), av.time_base)
            self._shifts = [-start]  # seconds, of each part between two jumps of the clock
            self._end = Fraction(0)  # of what was read, in seconds from the start
            self._clocks: dict[int, tuple[int, int]] = {}  # of each track the last, and its part
            with clear_errors(f"{self.path}:"):
                self._describe()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def frames(
        self, take_sound: Callable[[Packet], None] | None = None
    ) -> Iterator[tuple[float, Array]]:
        """The times in seconds and upright RGB uint8 pictures (H, W, 3), once and in order.

        `take_sound` is given every packet of the sound tracks, in the order of the file and with
        times that count like those of the pictures.
        """
        step = max(1, round(1 / (self.rate * self.time_base)))
        height, width = self._stored_size
        last: int | None = None
        for item in self._items:
            if not isinstance(item, av.VideoFrame):
                if take_sound is not None:
                    take_sound(item)
                continue
            ticks = item.pts
            if ticks is None:
                ticks = 0 if last is None else last + step
            elif last is not None:
                ticks = max(ticks, last + 1)
            last = ticks
            picture = item.to_ndarray(format="rgb24", width=width, height=height)
            yield float(ticks * self.time_base), _upright(picture, self._matrix)

    def _count(self) -> int | None:
        """The frames by another reading of the file, in which none is decoded."""
        opened = suppress(UserError, av.FFmpegError)
        with opened, _open_input(self.path, self._content) as container:
            pictures = container.demux(_video_track(container, self.path))
            return sum(packet.size > 0 for packet in pictures) or None
        return None

    def _check_size(self, width: int, height: int) -> None:
        if width * height > self._max_pixels:
            raise TooManyPixels(f"{self.path}: {width} x {height} pixels is", self._max_pixels)

    def _describe(self) -> None:
        """Look at the first picture, which says which way up they are, and stays to be read."""
        items, before = self._read(), []
        for first in items:
            before.append(first)
            if isinstance(first, av.VideoFrame):
                break
        else:
            raise UserError(f"{self.path}: none of its pictures can be decoded")
        self._check_size(first.width, first.height)
        self._items = chain(before, items)
        self._stored_size = (first.height, first.width)
        self._matrix = _display_matrix(first)
        turned = _is_turned(self._matrix)
        self.size = self._stored_size[::-1] if turned else self._stored_size
        aspect = self._video.sample_aspect_ratio or Fraction(1)
        self.pixel_aspect = 1 / aspect if turned else aspect
        self.colours = {name: int(getattr(first, name)) for name in COLOURS}

    def _read(self) -> "Iterator[Packet | av.VideoFrame]":
        """Decoded pictures, and packets of sound as they stand."""
        packets = broken = missing = 0
        try:
            for packet in self._container.demux(self._video, *self.sound):
                self._place(packet)
                if packet.stream is not self._video:
                    if packet.dts is not None:  # what has none only ends the track
                        yield packet
                    continue
                packets += packet.size > 0
                try:
                    frames = packet.decode()
                except (av.FFmpegError, ValueError, MemoryError):
                    broken += 1
                    continue
                yield from (frame for frame in frames if isinstance(frame, av.VideoFrame))
        except av.FFmpegError as error:
            self.fault = f"cannot be read to its end ({error.strerror})"
            return
        with suppress(OSError, OverflowError):
            missing = missing_bytes(self.path, self._content)
        if missing:  # FFmpeg ends a file that was cut without a word
            self.fault = f"cut short: the last {missing:,} bytes of the file are missing"
        elif broken:
            self.fault = f"damaged: {broken} of its {packets} frames cannot be decoded"

    def _place(self, packet: Packet) -> None:
        """Have its times count from the start, or from the end of what came before a jump back.

        The tracks jump one after the other, and stay together because they share the shift.
        """
        first = packet.dts if packet.pts is None else packet.pts
        clock = packet.pts if packet.dts is None else packet.dts
        if first is None or clock is None:
            return
        track = packet.stream.index
        last, part = self._clocks.get(track, (clock, 0))
        if (last - clock) * packet.time_base > JUMP:
            part += 1
            if part > self.restarts:
                self.restarts = part
                self._shifts.append(self._end - first * packet.time_base)
        self._clocks[track] = clock, part
        shift = round(self._shifts[part] / packet.time_base)
        if packet.dts is not None:
            packet.dts += shift
        if packet.pts is not None:
            packet.pts += shift
            usual = 1 / self.rate if packet.stream is self._video else 0
            lasts = (packet.duration or 0) * packet.time_base or usual
            self._end = max(self._end, packet.pts * packet.time_base + lasts)


def check_suffix(path: Path) -> None:
    """Check that a video of this name can be written; a `UserError` says why not."""
    suffix = path.suffix.lower()
    if suffix not in KINDS:
        raise UserError(f"{path}: not a kind of video that can be written; {', '.join(KINDS)} are")
    _, encoder, _ = KINDS[suffix]
    if encoder not in av.codecs_available:
        text = f"{suffix} needs the encoder {encoder}, which this PyAV was built without"
        raise UserError(f"{text}; the one of `pip install av` has it")


class VideoWriter:
    """Writes a video file: H.264, or VP9 for WebM.

    The file is whole after `close`. Pictures of odd width or height get their last column or row
    twice, because the colour format that every player knows has even sizes only. `left_out` names
    the codecs of sound tracks that the container cannot hold. An `OSError` says why a file cannot
    be written, a `UserError` what `check_suffix` does.

    Args:
        path: the file that is written.
        suffix: one of `KINDS`, whatever the file is called for now.
        size: (height, width) of the pictures.
        time_base: the seconds that times are rounded to, where the container does no coarser.
        rate: frames a second, about.
        like: a video whose sound tracks, colours and shape of pixels are kept.
    """

    def __init__(
        self,
        path: Path,
        suffix: str,
        size: tuple[int, int],
        *,
        time_base: Fraction,
        rate: Fraction = USUAL_RATE,
        like: VideoReader | None = None,
    ) -> None:
        check_suffix(Path(f"video{suffix}"))
        container, encoder, options = KINDS[suffix.lower()]
        self._time_base = time_base
        self._colours = like.colours if like else {}
        self.left_out: list[str] = []
        self._tracks: dict[int, av.AudioStream] = {}  # for sound: the new one by the old's number
        self._heard: dict[int, float] = {}  # of each track the middle of its last packet
        # The index goes to the front, so that a page can play the file while it loads.
        first = {"movflags": "faststart"} if container in ("mp4", "mov") else {}
        with _as_os_errors():
            self._container = av.open(f"file:{path}", "w", format=container, options=first)
            video = self._container.add_stream(encoder, rate=rate, options=options)
            self._video = cast(av.VideoStream, video)
            self._video.height, self._video.width = (side + side % 2 for side in size)
            self._video.pix_fmt = "yuv420p"
            settings = self._video.codec_context
            settings.time_base = time_base
            if like is not None:
                settings.sample_aspect_ratio = like.pixel_aspect
            for name, value in self._colours.items():
                setattr(settings, name, value)
            for track in like.sound if like else []:
                try:
                    self._tracks[track.index] = self._container.add_stream_from_template(track)
                except ValueError:
                    self.left_out.append(track.codec_context.name)
            self._container.start_encoding()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if kind is None:
            self.close()
            return
        with suppress(Exception):  # nobody wants the file any more
            self._container.close()

    def write(self, picture: Array, time: float) -> None:
        """Add an RGB uint8 picture (H, W, 3), at a time in seconds after the one before."""
        height, width = picture.shape[:2]
        if height % 2 or width % 2:
            picture = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(
            format="yuv420p",
            dst_colorspace=self._colours.get("colorspace"),
            dst_color_range=self._colours.get("color_range"),
        )
        frame.pts = round(time / self._time_base)
        frame.time_base = self._time_base
        with _as_os_errors():
            self._container.mux(self._video.encode(frame))

    def copy_sound(self, packet: Packet) -> None:
        """Add a packet of sound of the video that this one is like, as it stands."""
        number = packet.stream.index
        track = self._tracks.get(number)
        if track is None or packet.dts is None or packet.dts <= self._heard.get(number, -math.inf):
            return  # no container takes one that overlaps the packet before
        self._heard[number] = packet.dts + (packet.duration or 0) / 2
        packet.stream = track
        with _as_os_errors():
            self._container.mux(packet)

    def close(self) -> None:
        """Finish the file."""
        with _as_os_errors():
            self._container.mux(self._video.encode(None))
            self._container.close()


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """What FFmpeg cannot write, as Python reports it."""
    try:
        yield
    except av.FFmpegError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error)) from None


def _open_input(path: Path, content: bytes | None = None) -> InputContainer:
    # The prefix keeps a name such as a:b.mp4 from being taken for an address.
    file: str | BytesIO = f"file:{path}" if content is None else BytesIO(content)
    allowed = {"format_whitelist": CONTAINERS, "codec_whitelist": DECODERS}
    if content is None:
        allowed = {}
        if path.is_dir():
            raise UserError(f"{path}: is a folder, not a video; name the video in it")
        check_file(path)
    try:
        container = av.open(file, "r", metadata_errors="replace", options=allowed)
    except (av.error.InvalidDataError, av.error.ArgumentError):
        text = "not a video that can be read, or only the first part of one"
        raise UserError(f"{path}: {text}") from None
    except (OSError, av.FFmpegError) as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    # FFmpeg takes a text for a terminal's screen, and a picture for a video of one frame.
    kind, found = container.format.name, ""
    if kind == "tty":
        found = "a text, not a video"
    elif kind == "image2" or kind.endswith("_pipe"):
        found = "a picture, not a video; `spcnet predict` takes pictures"
    if found:
        container.close()
        raise UserError(f"{path}: is {found}")
    return container


def _video_track(container: InputContainer, path: Path) -> av.VideoStream:
    """The first track of pictures; the cover of a piece of music is none."""
    for track in container.streams.video:
        if not track.disposition & track.disposition.attached_pic:
            return track
    if container.streams.audio:
        raise UserError(f"{path}: holds sound only; wanted a video")
    raise UserError(f"{path}: holds no pictures, or is only the first part of a video")


def _display_matrix(picture: av.VideoFrame) -> Array:
    """Where a stored picture's x and y axes point when it is shown: rows of (2, 2)."""
    data = picture.side_data.get("DISPLAYMATRIX")
    if not isinstance(data, SideData):
        return np.eye(2)
    matrix: Array = np.frombuffer(bytes(data), dtype=np.int32).reshape(3, 3)[:2, :2] / 65536
    return matrix


def _is_turned(matrix: Array) -> bool:
    """Whether width becomes height: by the nearest quarter turn."""
    return bool(np.abs(np.diag(matrix)).sum() < np.abs(np.diag(matrix[::-1])).sum())


def _upright(picture: Array, matrix: Array) -> Array:
    """A stored picture (H, W, 3) as it is to be seen."""
    if _is_turned(matrix):
        picture, matrix = picture.swapaxes(0, 1), matrix[::-1]
    across, down = np.diag(matrix)
    if across < 0:
        picture = picture[:, ::-1]
    if down < 0:
        picture = picture[::-1]
    return np.ascontiguousarray(picture)

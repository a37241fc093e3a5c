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
from itertools import chain
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeAlias

import numpy as np

from spcnet.errors import UserError, needs_extra
from spcnet.geometry import Array
from spcnet.media.containers import missing_bytes

if TYPE_CHECKING:
    from av import AudioStream, Packet, VideoFrame, VideoStream
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream

    AnyPacket: TypeAlias = Packet[Stream]
    Item: TypeAlias = AnyPacket | VideoFrame

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
JUMP = 1.0  # seconds back from which on a clock began anew; frames are out of order by less


class VideoReader:
    """A video file.

    Pictures are upright, by the display matrix that phones write; times count from the start of
    the file, as players show them; pictures that change their size are scaled to the first's. What
    is damaged is passed over.

    Args:
        path: any video file that FFmpeg reads.

    Attributes:
        path: of the file.
        size: (height, width) of the upright pictures.
        time_base: the seconds that times are multiples of.
        rate: frames a second, on average.
        pixel_aspect: width of a pixel over its height.
        colours: the stored pictures' colour space, range, transfer and primaries, as FFmpeg
            numbers them.
        expected: how many frames there should be, or None where the file does not tell.
        sound: the sound tracks.
        fault: what is wrong with the file, known once `frames` has ended; "" where all is well.
        restarts: how often its clock jumped back, as where recordings were joined; what comes
            after follows what came before.

    Raises:
        UserError: the file is missing, no video, or none of its pictures can be decoded; or PyAV
            is not installed.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._container = _open_input(self.path)
        try:
            self._video = _video_track(self._container, self.path)
            self._video.codec_context.thread_type = "AUTO"
            rate = self._video.average_rate or self._video.guessed_rate or USUAL_RATE
            self.rate = rate if 0 < rate <= HIGHEST_RATE else USUAL_RATE
            self.sound = list(self._container.streams.audio)
            self.fault = ""
            self.restarts = 0
            # The header counts frames that an edit list leaves out, too; older PyAV has no index.
            self._indexed = len(getattr(self._video, "index_entries", ()))
            self._packets = self._broken = 0
            self._end = 0.0
            self._shifts = [Fraction(0)]  # seconds, of each part between two jumps of the clock
            self._clocks: dict[int, tuple[int, int]] = {}  # of each track the last, and its part
            self._items = self._read()
            # Which way up the pictures are comes with the first of them.
            self._describe(self._peek())
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self._container.close()

    def frames(
        self, take_sound: "Callable[[AnyPacket], None] | None" = None
    ) -> Iterator[tuple[float, Array]]:
        """The pictures, once and in order.

        Args:
            take_sound: is given every packet of the sound tracks, in the order of the file and
                with times that count like those of the pictures.

        Yields:
            The time in seconds, and the upright RGB uint8 picture (H, W, 3).
        """
        import av

        start = round(self._start / self.time_base)
        step = max(1, round(1 / (self.rate * self.time_base)))
        height, width = self._stored_size
        last: int | None = None
        for item in self._items:
            if not isinstance(item, av.VideoFrame):
                if take_sound is not None:
                    take_sound(self._from_start(item))
                continue
            ticks = item.pts
            if ticks is None:
                ticks = start if last is None else last + step
            elif last is not None:
                ticks = max(ticks, last + 1)
            last = ticks
            picture = item.to_ndarray(format="rgb24", width=width, height=height)
            yield float((ticks - start) * self.time_base), _upright(picture, self._matrix)

    def _peek(self) -> "VideoFrame":
        """The first picture, which stays to be read."""
        import av

        before: list[Item] = []
        for item in self._items:
            before.append(item)
            if isinstance(item, av.VideoFrame):
                self._items = chain(before, self._items)
                return item
        raise UserError(f"{self.path}: none of its pictures can be decoded")

    def _describe(self, first: "VideoFrame") -> None:
        track = self._video
        self._stored_size = (first.height, first.width)
        self._matrix = _display_matrix(first)
        turned = _is_turned(self._matrix)
        self.size = self._stored_size[::-1] if turned else self._stored_size
        self.time_base = track.time_base or 1 / USUAL_RATE
        aspect = track.sample_aspect_ratio or Fraction(1)
        self.pixel_aspect = 1 / aspect if turned else aspect
        self.colours = {name: int(getattr(first, name)) for name in COLOURS}
        self._start = Fraction(max(0, self._container.start_time or 0), 1_000_000)
        self.expected = (track.frames and self._indexed) or track.frames or None
        if self.expected is None and self._container.duration:
            seconds = Fraction(self._container.duration, 1_000_000)
            self.expected = max(1, round(seconds * self.rate))

    def _from_start(self, packet: "AnyPacket") -> "AnyPacket":
        """A packet of sound whose times count from the start of the file."""
        shift = round(self._start / packet.time_base)
        if packet.pts is not None:
            packet.pts -= shift
        if packet.dts is not None:
            packet.dts -= shift
        return packet

    def _read(self) -> "Iterator[Item]":
        """Decoded pictures, and packets of sound as they stand."""
        import av

        try:
            for packet in self._container.demux(self._video, *self.sound):
                self._mend_clock(packet)
                self._count(packet)
                if packet.stream is self._video:
                    yield from self._decode(packet)
                elif packet.dts is not None:  # what has none only ends the track
                    yield packet
        except av.FFmpegError as error:
            self.fault = f"cannot be read to its end ({error.strerror})"
        self.fault = self.fault or self._what_is_missing()

    def _mend_clock(self, packet: "AnyPacket") -> None:
        """Let what comes after a jump back follow the end of what came before, on every track.

        The tracks jump one after the other, and stay together because they share the shift.
        """
        if packet.dts is None:
            return
        track = packet.stream.index
        last, part = self._clocks.get(track, (packet.dts, 0))
        if (last - packet.dts) * packet.time_base > JUMP:
            part += 1
            if part > self.restarts:
                self.restarts = part
                first = packet.dts if packet.pts is None else packet.pts
                self._shifts.append(Fraction(self._end) - first * packet.time_base)
        self._clocks[track] = packet.dts, part
        shift = round(self._shifts[part] / packet.time_base)
        packet.dts += shift
        if packet.pts is not None:
            packet.pts += shift

    def _decode(self, packet: "AnyPacket") -> "list[VideoFrame]":
        import av

        try:
            return [frame for frame in packet.decode() if isinstance(frame, av.VideoFrame)]
        except av.FFmpegError:
            self._broken += 1
            return []

    def _count(self, packet: "AnyPacket") -> None:
        """Keep count of what there was, to tell a whole file from one that was cut."""
        if packet.size and packet.stream is self._video:
            self._packets += 1
        if packet.pts is not None:
            end = (packet.pts + (packet.duration or 0)) * packet.time_base
            if not packet.duration and packet.stream is self._video:
                end += 1 / self.rate
            self._end = max(self._end, float(end))

    def _what_is_missing(self) -> str:
        """In words, by what the header promised: FFmpeg ends a file that was cut without any."""
        if self._packets < self._indexed:
            return f"cut short: it holds {self._packets} of its {self._indexed} frames"
        with suppress(OSError):
            if missing := missing_bytes(self.path):
                return f"cut short: the last {missing:,} bytes of the file are missing"
        if self._broken:
            return f"damaged: {self._broken} of its {self._packets} frames cannot be decoded"
        return ""


def check_suffix(path: Path) -> None:
    """Check that a video of this name can be written.

    Raises:
        UserError: its suffix is not one of `KINDS`; PyAV is not installed, or was built without
            the encoder.
    """
    suffix = path.suffix.lower()
    if suffix not in KINDS:
        raise UserError(f"{path}: not a kind of video that can be written; {', '.join(KINDS)} are")
    _, encoder, _ = KINDS[suffix]
    if encoder not in _pyav().codecs_available:
        raise UserError(
            f"{suffix} needs the encoder {encoder}, which this PyAV was built without; "
            "the one of `pip install av` has it"
        )


class VideoWriter:
    """Writes a video file: H.264, or VP9 for WebM.

    The file is whole after `close`. Pictures of odd width or height get their last column or row
    twice, because the colour format that every player knows has even sizes only.

    Args:
        path: the file that is written.
        suffix: one of `KINDS`: what kind of file it is, whatever it is called for now.
        size: (height, width) of the pictures.
        time_base: the seconds that times are rounded to, where the container does no coarser.
        rate: frames a second, about.
        like: a video whose sound tracks, colours and shape of pixels are kept.

    Attributes:
        left_out: codecs of the sound tracks that the container cannot hold.

    Raises:
        OSError: the file cannot be written.
        UserError: PyAV is not installed, or was built without the encoder.
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
        av = _pyav()
        container, encoder, options = KINDS[suffix.lower()]
        self._time_base = time_base
        self._colours = like.colours if like else {}
        self.left_out: list[str] = []
        # The index goes to the front, so that a page can play the file while it loads.
        first = {"movflags": "faststart"} if container in ("mp4", "mov") else {}
        with _as_os_errors():
            self._container: OutputContainer = av.open(
                f"file:{path}", "w", format=container, options=first
            )
            self._video: VideoStream = self._container.add_stream(
                encoder, rate=rate, options=options
            )
            self._video.height, self._video.width = (side + side % 2 for side in size)
            self._video.pix_fmt = "yuv420p"
            settings = self._video.codec_context
            settings.time_base = time_base
            if like is not None:
                settings.sample_aspect_ratio = like.pixel_aspect
            for name, value in self._colours.items():
                setattr(settings, name, value)
            self._tracks = self._add_sound(like.sound if like else [])
            self._heard: dict[int, float] = {}  # of each track the middle of its last packet
            self._container.start_encoding()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self.close()
            return
        with suppress(Exception):  # nobody wants the file any more
            self._container.close()

    def write(self, picture: Array, time: float) -> None:
        """Add a picture.

        Args:
            picture: RGB uint8 (H, W, 3).
            time: in seconds, later than that of the picture before.

        Raises:
            OSError: the disk is full.
        """
        import av

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

    def copy_sound(self, packet: "AnyPacket") -> None:
        """Add a packet of sound of the video that this one is like, as it stands.

        One that overlaps the packet before is left out: no container takes it.

        Raises:
            OSError: the disk is full.
        """
        number = packet.stream.index
        track = self._tracks.get(number)
        if track is None or packet.dts is None:
            return
        if packet.dts <= self._heard.get(number, -math.inf):
            return
        self._heard[number] = packet.dts + (packet.duration or 0) / 2
        packet.stream = track
        with _as_os_errors():
            self._container.mux(packet)

    def close(self) -> None:
        """Finish the file.

        Raises:
            OSError: the disk is full.
        """
        with _as_os_errors():
            self._container.mux(self._video.encode(None))
            self._container.close()

    def _add_sound(self, tracks: "list[AudioStream]") -> "dict[int, AudioStream]":
        """Places for sound as it stands: the new track for each old one's number."""
        places = {}
        for track in tracks:
            try:
                places[track.index] = self._container.add_stream_from_template(track)
            except ValueError:
                self.left_out.append(track.codec_context.name)
        return places


def _pyav() -> Any:
    """PyAV, or where to get it."""
    with needs_extra("video", "reading and writing videos"):
        import av
    return av


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """What FFmpeg cannot write, as Python tells it."""
    import av

    try:
        yield
    except av.FFmpegError as error:
        raise OSError(error.errno or errno.EIO, error.strerror or str(error)) from None


def _open_input(path: Path) -> "InputContainer":
    av = _pyav()
    if path.is_dir():
        raise UserError(f"{path}: is a folder, not a video; name the video in it")
    if not path.exists():
        raise UserError(f"{path}: no such file")
    if path.stat().st_size == 0:
        raise UserError(f"{path}: the file is empty (0 bytes)")
    try:
        # The prefix keeps a name such as a:b.mp4 from being taken for an address.
        container: InputContainer = av.open(f"file:{path}")
    except av.error.InvalidDataError:
        raise UserError(
            f"{path}: not a video that can be read, or only the first part of one"
        ) from None
    except (OSError, av.FFmpegError) as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None
    # FFmpeg takes a text for a terminal's screen, and a picture for a video of one frame.
    kind = container.format.name
    if kind == "tty":
        container.close()
        raise UserError(f"{path}: is a text, not a video")
    if kind == "image2" or kind.endswith("_pipe"):
        container.close()
        raise UserError(f"{path}: is a picture, not a video; `spcnet predict` takes pictures")
    return container


def _video_track(container: "InputContainer", path: Path) -> "VideoStream":
    """The first track of pictures; the cover of a piece of music is none."""
    for track in container.streams.video:
        if not track.disposition & track.disposition.attached_pic:
            return track
    if container.streams.audio:
        raise UserError(f"{path}: holds sound only; wanted a video")
    raise UserError(f"{path}: holds no pictures, or is only the first part of a video")


def _display_matrix(picture: "VideoFrame") -> Array:
    """Where a stored picture's x and y axes point when it is shown: rows of (2, 2)."""
    from av.sidedata.sidedata import SideData

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

"""``spcnet webcam``: a camera's picture with the skeleton, on a page of this machine."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import BadParameter, Option

from spcnet.cli.console import prepare_output, refuse_same, say, stop_wish
from spcnet.cli.estimator_options import BY_DEFAULT, EstimatorOptions, with_estimator
from spcnet.cli.frames import STDOUT, Tally, overlay, result_file
from spcnet.cli.options import DETECTOR, FOLLOWED, FORCE, SKELETON, SMOOTH
from spcnet.cli.parsing import parse_people, persons_in_words
from spcnet.errors import UserError, needs_extra
from spcnet.files import replacing
from spcnet.serve.limits import LOOPBACK

if TYPE_CHECKING:
    from spcnet.inference.video import FramePoses
    from spcnet.media.video_files import VideoWriter

TICK = Fraction(1, 90_000)  # of a second
SOURCE = Option(help="A video that plays the camera's part, over and over.")
OUTPUT = Option("--output", "-o", help="Record as well: .mp4, .m4v, .mov, .mkv or .webm.")
JSON = Option("--json", help="Write the joints to this file as well.", show_default=False)


@with_estimator
def webcam(
    camera: Annotated[int, Option(min=0, help="Which camera: 0 is the first.")] = 0,
    source: Annotated[Path | None, SOURCE] = None,
    output: Annotated[Path | None, OUTPUT] = None,
    json_path: Annotated[Path | None, JSON] = None,
    port: Annotated[int, Option(min=0, max=65535, help="Of the page; 0 takes a free one.")] = 8700,
    people: Annotated[str, FOLLOWED] = "one",
    detector: Annotated[Path | None, DETECTOR] = None,
    smooth: Annotated[bool, SMOOTH] = False,
    options: EstimatorOptions = BY_DEFAULT,
    skeleton: Annotated[str | None, SKELETON] = None,
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Show what a camera sees, with the skeleton over it.

    The page is at 127.0.0.1, for this machine alone; Ctrl-C ends it. Pictures that come while
    the network is busy are passed over, so that what is shown is never old. With -o it is recorded
    as well, without sound, and with --json the joints are written when it ends.

    Example: spcnet webcam --smooth
    """
    from spcnet.media.camera import camera_pictures, newest, played_pictures

    followed = parse_people(people)
    if detector and options.finder:
        raise BadParameter("use one of --detector and --finder")
    with needs_extra("serve", "the page"):
        from spcnet.serve.live import live_page
        from spcnet.serve.server import listen, url
    if output is not None:
        from spcnet.media.video_files import check_suffix

        check_suffix(output)
    if json_path == STDOUT:
        raise BadParameter("--json -: wanted a file for the joints, as joints.json")
    refuse_same([("the video to play", source), ("-o", output), ("--json", json_path)])
    prepare_output([path for path in (output, json_path) if path], force=force)
    opened = listen(LOOPBACK[0], port)
    with ExitStack() as stack:
        show = stack.enter_context(live_page(opened))
        stop = stack.enter_context(stop_wish("stopping"))

        from spcnet.inference.documents import result_info
        from spcnet.inference.video import follow

        estimator = options.open(detector)
        view = estimator.view(skeleton)
        smoothing = "one-euro" if smooth else None
        method = replace(estimator.method(followed, view), smoothing=smoothing)
        info = result_info(method, f"spcnet {method.version}, model {estimator.describe()}")
        say(f"model {estimator.describe()}; {persons_in_words(method.persons)}")
        pictures = camera_pictures(camera) if source is None else played_pictures(source)
        live = newest(pictures, stop)
        frames = follow(estimator, live, people=followed, smooth=smooth, skeleton=view)
        writer, record, tally = None, None, Tally()
        name = f"camera {camera}" if source is None else source.name
        faults: list[UserError] = []
        for frame in _until_fault(frames, faults):
            picture = overlay(frame)
            show(picture)
            if tally.frames == 0:
                print(f"{url(opened)}/ shows it; Ctrl-C ends it", flush=True)
                size = picture.shape[0], picture.shape[1]
                if json_path is not None:
                    file = result_file(json_path, name, size, info, view)
                    record = stack.enter_context(file)
                writer = _recording(stack, output, size) if output else None
            if writer is not None:
                writer.write(picture, frame.time)
            if record is not None:
                record(frame)
            tally.add(frame)
    if tally.frames:
        written = " and ".join(str(path) for path in (output, json_path) if path)
        recorded = f" -> {written}" if written else ""
        print(f"{source or f'camera {camera}'}{recorded}: {tally}")
    if faults:
        raise faults[0]


def _recording(stack: ExitStack, output: Path, size: tuple[int, int]) -> "VideoWriter":
    from spcnet.media.video_files import VideoWriter

    partial = stack.enter_context(replacing(output))
    return stack.enter_context(VideoWriter(partial, output.suffix, size, time_base=TICK))


def _until_fault(frames: "Iterable[FramePoses]", faults: list[UserError]) -> "Iterator[FramePoses]":
    """The frames until a fault such as an unplugged camera, which is noted: a recording is kept."""
    try:
        yield from frames
    except UserError as error:
        faults.append(error)

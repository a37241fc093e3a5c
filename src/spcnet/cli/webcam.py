"""``spcnet webcam``: a camera's picture with the skeleton, on a page of this machine."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from spcnet.cli.console import prepare_output, refuse_same, replacing, say, stop_wish
from spcnet.cli.estimator_options import BY_DEFAULT, EstimatorOptions, with_estimator
from spcnet.cli.frames import Tally, overlay
from spcnet.cli.options import (
    FORCE,
    PEOPLE,
    SKELETON,
    SMOOTH,
)
from spcnet.errors import UserError

if TYPE_CHECKING:
    from spcnet.geometry import Array
    from spcnet.inference.video import FramePoses
    from spcnet.media.video_files import VideoWriter

TICK = Fraction(1, 90_000)  # of a second

CAMERA = typer.Option(min=0, help="Which camera: 0 is the first.")
SOURCE = typer.Option(help="A video that plays the camera's part, over and over.")
OUTPUT = typer.Option("--output", "-o", help="Record as well: .mp4, .m4v, .mov, .mkv or .webm.")
PORT = typer.Option(min=0, max=65535, help="Of the page; 0 takes a free one.")


@with_estimator
def webcam(
    camera: Annotated[int, CAMERA] = 0,
    source: Annotated[Path | None, SOURCE] = None,
    output: Annotated[Path | None, OUTPUT] = None,
    port: Annotated[int, PORT] = 8700,
    people: Annotated[Literal["one", "all"], PEOPLE] = "one",
    smooth: Annotated[bool, SMOOTH] = False,
    options: EstimatorOptions = BY_DEFAULT,
    skeleton: Annotated[str | None, SKELETON] = None,
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Show what a camera sees, with the skeleton over it.

    The page is at 127.0.0.1, for this machine alone; Ctrl-C ends it. Pictures that come while
    the network is busy are passed over, so that what is shown is never old. With -o it is recorded
    as well, without sound.

    Example: spcnet webcam --smooth
    """
    from spcnet.media.camera import camera_pictures, newest, played_pictures

    if output is not None:
        from spcnet.media.video_files import check_suffix

        check_suffix(output)
        refuse_same([("the video to play", source), ("-o", output)])
        prepare_output([output], force=force)
    with ExitStack() as stack:
        from spcnet.cli.live_page import LivePage
        from spcnet.inference.video import follow

        page = stack.enter_context(LivePage(port))
        stop = stack.enter_context(stop_wish("stopping"))
        estimator = options.open()
        view = estimator.view(skeleton)
        say(f"model {estimator.describe()}")
        pictures = camera_pictures(camera) if source is None else played_pictures(source)
        writer: VideoWriter | None = None
        tally = Tally()
        faults: list[UserError] = []
        frames = follow(
            estimator, newest(pictures, stop), people=people, smooth=smooth, skeleton=view
        )
        for frame in _until_fault(frames, faults):
            picture = overlay(frame)
            page.show(picture)
            if tally.frames == 0:
                print(f"{page.address} shows it; Ctrl-C ends it", flush=True)
                if output is not None:
                    writer = _start_recording(stack, output, picture)
            if writer is not None:
                writer.write(picture, frame.time)
            tally.add(frame)
    if tally.frames:
        recorded = f" -> {output}" if writer is not None else ""
        print(f"{source or f'camera {camera}'}{recorded}: {tally}")
    if faults:
        raise faults[0]


def _until_fault(frames: "Iterable[FramePoses]", faults: list[UserError]) -> "Iterator[FramePoses]":
    """The frames until a fault ends them, such as a camera that is unplugged; it is noted.

    What was recorded so far is kept; faults of the recording itself do not come by here.
    """
    try:
        yield from frames
    except UserError as error:
        faults.append(error)


def _start_recording(stack: ExitStack, output: Path, first: "Array") -> "VideoWriter":
    from spcnet.media.video_files import VideoWriter

    partial = stack.enter_context(replacing(output))
    return stack.enter_context(VideoWriter(partial, output.suffix, first.shape[:2], time_base=TICK))

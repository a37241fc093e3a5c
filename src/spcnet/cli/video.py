"""``spcnet video``: a video in; the video with the skeleton over it, and the joints, out."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from typer import Argument, BadParameter, Option

from spcnet.cli.console import Advance, prepare_output, progress, refuse_same, say, stop_wish
from spcnet.cli.estimator_options import BY_DEFAULT, EstimatorOptions, with_estimator
from spcnet.cli.frames import STDOUT, Tally, overlay, result_file, until
from spcnet.cli.options import DETECTOR, FOLLOWED, FORCE, RAW, SKELETON, WIDE
from spcnet.cli.parsing import parse_box, parse_kinds, parse_people, persons_in_words
from spcnet.errors import UserError, counted
from spcnet.files import replacing
from spcnet.inference.method import PersonSource

if TYPE_CHECKING:
    from spcnet.inference.video import FramePoses
    from spcnet.media.video_files import VideoReader, VideoWriter
    from spcnet.skeletons import Skeleton

OUTPUT = Option("--output", "-o", help="The video to write: .mp4, .m4v, .mov, .mkv or .webm.")
JSON = Option("--json", help="Where joints go, - for stdout; alone no video.", show_default=False)
BOX = Option(
    help="A person's box x0,y0,x1,y1 in the first frame, in pixels of the upright "
    "picture; may be repeated. Without boxes the bundled finder looks for persons."
)


SAVE = Option(
    help="What is written beside the JSON, with commas: the tables csv (joints) and angles; trc, "
    "c3d (markers) and mot (angles) for OpenSim, a file per person.",
    show_default=False,
)


@with_estimator
def video(
    source: Annotated[Path, Argument(help="A video file.", show_default=False)],
    output: Annotated[Path | None, OUTPUT] = None,
    json_path: Annotated[Path | None, JSON] = None,
    box: Annotated[list[str] | None, BOX] = None,
    people: Annotated[str, FOLLOWED] = "one",
    detector: Annotated[Path | None, DETECTOR] = None,
    raw: Annotated[bool, RAW] = False,
    save: Annotated[str, SAVE] = "",
    wide: Annotated[bool, WIDE] = False,
    options: EstimatorOptions = BY_DEFAULT,
    skeleton: Annotated[str | None, SKELETON] = None,
    force: Annotated[bool, FORCE] = False,
) -> None:
    """Follow persons through a video.

    Writes the video with the skeleton over it, with its times and sound, and the joints as JSON:
    by default poses/NAME.pose.mp4 and poses/NAME.pose.json. Joints are put right over time:
    exchanged sides, short gaps, trembling. Ctrl-C keeps the frames so far.

    Example: spcnet video dance.mp4 -o out.mp4
    """
    from spcnet.media.video_files import VideoReader

    output, target = _targets(source, output, json_path)
    tables = _table_paths(save, target)
    boxes = [parse_box(text) for text in box or []] or None
    followed = parse_people(people)
    if sum(map(bool, (boxes, detector, options.finder))) > 1 or (boxes and people != "one"):
        raise BadParameter("use one of --box, --detector and --finder; --people goes without --box")
    with VideoReader(source) as reader, stop_wish("stopping after this frame") as stop:
        written = [p for p in (output, target, *tables.values()) if p not in (None, STDOUT)]
        others = (path.parent.glob(f"{path.stem}.person*{path.suffix}") for path in tables.values())
        prepare_output([*written, *chain(*others)], force=force, by="-o or --json")

        from spcnet.inference.documents import result_info
        from spcnet.inference.video import STEADIED, follow, steadied, with_pictures

        estimator = options.open(detector)
        view = estimator.view(skeleton)
        method = estimator.method(PersonSource.of_boxes(boxes) if boxes else followed, view)
        method = replace(method, smoothing=None if raw else STEADIED)
        info = result_info(method, f"spcnet {method.version}, model {estimator.describe()}")
        say(f"model {estimator.describe()}; {persons_in_words(method.persons)}")
        tally = Tally()
        with ExitStack() as stack:
            drawn = not raw and output is not None  # in a second pass
            report = stack.enter_context(_progress(reader, twice=drawn))
            record = stack.enter_context(result_file(target, source.name, reader.size, info, view))
            fill = _open_tables(stack, tables, reader, view, wide=wide)
            writer = _open_writer(stack, output, reader) if output else None
            sound = writer.copy_sound if writer else None
            frames = until(stop, reader.frames(sound if raw else None), report)
            poses = follow(estimator, frames, boxes=boxes, people=followed, skeleton=view)
            if not raw:
                kept = steadied([frame.without_picture() for frame in poses], view)
                again = stack.enter_context(VideoReader(source)) if writer else None
                poses = with_pictures(kept, again.frames(sound) if again else None)
            for frame in poses:
                if drawn:
                    report(len(kept) + frame.index + 1)
                record(frame)
                fill(frame)
                if writer:
                    writer.write(overlay(frame), frame.time)
                tally.add(frame)
    results = [*([output] if output else []), target, *_files(tables, len(tally.found))]
    named = ("standard output" if path == STDOUT else str(path) for path in results)
    line = f"{source} -> {' and '.join(named)}: {tally}"
    say(line) if target == STDOUT else print(line)
    if stop.asked:
        count = counted(tally.frames, "frame")
        raise UserError(f"{source}: stopped after {count}, which the results hold")
    _say_faults(reader, tally.frames)


def _say_faults(reader: "VideoReader", frames: int) -> None:
    """What is odd about a video that was read: a warning, or an error where it ends too early."""
    if reader.restarts:
        often = "once" if reader.restarts == 1 else f"{reader.restarts} times"
        say(
            f"warning: {reader.path}: its times jump back {often}, as where videos were joined; "
            "each part was put after the one before"
        )
    if reader.fault:
        raise UserError(
            f"{reader.path}: {reader.fault}; the results hold {counted(frames, 'frame')}"
        )


def _progress(reader: "VideoReader", *, twice: bool) -> AbstractContextManager[Advance]:
    """Of a video's frames, or of two passes: the end of the first would not be near the end."""
    if twice:
        return progress("frames, in two passes", reader.expected and 2 * reader.expected)
    return progress("frames", reader.expected)


def _targets(source: Path, output: Path | None, json_path: Path | None) -> tuple[Path | None, Path]:
    """The video to write, and where its result goes."""
    from spcnet.media.video_files import check_suffix

    if json_path not in (None, STDOUT) and not json_path.suffix:
        raise BadParameter(f"--json {json_path}: wanted a file for the joints, as joints.json")
    if output is None and json_path is None:
        output = Path("poses") / f"{source.stem}.pose.mp4"
    if output is not None:
        check_suffix(output)
        json_path = json_path or output.with_suffix(".json")
    assert json_path is not None
    joints = None if json_path == STDOUT else json_path
    refuse_same([("the video to read", source), ("-o", output), ("--json", joints)])
    return output, json_path


def _table_paths(save: str, json_path: Path) -> dict[str, Path]:
    """Where the files go that ``--save`` names: beside the joints' JSON."""
    from spcnet.inference import mocap
    from spcnet.tables import ENDS

    ends = {**ENDS, **mocap.ENDS}
    for kind in save.split(","):
        mocap.check_kind(kind.strip())
    kinds = [kind for kind in parse_kinds(save, ["json", *ends]) if kind != "json"]
    if kinds and json_path == STDOUT:
        raise BadParameter("--save goes with a file for the joints: -o, or --json FILE")
    return {kind: json_path.with_suffix(ends[kind]) for kind in kinds}


def _files(tables: dict[str, Path], persons: int) -> list[Path]:
    """What was written of so many persons: a table of all, files for motion capture of each."""
    from spcnet.inference.mocap import ENDS, of_person

    counts = {kind: persons if kind in ENDS else 1 for kind in tables}
    return [of_person(path, n) for kind, path in tables.items() for n in range(counts[kind])]


def _open_tables(
    stack: ExitStack, paths: dict[str, Path], reader: "VideoReader", view: "Skeleton", *, wide: bool
) -> "Callable[[FramePoses], None]":
    """Takes one frame after the other into some tables and files of motion capture."""
    from spcnet.inference.mocap import ENDS, motion_files
    from spcnet.tables import TABLES, table_file, to_records

    tables = {
        TABLES[kind]: stack.enter_context(table_file(path, view, TABLES[kind], wide=wide))
        for kind, path in paths.items()
        if kind in TABLES
    }
    moving = [path for kind, path in paths.items() if kind in ENDS]
    files = motion_files(moving, view, reader.size[0], float(reader.rate))
    record = stack.enter_context(files) if moving else None

    def fill(frame: "FramePoses") -> None:
        for what, table in tables.items():
            rows = to_records(
                frame.persons,
                source=reader.path.name, frame=frame.index, time=frame.time, what=what, wide=wide,
            )  # fmt: skip
            table.write(rows)
        if record:
            record(frame)

    return fill


def _open_writer(stack: ExitStack, output: Path, reader: "VideoReader") -> "VideoWriter":
    """The video to write, with the sound of the one that is read where it can hold it."""
    from spcnet.media.video_files import VideoWriter

    partial = stack.enter_context(replacing(output))
    writer = stack.enter_context(
        VideoWriter(
            partial, output.suffix, reader.size,
            time_base=reader.time_base, rate=reader.rate, like=reader,
        )
    )  # fmt: skip
    if writer.left_out:
        say(
            f"warning: {output.suffix} cannot hold {' and '.join(writer.left_out)} sound, so "
            f"{output} has none of it; .mkv can"
        )
    return writer

"""What ``spcnet predict`` leaves of each picture: overlay, JSON, crops and panels."""

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

import typer

from spcnet.cli.console import replacing
from spcnet.errors import UserError
from spcnet.files import picture_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spcnet.geometry import Array
    from spcnet.inference.estimator import PoseEstimator
    from spcnet.inference.pose import Pose
    from spcnet.viz.skeletons import Style

ENDS = {  # of the files' names; {} is the number of a person
    "overlay": ".pose.jpg",
    "json": ".pose.json",
    "crops": ".crop-{}.png",
    "heatmaps": ".heatmaps-{}.png",
    "attention": ".attention-{}.png",
}
OF_PICTURE = ("overlay", "json")  # one of each picture; the others are one of each person
OWN = re.compile(r".+\.(pose\.jpg|(crop|heatmaps|attention)-\d+\.png)")


def parse_kinds(text: str) -> tuple[str, ...]:
    """The kinds of results that ``--save`` names, in the order they are written in.

    Raises:
        BadParameter: one is unknown, or there is none.
    """
    named = [part.strip() for part in text.split(",") if part.strip()]
    unknown = [name for name in named if name not in ENDS]
    if unknown or not named:
        raise typer.BadParameter(
            f"--save {text}: wanted some of {', '.join(ENDS)}, with commas between them"
        )
    return tuple(kind for kind in ENDS if kind in named)


def is_result(name: str) -> bool:
    """Whether a file's name is that of a picture which this command wrote."""
    return OWN.fullmatch(name) is not None


def result_names(images: Sequence[str]) -> list[str]:
    """What the results of each picture are called: its stem, numbered where two would collide."""
    return _numbered([Path(image).stem for image in images])


def mirrored_names(images: Sequence[PurePath]) -> list[str]:
    """What the results of a folder's pictures are called: their paths without the suffix.

    Where two differ by nothing else they keep it, so that a picture's name does not hang on how
    many others there are; where that is another's name, those keep theirs as well.
    """
    names = [image.with_suffix("").as_posix() for image in images]
    while True:
        count = Counter(name.casefold() for name in names)
        longer = [
            name if count[name.casefold()] == 1 else image.as_posix()
            for name, image in zip(names, images, strict=True)
        ]
        if longer == names:
            break
        names = longer
    # Left are pictures whose whole names differ by nothing but capitals.
    return _numbered(names)


def _numbered(names: Sequence[str]) -> list[str]:
    """Names of which none is another's, also where capitals do not count."""
    taken = Counter(name.casefold() for name in names)
    given: set[str] = set()
    unique = []
    for name in names:
        candidate, n = name, 2
        while candidate.casefold() in given or (n > 2 and candidate.casefold() in taken):
            candidate, n = f"{name}-{n}", n + 1
        given.add(candidate.casefold())
        unique.append(candidate)
    return unique


@dataclass(frozen=True)
class Results:
    """The files of results in one folder.

    Attributes:
        folder: where they lie.
        kinds: which are written, of `ENDS`.
        force: whether earlier ones are overwritten.
    """

    folder: Path
    kinds: tuple[str, ...]
    force: bool

    def path(self, name: str, kind: str, person: int = 1) -> Path:
        """Where a result lies."""
        return self.folder / (name + ENDS[kind].format(person))

    def earlier(self, name: str) -> dict[str, Any] | None:
        """The JSON of a picture that was predicted before, if it is there.

        Raises:
            UserError: the file is something else.
        """
        path = self.path(name, "json")
        try:
            document = json.loads(path.read_text())
            if len(document["images"]) == 1 and document["info"]["method"]:
                found: dict[str, Any] = document
                return found
        except FileNotFoundError:
            return None
        except (OSError, ValueError, LookupError, TypeError):
            pass
        raise UserError(
            f"{path}: already exists and was not written by spcnet; --force overwrites it"
        )

    def are_there(self, name: str, kind: str, persons: int) -> bool:
        """Whether a picture's results of a kind lie there, all those of its persons."""
        numbers = (1,) if kind == "json" else range(1, persons + 1)
        if kind == "overlay":  # one of all persons, and none of nobody
            numbers = range(1, min(persons, 1) + 1)
        return all(self.path(name, kind, number).exists() for number in numbers)

    def write(
        self,
        name: str,
        kinds: Sequence[str],
        picture: "Array | None",
        poses: "list[Pose]",
        document: dict[str, Any],
        *,
        estimator: "PoseEstimator",
        style: "Style",
    ) -> Path | None:
        """Write some kinds of results of one picture; give the path of the first, if there is any.

        JSON alone does without the picture. Where nobody was found only the JSON is written.
        """
        first = self.path(name, self.kinds[0])
        if not poses:
            first = self.path(name, "json")
        try:
            first.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{first.parent}: cannot be made: {error.strerror}") from None
        for kind in kinds:
            if kind == "json":
                with replacing(self.path(name, kind)) as partial:
                    partial.write_text(json.dumps(document, indent=1) + "\n")
                continue
            assert picture is not None
            if kind == "overlay" and not poses:
                self.path(name, kind).unlink(missing_ok=True)
                continue
            if kind not in OF_PICTURE:
                self._remove_persons(name, kind, beyond=len(poses))
                for number, pose in enumerate(poses, start=1):
                    _save_person(self.path(name, kind, number), kind, estimator, picture, pose)
                continue
            with replacing(self.path(name, kind)) as partial:
                _save_overlay(partial, picture, poses, style)
        return first if poses or "json" in self.kinds else None

    def _remove_persons(self, name: str, kind: str, *, beyond: int) -> None:
        """Remove the files of persons who are no longer found."""
        number = beyond + 1
        while (path := self.path(name, kind, number)).is_file():
            try:
                path.unlink()
            except OSError as error:
                raise UserError(f"{path}: cannot be removed: {error.strerror}") from None
            number += 1


def _save_overlay(path: Path, picture: "Array", poses: "list[Pose]", style: "Style") -> None:
    from PIL import Image

    from spcnet.viz.skeletons import draw_skeleton

    for pose in poses:
        picture = draw_skeleton(picture, pose.keypoints, pose.scores, pose.skeleton, style=style)
    path.write_bytes(picture_bytes(Image.fromarray(picture), "jpeg", quality=92))


def _save_person(
    target: Path, kind: str, estimator: "PoseEstimator", picture: "Array", pose: "Pose"
) -> None:
    """Write the crop of one person, or a panel of it."""
    from PIL import Image

    from spcnet.inference.views import cut_out, level_view, view
    from spcnet.models.summary import level_sizes
    from spcnet.viz.panels import draw_heatmaps, draw_levels

    image: Image.Image | Figure
    if kind == "crops":
        size = estimator.codec.input_size
        image = Image.fromarray(cut_out(estimator, picture, pose.box, size)[0])
    elif kind == "heatmaps":
        image = draw_heatmaps(view(estimator, picture, pose))
    else:
        sizes = level_sizes(estimator.network, input_size=estimator.codec.input_size)
        image = draw_levels([level_view(estimator, picture, pose)], sizes)
    with replacing(target) as partial:
        partial.write_bytes(picture_bytes(image, "png"))

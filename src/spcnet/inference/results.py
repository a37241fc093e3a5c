"""What ``spcnet predict`` leaves of each picture, and notes so that a later run goes on with it."""

import io
import itertools
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from spcnet.data.label_files import MALFORMED, load_json
from spcnet.errors import UserError
from spcnet.files import picture_bytes, replacing, writing
from spcnet.inference.estimator import PoseEstimator
from spcnet.inference.files import Predicted
from spcnet.inference.jobs import ENDS, Job
from spcnet.inference.method import Method
from spcnet.inference.pose import Pose
from spcnet.skeletons import Skeleton
from spcnet.tables import ENDS as TABLE_ENDS
from spcnet.tables import TABLES, WHERE, TableWriter, columns, to_records
from spcnet.viz.skeletons import Style, draw_skeleton

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from spcnet.geometry import Array

MAPS = ("heatmaps", "attention")  # kinds that are made of what the network said
RECORD = ".predict.jsonl"
FOREIGN = "already exists and was not written by spcnet; --force overwrites it"


class RunRecord:
    """Of which pictures and by what method the results in a folder are.

    A file of JSON lines: first where the pictures lie and the method, then, before a picture's
    results are written and again when they are there, of what picture they are. So results that
    no line names are not ours. Of pictures named one by one only their replacing is noted.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / RECORD
        self._head: dict[str, Any] = {}
        self._rows: dict[tuple[str, str], dict[str, Any]] = {}
        self._begun = False

    def read(self) -> tuple[str, Method] | None:
        """The folder of the pictures and the method of an earlier run, None if there was none."""
        try:
            first, *lines = self.path.read_text(encoding="utf-8").splitlines()
            head = json.loads(first)
            found = str(head["source"]), Method.from_dict(head["method"])
            for line in lines:
                try:
                    row = json.loads(line)
                    self._rows.update({(str(row["name"]), kind): row for kind in row["kinds"]})
                except MALFORMED:  # cut short when the run was killed
                    continue
        except FileNotFoundError:
            return None
        except OSError as error:
            raise UserError(f"{self.path}: cannot be read: {error.strerror}") from None
        except MALFORMED:
            raise UserError(f"{self.path}: no record of a run; remove it to begin anew") from None
        return found

    def start(self, source: str, method: Method, *, same: bool) -> None:
        """Begin a run; unless it is by the same method, earlier results are of no picture."""
        self._head = {"source": source, "method": method.to_dict()}
        if not same:
            self._rows = {key: {"name": key[0]} for key in self._rows}

    def knows(self, job: Job, kind: str) -> bool:
        """Whether a result that lies there was written by such a run."""
        return (job.name, kind) in self._rows

    def persons(self, job: Job, kind: str) -> int | None:
        """How many persons an earlier result shows; None if it is not of the picture of now."""
        row = self._rows.get((job.name, kind), {})
        persons = row.get("persons") if job.state and row.get("picture") == job.state else None
        return persons if isinstance(persons, int) else None

    def begin(self, job: Job, kinds: Sequence[str]) -> None:
        """Note that results are about to be written."""
        if job.state is None and not self.path.exists():
            return
        if job.state is not None and not self._begun:
            # Written anew, as a run that was killed may have left half a line.
            rows = [{**row, "kinds": [kind]} for (_, kind), row in self._rows.items()]
            with replacing(self.path) as partial:
                lines = "".join(json.dumps(row) + "\n" for row in (self._head, *rows))
                partial.write_text(lines, encoding="utf-8")
            self._begun = True
        self._add({"name": job.name, "kinds": list(kinds)})

    def finish(self, job: Job, kinds: Sequence[str], persons: int) -> None:
        """Note that they are there."""
        if job.state is not None:
            now = {"picture": job.state, "persons": persons}
            self._add({"name": job.name, "kinds": list(kinds), **now})

    def _add(self, row: dict[str, Any]) -> None:
        with writing(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")
        self._rows.update({(row["name"], kind): row for kind in row["kinds"]})


@dataclass(frozen=True, kw_only=True)
class Results:
    """The files of results in one folder."""

    folder: Path
    kinds: tuple[str, ...]  # which are written, of `ENDS`, in this order; none where nothing is
    estimator: PoseEstimator
    style: Style  # of the overlays
    record: RunRecord  # of earlier results
    view: Skeleton  # whose joints tables have
    wide: bool = False  # tables of one row per person
    force: bool = False  # write those anew

    def path(self, job: Job, kind: str, person: int = 1) -> Path:
        """Where a result lies."""
        return self.folder / (job.name + ENDS[kind].format(person))

    def has(self, job: Job, kind: str) -> bool:
        """Whether there are results of a kind of a picture as it is now."""
        persons = self.record.persons(job, kind)
        if persons is None or self.force:
            return False
        if kind in TABLES and _first_line(self.path(job, kind)) != self._head(kind):
            return False  # cut short, or of another form
        return all(path.exists() for path in self._paths(job, kind, persons))

    def refuse_foreign(self, job: Job) -> None:
        """Check that what lies in a result's place was written by an earlier run."""
        for kind in () if self.force else self.kinds:
            path = self.path(job, kind)
            if os.path.lexists(path) and not self.record.knows(job, kind):
                raise UserError(
                    f"{path}: already exists and was not written by an earlier run on this "
                    "folder; --force overwrites it, -o names another folder"
                )

    def check_maps(self) -> None:
        """Check that the model has the heatmaps or the attention that are to be saved."""
        for kind in set(self.kinds) & set(MAPS):
            try:
                getattr(self.estimator, kind)(np.zeros((8, 8, 3), np.uint8), [0, 0, 8, 8])
            except UserError as error:
                raise UserError(f"--save {kind}: {error}") from None

    def earlier(self, job: Job) -> dict[str, Any]:
        """The JSON of a picture that was predicted before."""
        path = self.path(job, "json")
        try:
            document: dict[str, Any] = load_json(path, wanted="what spcnet predict writes")
            if len(document["images"]) == 1 and document["info"]["method"]:
                return document
        except (UserError, *MALFORMED):
            if not path.exists():
                raise UserError(f"{path}: vanished while this ran") from None
        raise UserError(f"{path}: {FOREIGN}")

    def write(self, job: Job, found: Predicted, document: dict[str, Any]) -> Path | None:
        """Write the results of one picture that are not there; give the path of the first kind.

        Where nobody was found there is only the JSON, and tables without rows.
        """
        kinds = [kind for kind in self.kinds if not self.has(job, kind)]
        if not kinds:
            return None
        folder = self.path(job, "json").parent
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.record.begin(job, kinds)
        for kind in kinds:
            paths = self._paths(job, kind, len(found.poses))
            self._remove_others(job, kind, paths)
            for number, path in enumerate(paths):
                if kind == "json":
                    content = f"{json.dumps(document, indent=1)}\n".encode()
                elif kind in TABLES:
                    content = self._table(job, kind, found.poses).encode()
                else:
                    assert found.picture is not None
                    content = self._picture(kind, found.picture, found.poses, number)
                with replacing(path) as partial:
                    partial.write_bytes(content)
        self.record.finish(job, kinds, len(found.poses))
        first = self.kinds[0] if found.poses else "json"
        return self.path(job, first) if first in self.kinds else None

    def check_joined(self) -> None:
        """Check that what lies in the place of the tables of all pictures is such a table."""
        for _, path in [] if self.force else self._joined():
            if os.path.lexists(path) and not _first_line(path).startswith(",".join(WHERE)):
                raise UserError(f"{path}: {FOREIGN}")

    def join_tables(self, jobs: Sequence[Job]) -> None:
        """Write each kind of table once more, of all pictures that are done."""
        for kind, target in self._joined():
            with replacing(target) as partial, partial.open("w", encoding="utf-8") as file:
                file.write(self._head(kind) + "\n")
                for job in jobs:
                    if self.record.persons(job, kind) is not None:
                        with self.path(job, kind).open(encoding="utf-8") as part:
                            part.readline()
                            shutil.copyfileobj(part, file)

    def _joined(self) -> list[tuple[str, Path]]:
        return [(k, self.folder / f"poses{TABLE_ENDS[k]}") for k in self.kinds if k in TABLES]

    def _head(self, kind: str) -> str:
        return ",".join(columns(self.view, TABLES[kind], wide=self.wide))

    def _table(self, job: Job, kind: str, poses: Sequence[Pose]) -> str:
        file, what = io.StringIO(), TABLES[kind]
        rows = to_records(poses, source=job.shown, what=what, wide=self.wide)
        TableWriter(file, columns(self.view, what, wide=self.wide)).write(rows)
        return file.getvalue()

    def _paths(self, job: Job, kind: str, persons: int) -> list[Path]:
        """The files of a kind: a JSON, a table, an overlay if anybody is there, or one a person."""
        one = dict.fromkeys(["json", *TABLES], 1)
        count = {**one, "overlay": min(persons, 1)}.get(kind, persons)
        return [self.path(job, kind, number) for number in range(1, count + 1)]

    def _remove_others(self, job: Job, kind: str, paths: Sequence[Path]) -> None:
        """Remove the files of persons who are no longer found."""
        for number in itertools.count(len(paths) + 1):
            path = self.path(job, kind, number)
            if path in paths or not path.is_file():
                return
            try:
                path.unlink()
            except OSError as error:
                raise UserError(f"{path}: cannot be removed: {error.strerror}") from None

    def _picture(self, kind: str, picture: "Array", poses: Sequence[Pose], number: int) -> bytes:
        """The content of an overlay of all persons, or of the crop or panel of one."""
        if kind == "overlay":
            for pose in poses:
                picture = draw_skeleton(
                    picture, pose.keypoints, pose.scores, pose.skeleton, style=self.style
                )
            return picture_bytes(Image.fromarray(picture), "jpeg", quality=92)

        from spcnet.inference.views import cut_out, level_view, view
        from spcnet.models.summary import level_sizes
        from spcnet.viz.panels import draw_heatmaps, draw_levels

        pose, size = poses[number], self.estimator.codec.input_size
        image: Image.Image | Figure
        if kind == "crops":
            image = Image.fromarray(cut_out(picture, pose.box, size)[0])
        elif kind == "heatmaps":
            image = draw_heatmaps(view(picture, pose))
        else:
            sizes = level_sizes(self.estimator.network, input_size=size)
            image = draw_levels([level_view(self.estimator, picture, pose)], sizes)
        return picture_bytes(image, "png")


def _first_line(path: Path) -> str:
    """Of a text, or nothing where there is none."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            return file.readline(1 << 20).rstrip("\n")
    except OSError:
        return ""

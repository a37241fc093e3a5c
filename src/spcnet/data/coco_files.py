"""What COCO-style JSON files share, whatever they hold: ids, pictures, and where these lie."""

import os
import re
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import Any

from spcnet.data.annotations import ListedPicture
from spcnet.errors import UserError, counted, first_few


def id_of(value: object) -> str:
    """An id as text: 1, 1.0 and "1" are one; a `ValueError` of what is none."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"an id must be a number or a text, got {value!r:.40}")
    return re.sub(r"^(-?(?:0|[1-9]\d*))\.0+$", r"\1", str(value).strip())


def slashed(name: object) -> str:
    """A picture's name with the slashes of any system, as files of Windows have others."""
    return str(name).replace("\\", "/")


def named(row: Any, n: int) -> str:
    """What a record is called in messages: by its id, or else its place in the file."""
    number = row.get("id") if isinstance(row, dict) else None
    return f"annotation {n} of the list" if number is None else f"annotation {number!s:.40}"


class PictureList:
    """The ``images`` of a file by their ids, and the ``image_id`` of each of its `rows`.

    Ids of two pictures, and of none, are one `UserError`, which counts them.
    """

    def __init__(self, path: Path, images: Iterable[Any], rows: Iterable[Any] = ()) -> None:
        self.by_id: dict[str, ListedPicture] = {}
        doubled, unknown = [], []
        for image in images:
            number, name = id_of(image["id"]), slashed(image["file_name"])
            sides = [image.get(side) for side in ("height", "width")]
            known = all(isinstance(side, (int, float)) and 0 < side < 1e9 for side in sides)
            size = (int(sides[0]), int(sides[1])) if known else None
            earlier = self.by_id.setdefault(number, ListedPicture(name, number, size))
            if earlier.name != name:
                doubled.append(f"image id {number} is {earlier.name} and {name}")
        for n, row in enumerate(rows, start=1):
            with suppress(LookupError, TypeError, ValueError):  # said where the row is read
                if (number := id_of(row["image_id"])) not in self.by_id:
                    unknown.append(f"{named(row, n)}: image_id {number}")
        faults = [f"{first_few(doubled)}; give each picture an id of its own"] if doubled else []
        if unknown:
            some = ", ".join(list(self.by_id)[:3]) or "none"
            faults.append(
                f"{first_few(unknown)} {'is' if len(unknown) == 1 else 'are'} of none of the "
                f"{counted(len(self.by_id), 'image')}, whose ids are like {some}; list the "
                "pictures, or remove what names them"
            )
        if faults:
            raise UserError(f"{path}: {'; '.join(faults)}")


def find_pictures(names: Iterable[str], folders: Sequence[Path]) -> tuple[Path, dict[str, str]]:
    """The folder where pictures lie, and what each is called within it.

    Any picture tells the folder: the first one may be what half a download lacks. Where none is
    there under its whole name, its first folders are left out, which may be another machine's.
    """
    parts = {name: PurePosixPath(name).parts for name in dict.fromkeys(names)}
    for dropped in range(max((len(of) for of in parts.values()), default=0)):
        called = {name: "/".join(of[min(dropped, len(of) - 1) :]) for name, of in parts.items()}
        if dropped == 0:
            called = {name: name for name in parts}
        elif len(set(called.values())) < len(called):
            break
        for folder in folders:
            if any(os.path.isfile(folder / name) for name in called.values()):
                return folder, called
    return folders[0], {name: name for name in parts}


def category_ids(categories: Iterable[Any]) -> set[str]:
    """The ids of some categories."""
    return {id_of(category["id"]) for category in categories if "id" in category}

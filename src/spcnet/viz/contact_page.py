"""A page that shows labelled persons one beside the other: one HTML file and nothing else.

It needs no server and no network, and asks for neither: the pictures are in it.
"""

from base64 import b64encode
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from string import Template
from typing import NamedTuple


class Entry(NamedTuple):
    """One person on the page.

    The thumbnail is a JPEG file's bytes, the number what the person is called in the labels (may
    be empty). Of all joints some are without a label and some labelled as hidden. The crop's side
    is in pixels of the picture.
    """

    thumbnail: bytes
    picture: str
    number: str
    joints: tuple[str, ...]
    missing: tuple[str, ...]
    occluded: tuple[str, ...]
    crop_side: float


def contact_page(entries: Sequence[Entry], *, title: str, note: str) -> str:
    """The page of these persons, in order; the note stands under the heading."""
    return fill_page(
        "contact_page.html",
        title=escape(title),
        note=escape(note),
        count=len(entries),
        items="\n".join(map(_item, entries)),
    )


def fill_page(name: str, **values: object) -> str:
    """A page of this package with these values in it, and the style that all of them share."""
    page, style = (files("spcnet.viz").joinpath(of).read_text("utf-8") for of in (name, "page.css"))
    return Template(page).substitute(values, style=style)


def _item(entry: Entry) -> str:
    states = {"missing": entry.missing, "occluded": entry.occluded}
    spoken = {state: ", ".join(joints).replace("_", " ") for state, joints in states.items()}
    labelled = len(entry.joints) - len(entry.missing)
    said = [f"{labelled} of {len(entry.joints)} joints labelled"]
    said += [f"{state} {joints}" for state, joints in spoken.items() if joints]
    number = f" {entry.number}" if entry.number else ""
    alt = f"Person{number} in {entry.picture}: {'; '.join(said)}"
    # Each joint with its state before it, so that "missing left wrist" is found in a long list.
    found_by = "; ".join(f"{state} {j}" for state, joints in states.items() for j in joints)
    rows = {name: joints or "none" for name, joints in spoken.items()}
    rows["crop"] = f"{entry.crop_side:.0f} px"
    details = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows.items())
    number = f" <span>#{escape(entry.number)}</span>" if entry.number else ""
    return (
        f'<li data-found-by="{escape(found_by.replace("_", " "))}">'
        f'<img src="data:image/jpeg;base64,{b64encode(entry.thumbnail).decode()}"'
        f' alt="{escape(alt)}">'
        f"<h2>{escape(entry.picture)}{number}</h2>"
        f"<dl>{details}</dl></li>"
    )

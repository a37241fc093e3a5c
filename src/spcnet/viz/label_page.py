"""A page on which somebody decides which labels are wrong: one HTML file and nothing else."""

import json
from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from html import escape
from typing import Any, NamedTuple

from spcnet.viz.contact_page import fill_page


class Case(NamedTuple):
    """A person with suspicious labels.

    The pictures are JPEG files' bytes by what they show. The rows are those of the document, by
    their places there, with what is said of each.
    """

    heading: str
    pictures: Mapping[str, bytes]
    rows: Mapping[int, str]


def label_page(cases: Sequence[Case], document: Mapping[str, Any], *, title: str, note: str) -> str:
    """The page; what it saves is the document, whose ``rows`` have each a ``decision`` then."""
    digest = sha256(json.dumps(document).encode()).hexdigest()[:16]  # of what is decided
    data = json.dumps({"digest": digest, **document}).replace("<", "\\u003c")
    items = "\n".join(map(_item, cases))
    return fill_page(
        "label_page.html", title=escape(title), note=escape(note), items=items, data=data
    )


def _item(case: Case) -> str:
    figures = "".join(
        f'<figure><img src="data:image/jpeg;base64,{b64encode(content).decode()}"'
        f' alt="{escape(f"{case.heading}: {name}")}">'
        f"<figcaption>{escape(name)}</figcaption></figure>"
        for name, content in case.pictures.items()
    )
    rows = "".join(
        f'<div class="row" data-row="{n}" tabindex="-1"><span>{escape(text)}</span>'
        '<button data-do="accept">wrong</button><button data-do="reject">right</button></div>'
        for n, text in case.rows.items()
    )
    return f'<li><h2>{escape(case.heading)}</h2><div class="views">{figures}</div>{rows}</li>'

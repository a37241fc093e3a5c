"""A page that shows labelled persons one beside the other: one HTML file and nothing else.

It needs no server and no network, and asks for neither: the pictures are in it.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape


@dataclass(frozen=True, slots=True)
class Entry:
    """One person on the page.

    Attributes:
        thumbnail: a JPEG file's bytes.
        picture: name of the picture.
        number: what the person is called in the labels; may be empty.
        joints: names of all joints of the skeleton.
        missing: those without a label.
        occluded: those labelled as hidden.
        crop_side: of the person's square, in pixels of the picture.
    """

    thumbnail: bytes
    picture: str
    number: str
    joints: tuple[str, ...]
    missing: tuple[str, ...]
    occluded: tuple[str, ...]
    crop_side: float

    @property
    def described(self) -> str:
        """What the thumbnail shows, for those who cannot see it."""
        labelled = len(self.joints) - len(self.missing)
        parts = [f"{labelled} of {len(self.joints)} joints labelled"]
        parts += [f"missing {spoken(self.missing)}"] if self.missing else []
        parts += [f"occluded {spoken(self.occluded)}"] if self.occluded else []
        number = f" {self.number}" if self.number else ""
        return f"Person{number} in {self.picture}: {'; '.join(parts)}"


def spoken(joints: Sequence[str]) -> str:
    """Joint names as one reads them out."""
    return ", ".join(joint.replace("_", " ") for joint in joints)


def contact_page(entries: Sequence[Entry], *, title: str, note: str) -> str:
    """The page.

    Args:
        entries: the persons, in order.
        title: of the page and its heading.
        note: a sentence under the heading.
    """
    return _PAGE.format(
        title=escape(title),
        note=escape(note),
        count=len(entries),
        style=_STYLE,
        script=_SCRIPT,
        items="\n".join(map(_item, entries)),
    )


def _item(entry: Entry) -> str:
    rows = [
        ("missing", spoken(entry.missing) or "none"),
        ("occluded", spoken(entry.occluded) or "none"),
        ("crop", f"{entry.crop_side:.0f} px"),
    ]
    details = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in rows)
    # Each joint with its state before it, so that "missing left wrist" is found in a long list.
    found_by = [
        f"{state} {spoken([joint])}"
        for state, joints in (("missing", entry.missing), ("occluded", entry.occluded))
        for joint in joints
    ]
    source = f"data:image/jpeg;base64,{b64encode(entry.thumbnail).decode()}"
    number = f" <span>#{escape(entry.number)}</span>" if entry.number else ""
    return (
        f'<li data-found-by="{escape("; ".join(found_by))}">'
        f'<img src="{source}" alt="{escape(entry.described)}">'
        f"<h2>{escape(entry.picture)}{number}</h2>"
        f"<dl>{details}</dl></li>"
    )


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<title>{title}</title>
<style>
{style}</style>
</head>
<body>
<header>
<h1>{title}</h1>
<p>{note}</p>
<ul class="legend" aria-label="Marks">
<li><i class="left"></i>left</li>
<li><i class="right"></i>right</li>
<li><i class="centre"></i>middle</li>
<li><i class="ring"></i>occluded</li>
<li>not labelled: left out</li>
</ul>
<p class="filter"><label for="filter">Show those that contain</label>
<input id="filter" type="search" autocomplete="off" spellcheck="false"
 placeholder="a name, a number, missing left wrist" aria-describedby="shown">
<output id="shown" for="filter" aria-live="polite">{count} of {count}</output></p>
</header>
<main>
<ul id="persons">
{items}
</ul>
</main>
<script>
{script}</script>
</body>
</html>
"""

_STYLE = """\
:root { color-scheme: light dark; --paper: #fafaf8; --ink: #202020; --soft: #5c5c5c;
  --line: #d8d8d4; --card: #fff; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #161616; --ink: #ececec; --soft: #a8a8a8; --line: #3a3a3a; --card: #202020; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.45 system-ui, sans-serif; }
header { padding: 12px 20px; background: var(--paper); border-bottom: 1px solid var(--line); }
@media (min-width: 700px) { header { position: sticky; top: 0; z-index: 1; } }
h1 { margin: 0; font-size: 20px; }
header p { margin: 2px 0 0; color: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 6px 0 0; padding: 0;
  list-style: none; color: var(--soft); }
.legend i { display: inline-block; width: 12px; height: 12px; margin-right: 6px;
  border: 1.5px solid #141414; border-radius: 50%; vertical-align: -1px; }
.left { background: #e69f00; }
.right { background: #56b4e9; }
.centre { background: #f5f5f5; }
.ring { background: radial-gradient(circle, #141414 35%, #e69f00 40%); }
.filter { display: flex; flex-wrap: wrap; gap: 4px 10px; align-items: center; }
input { flex: 0 1 24em; min-width: 12em; padding: 5px 9px; border: 1px solid var(--soft);
  border-radius: 6px; background: var(--card); color: var(--ink); font: inherit; }
input:focus-visible { outline: 3px solid #56b4e9; outline-offset: 1px; }
#persons { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 16px;
  margin: 0; padding: 20px; list-style: none; }
#persons li { overflow: hidden; border: 1px solid var(--line); border-radius: 8px;
  background: var(--card); }
#persons li[hidden] { display: none; }
img { display: block; width: 100%; height: auto; }
h2 { margin: 8px 12px 0; font-size: 14px; overflow-wrap: anywhere; }
h2 span { color: var(--soft); font-weight: 400; }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0 10px; margin: 4px 12px 12px;
  font-size: 13px; }
dt { color: var(--soft); }
dd { margin: 0; }
"""

_SCRIPT = """\
const box = document.getElementById("filter");
const shown = document.getElementById("shown");
const persons = [...document.querySelectorAll("#persons > li")].map((item) => [
  item,
  (item.textContent + " " + item.dataset.foundBy).toLowerCase(),
]);
function filter() {
  const wanted = box.value.trim().toLowerCase();
  let count = 0;
  for (const [item, text] of persons) {
    item.hidden = !text.includes(wanted);
    count += !item.hidden;
  }
  shown.value = `${count} of ${persons.length}`;
}
box.addEventListener("input", filter);
filter(); // a browser that goes back to the page fills the box in again
"""

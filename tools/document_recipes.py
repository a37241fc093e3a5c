"""Print the fields of a recipe as Markdown tables, for docs/training.md.

    python tools/document_recipes.py docs/training.md

Replaces what stands between the two marks in that file.
"""

import argparse
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from spcnet.training.recipe import Recipe

BEGIN, END = "<!-- fields of a recipe -->", "<!-- end of the fields -->"


def document(model: type[BaseModel] = Recipe, prefix: str = "") -> str:
    """A table of a section's own fields, then the sections in it."""
    rows, sections = [], []
    for name, field in model.model_fields.items():
        if get_origin(field.annotation) is list and isinstance(
            get_args(field.annotation)[0], type(BaseModel)
        ):
            sections.append(document(get_args(field.annotation)[0], f"{prefix}{name}.N."))
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            sections.append(document(field.annotation, f"{prefix}{name}."))
            continue
        bounds = "".join(f", {bound}" for bound in _bounds(field))
        what = f"{field.description or ''} ({_kind(field.annotation)}{bounds})"
        rows.append(f"| `{prefix}{name}` | {_default(field)} | {what} |")
    heading = " ".join((model.__doc__ or "").split("\n")[0].split())
    table = "\n".join(["| field | default | |", "|---|---|---|", *rows])
    return "\n\n".join([heading, table, *sections])


def _default(field: FieldInfo) -> str:
    return "required" if field.default is PydanticUndefined else f"`{field.default!r}`"


def _kind(annotation: Any) -> str:
    parts = get_args(annotation)
    if get_origin(annotation) is list:
        return f"list of {_kind(parts[0])}"
    if parts and all(isinstance(part, str) for part in parts):
        return ", ".join(parts)
    if parts and type(None) in parts:
        return " or ".join(_kind(part) for part in parts if part is not type(None)) + " or null"
    if isinstance(annotation, type) and issubclass(annotation, dict):
        return "mapping"
    return str(getattr(annotation, "__name__", annotation))


def _bounds(field: FieldInfo) -> list[str]:
    signs = {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}
    return [
        f"{sign} {getattr(limit, name):g}"
        for limit in field.metadata
        for name, sign in signs.items()
        if hasattr(limit, name)
    ]


def main() -> None:
    """Write the tables into the file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", type=Path)
    path = parser.parse_args().file
    before, _, rest = path.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    path.write_text(f"{before}{BEGIN}\n\n{document()}\n\n{END}{after}")
    print(path)


if __name__ == "__main__":
    main()

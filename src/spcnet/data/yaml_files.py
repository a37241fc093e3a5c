"""YAML as people write it: recipes, and what some tools say of their labels."""

import re
from itertools import accumulate
from pathlib import Path
from typing import Any

import yaml

from spcnet.errors import UserError

MOST_BYTES, MOST_NESTED = 1_000_000, 50  # the parser is slow where it is deep


def load_yaml(path: Path) -> Any:
    """The plain values of a YAML file; a `UserError` where it is none, or a key stands twice."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from None
    if len(content) > MOST_BYTES:
        raise UserError(f"{path}: more than {MOST_BYTES:,} bytes; not a file of ours")
    signs = re.findall(rb"[\[\]{}]", content)
    if max(accumulate(1 if sign in b"[{" else -1 for sign in signs), default=0) > MOST_NESTED:
        raise UserError(f"{path}: brackets nested more than {MOST_NESTED} deep; not a file of ours")
    try:
        return yaml.load(content.decode(), _OnceLoader)
    except Exception as error:  # what broken values make its parser raise is past listing
        reason = " ".join(str(error).split())[:300]
        raise UserError(f"{path}: not a YAML file: {reason}") from None


class _OnceLoader(yaml.SafeLoader):
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    problem=f"{key.value!r} stands twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)

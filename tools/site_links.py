"""A hook of mkdocs: links from a page to files beyond docs/ become plain text on the site.

In the repository ``[NOTICE](../NOTICE)`` leads somewhere; on the site there is no such file.
"""

import re

LINK_BEYOND = re.compile(r"(?<!!)\[([^\]]+)\]\(\.\./[^)]*\)")


def on_page_markdown(markdown: str, **_: object) -> str:
    """The page's text without such links."""
    return LINK_BEYOND.sub(r"\1", markdown)

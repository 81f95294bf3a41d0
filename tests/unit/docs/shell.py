"""The shell blocks of a page: what a reader copies."""

from __future__ import annotations

import re


def shell_blocks(page: str, section: str = "") -> list[str]:
    """Return the blocks that are marked `shell`, in order; of one chapter (`## section`) if it is named."""
    if section:
        _, _, rest = page.partition(f"\n## {section}\n")
        page = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    return re.findall(r"^```shell\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)

"""What the build adds: the README as a package index can show it, where nothing lies beside it."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from hatchling.metadata.plugin.interface import MetadataHookInterface

REPOSITORY = "LEFS_REPOSITORY"  # the address that links lead to, where pyproject.toml has none yet


def portable(text: str, repository: str = "") -> str:
    """Links to files lead to the repository; without one, pictures are left out and links are text."""
    local = r"\]\((?![a-z]+:|#)([^)]+)\)"
    if repository:
        text = re.sub(rf"(!\[[^]]*){local}", rf"\1]({repository}/raw/HEAD/\2)", text)
        return re.sub(local, rf"]({repository}/blob/HEAD/\1)", text)
    text = re.sub(rf"^!\[[^]]*{local}\n\n?", "", text, flags=re.MULTILINE)
    return re.sub(rf"\[([^]]*){local}", r"\1", text)


class Readme(MetadataHookInterface):
    """Fills in the dynamic field ``readme``."""

    def update(self, metadata: dict[str, Any]) -> None:
        """Hatchling's entry."""
        address = os.environ.get(REPOSITORY) or metadata.get("urls", {}).get("Repository", "")
        text = (Path(self.root) / "README.md").read_text(encoding="utf-8")
        metadata["readme"] = {"content-type": "text/markdown", "text": portable(text, address.rstrip("/"))}

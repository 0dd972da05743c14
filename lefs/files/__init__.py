"""Files: other people's weights and catalogs, and the format of lefs, in and out."""

from __future__ import annotations

__all__: list[str] = []

"""The bytes of a file as Python's unpickler asks for them."""

from __future__ import annotations

import re

from lefs.files.reading.values import damaged

__all__ = ["VIEW", "Source"]

VIEW = 2**16  # bytes; longer contents are handed out as views of the file
_LINE_END = re.compile(rb"\n")


class Source:
    """Reads a memoryview from the front. Lengths are checked before anything is taken.

    Parameters
    ----------
    data : memoryview
    start : int
        Where to begin; `at` is the position of what comes next.
    """

    def __init__(self, data: memoryview, start: int):
        self.data, self.at = data, start

    def read(self, size: int) -> bytes | memoryview:
        """The next `size` bytes, as a view if they are many."""
        start, self.at = self.at, self.at + size
        if self.at > len(self.data):
            raise damaged(f"it ends after {len(self.data):,} bytes, in the midst of a value")
        part = self.data[start : self.at]
        return part if size > VIEW else part.tobytes()

    def readline(self) -> bytes:
        """The next line, with its end."""
        end = _LINE_END.search(self.data, self.at)
        if end is None:
            raise damaged(f"it ends after {len(self.data):,} bytes, in the midst of a line")
        start, self.at = self.at, end.end()
        return self.data[start : self.at].tobytes()

"""What kind of file is this? From its first bytes, never from its name."""

from __future__ import annotations

import re

from lefs.files.reading.torch_files import LEGACY_START, ZIP_START, checkpoints_in, members
from lefs.records import ArtifactError

__all__ = ["explain", "sniff"]

_HEAD = 4096
_BEGINNINGS = {
    "torch-legacy": LEGACY_START,
    "pickle": re.compile(rb"\x80[\0-\5]"),
    "lfs-pointer": re.compile(rb"version https://git-lfs"),
    "html": re.compile(
        rb"\s*(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body|script|title)\b", re.I | re.S
    ),
}
_QUOTA = re.compile(rb"quota exceeded|too many users|download quota|virus scan warning|can't scan", re.I)
# How the older protocols, which have no number in front, begin in practice: a class, or a container.
_OLD_PICKLE = re.compile(rb"c[\w.]+\r?\n[\w.]+\r?\n|\([dl]p\d+\r?\n|[\]})]q.", re.S)
# Instructions of old protocols, but for texts after their length, of which this is the number of bytes.
_OLD_INSTRUCTION = re.compile(
    rb"[(0-2NRabdelostu)\]}]|[FILSVPgp][^\n]{0,1000}\n|[ci][^\n]{1,500}\n[^\n]{1,500}\n"
    rb"|[Khq].|M..|[Jjr].{4}|G.{8}",
    re.S,
)
_LENGTHS = {ord("U"): 1, ord("T"): 4, ord("X"): 4}
# what to do with the latents of a picture
_STYLES = "; if it holds the w of a picture, hand it to lefs.source_styles(generator, file)"
_ARCHIVES = {b"\x1f\x8b": "a gzip", b"BZh": "a bzip2", b"\xfd7zXZ": "an xz", b"7z\xbc\xaf": "a 7z"}
_ARCHIVES |= {b"ustar": "a tar", b"Rar!": "a RAR"}
_OTHER = {beginning: f"{kind} archive; unpack it first" for beginning, kind in _ARCHIVES.items()} | {
    b"\x89HDF": "an HDF5 file (Keras weights?)",
    b"\x93NUMPY": f"a numpy array, not a generator{_STYLES}",
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"%PDF": "a PDF document",
    b"GGUF": "a GGUF language model",
    b"\x7fELF": "a program",
}

# kind that is not read → what the file is, in words, and what to do
_KINDS = {
    "safetensors": "is a safetensors file; lefs loads those that it wrote, whose names end in .safetensors",
    "html": "is an HTML page, not weights: the download failed; open it in a browser to see why",
    "text": "is a text file, not weights",
    "lfs-pointer": "is a git-LFS pointer, a note of where the weights are; fetch them with: git lfs pull",
    "npz": f"is an archive of numpy arrays, not a generator{_STYLES}",
    "empty": "is empty (0 bytes); download or copy it again",
    "zip": "is a zip archive, but no PyTorch checkpoint; if weights are inside, unpack it first",
    "unknown": "is of a kind that lefs does not know",
}


def sniff(data: memoryview) -> str:
    """Say what kind of file it is whose content is `data`.

    Returns
    -------
    One of ``"pickle"``, ``"torch-zip"``, ``"torch-legacy"``, ``"safetensors"``, ``"html"``, ``"text"``,
    ``"lfs-pointer"``, ``"empty"``, ``"npz"``, ``"zip"``, ``"unknown"``
    """
    head = bytes(data[:_HEAD])
    if found := next((kind for kind, pattern in _BEGINNINGS.items() if pattern.match(head)), None):
        return found
    if head.startswith((ZIP_START, b"PK\5\6")):
        return _sniff_zip(data)
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") <= len(data) - 8:
        return "safetensors"
    if head.startswith(tuple(_OTHER)):
        return "unknown"
    if _OLD_PICKLE.match(head) or _follows(data):
        return "pickle"
    # A character may be cut in two at the end of what was looked at.
    text = head.decode("utf-8", "ignore")
    printable = all(c.isprintable() or c.isspace() for c in text)
    kind = "text" if printable and len(text.encode()) >= len(head) - 3 else "unknown"
    return kind if head else "empty"


def _sniff_zip(data: memoryview) -> str:
    try:
        names = members(data)
    except ArtifactError:
        # A torn archive: the beginning still tells.
        torn = re.search(rb"PK\x03\x04.{26}[^/]{1,200}/data\.pkl", bytes(data[:_HEAD]), re.S)
        return "torch-zip" if torn else "zip"
    if len(checkpoints_in(names)) == 1:
        return "torch-zip"
    return "npz" if names and all(n.endswith(".npy") for n in names) else "zip"


def _follows(data: memoryview) -> bool:
    """Whether the content goes on like an old pickle for 64 instructions, or to a pickle's end."""
    at = 0
    for _ in range(64):
        if at >= len(data) or data[at] == ord("."):
            return at < len(data)
        if found := _OLD_INSTRUCTION.match(data, at):
            at = found.end()
        elif size := _LENGTHS.get(data[at]):
            at += 1 + size + int.from_bytes(data[at + 1 : at + 1 + size], "little")
        else:
            return False
    return True


def explain(data: memoryview, kind: str) -> str:
    """What the file is and what to do, to follow its path in a message."""
    head = bytes(data[: 2**16])
    if kind == "html" and _QUOTA.search(head):
        return (
            "is an HTML page, not weights: Google Drive answered that its download quota is exceeded; "
            "try again in a day, or sign in and make a copy in your own Drive"
        )
    if kind == "text":
        return f"{_KINDS[kind]}; it begins with {head[:60].decode('utf-8', 'replace')!r}"
    if kind == "unknown":
        tar = head[257:262] == b"ustar"
        other = _OTHER[b"ustar"] if tar else next((v for k, v in _OTHER.items() if head.startswith(k)), None)
        return f"is {other}" if other else f"{_KINDS[kind]}; it begins with the bytes {head[:8].hex(' ')}"
    return _KINDS[kind]

"""Pictures and styles of a run's pages: each a file once, named by its content, shared among runs."""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import os
import re
import secrets
from contextlib import suppress
from pathlib import Path
from typing import Any

import nbformat
from PIL import Image

from lefs.records import (
    ArtifactError,
    file_sha256,
    load_record,
    save_tensors,
    write_atomically,
    write_json,
)
from lefs.runner.notebooks import write_text

__all__ = ["link_pictures", "link_styles", "share"]

_FOLDER = "assets"
_IMAGES = {"image/png": "png", "image/jpeg": "jpeg", "image/svg+xml": "svg"}
_STYLES = re.compile(r"<style[^>]*>(.*?)</style>", re.DOTALL)
_SMALL = 4096  # bytes: what is not worth a link, and what people change by hand


def link_pictures(notebook: nbformat.NotebookNode, folder: Path) -> nbformat.NotebookNode:
    """Write a notebook's pictures into a folder, and return the notebook with links in their place.

    Parameters
    ----------
    notebook : NotebookNode
        Executed, as nbformat reads it.
    folder : Path
        Of the run; pictures go into its ``assets``.
    """
    notebook = copy.deepcopy(notebook)
    for output in (o for cell in notebook.cells for o in cell.get("outputs", [])):
        data = output.get("data", {})
        mime = next((mime for mime in _IMAGES if mime in data), None)
        if mime is not None:
            picture = _keep("".join(data.pop(mime)), _IMAGES[mime], folder)
            output.metadata["lefs"] = picture
            size = f' width="{picture["width"]}" height="{picture["height"]}"' if picture["width"] else ""
            data["text/html"] = f'<img alt="Figure" src="{picture["source"]}"{size}>'
    return notebook


def _keep(text: str, kind: str, folder: Path) -> dict[str, Any]:
    raw = text.encode() if kind == "svg" else base64.b64decode(text)
    source = f"{_FOLDER}/{hashlib.sha256(raw).hexdigest()[:24]}.{kind}"
    image = None if kind == "svg" else Image.open(io.BytesIO(raw))
    if not (folder / source).exists():
        small = min(raw, _smaller(image), key=len) if image is not None and kind == "png" else raw
        write_atomically(folder / source, lambda path: path.write_bytes(small))
    width, height = (0, 0) if image is None else image.size
    return {"source": source, "width": width, "height": height}


def _smaller(image: Image.Image) -> bytes:
    """The same pixels as PNG, without a layer of transparency that lets nothing through."""
    if image.mode == "RGBA" and image.getchannel("A").getextrema() == (255, 255):
        image = image.convert("RGB")
    file = io.BytesIO()
    image.save(file, "PNG")  # (more effort takes four times as long, for a thirtieth of the size)
    return file.getvalue()


def link_styles(page: str, folder: Path) -> str:
    """Move the style sheets of a page of HTML, which are those of every page, into a file beside it."""
    head, _, body = page.partition("</head>")
    text = "\n".join(_STYLES.findall(head))
    source = f"{_FOLDER}/{hashlib.sha256(text.encode()).hexdigest()[:24]}.css"
    if not (folder / source).exists():
        write_text(folder / source, text)
    return f'{_STYLES.sub("", head)}<link rel="stylesheet" href="{source}">\n</head>{body}'


def share(folder: Path, store: Path) -> None:
    """Make large files of a run hard links to those of equal content in a store that other runs have, too.

    Catalogs are divided before, so that those of the same clusters share these under any names. Where the
    file system has no such links, each run keeps its own.
    """
    store.mkdir(exist_ok=True)
    kept = [*folder.glob(f"{_FOLDER}/*"), *folder.glob("artifacts/**/*")]
    for path in (p for p in kept if p.is_file() and p.suffix != ".json" and p.stat().st_size > _SMALL):
        with suppress(OSError):
            if path.suffix == ".safetensors" and not path.with_suffix(".json").exists():
                _divide(path)
            _link(path, store / file_sha256(path))


def _divide(path: Path) -> None:
    """Put the JSON of a catalog beside its numbers, as in version 1; at any moment the two can be read."""
    with suppress(ArtifactError):
        content, tensors, _ = load_record(path, expect="lefs-catalog")
        numbers = save_tensors(path.with_name(f".{path.name}"), tensors)
        told = {"version": 1, "tensors_sha256": file_sha256(numbers)}
        write_json(path.with_suffix(".json"), {**content, **told})
        os.replace(numbers, path)


def _link(path: Path, shared: Path) -> None:
    """Make a file one with its equal in the store, which it becomes where there is none."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        os.link(path, shared)
    except FileExistsError:
        os.link(shared, temporary)
        os.replace(temporary, path)
        # (replacing a link by another to the same file does nothing)
        temporary.unlink(missing_ok=True)

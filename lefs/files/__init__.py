"""Files: other people's weights and catalogs, and the format of lefs, in and out. Nothing in them is run."""

from lefs.files.formats import convert, load, save_generator

__all__ = ["convert", "load", "save_generator"]

"""Files: other people's weights and catalogs, and the format of lefs, in and out. Nothing in them is run."""

from lefs.files.formats import convert, load, save_generator
from lefs.files.latents import is_picture, read_latent

__all__ = ["convert", "is_picture", "load", "read_latent", "save_generator"]

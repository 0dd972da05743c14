"""What makes images: the contract, the architectures, the files they come in."""

from lefs.generators.base import Generator, StyleLayer, StylelessGenerator, Trunk
from lefs.generators.formats import convert, load, save_generator
from lefs.generators.styled import StyledGenerator
from lefs.generators.stylegan2 import StyleGAN2, StyleGAN2Config

__all__ = [
    "Generator",
    "StyleGAN2",
    "StyleGAN2Config",
    "StyleLayer",
    "StyledGenerator",
    "StylelessGenerator",
    "Trunk",
    "convert",
    "load",
    "save_generator",
]

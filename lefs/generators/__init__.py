"""What makes images: the contract, the architectures, the files they come in."""

from lefs.generators.formats import convert, load, save_generator
from lefs.generators.progan import ProGAN, ProGANConfig
from lefs.generators.stylegan import StyleGAN, StyleGANConfig
from lefs.generators.stylegan2 import StyleGAN2, StyleGAN2Config
from lefs.generators.stylegan3 import StyleGAN3
from lefs.generators.stylegan3_config import StyleGAN3Config

__all__ = [
    "ProGAN",
    "ProGANConfig",
    "StyleGAN",
    "StyleGAN2",
    "StyleGAN2Config",
    "StyleGAN3",
    "StyleGAN3Config",
    "StyleGANConfig",
    "convert",
    "load",
    "save_generator",
]

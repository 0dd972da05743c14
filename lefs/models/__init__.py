"""Architectures for inference, without custom operators: what makes images of tensors and a configuration."""

from lefs.models.configs import StyleGAN2Config, StyleGAN3Config
from lefs.models.progan import ProGAN, ProGANConfig
from lefs.models.stylegan import StyleGAN, StyleGANConfig
from lefs.models.stylegan2 import StyleGAN2
from lefs.models.stylegan3 import StyleGAN3
from lefs.models.swapping import swap

__all__ = [
    "ProGAN", "ProGANConfig", "StyleGAN", "StyleGAN2", "StyleGAN2Config", "StyleGAN3", "StyleGAN3Config",
    "StyleGANConfig", "swap",
]  # fmt: skip

# Which names `lefs` has and where each lives: read by type checkers, and by lefs/__init__.py.
from typing import Any

from lefs.catalog import Catalog as Catalog
from lefs.clustering import SphericalKMeans as SphericalKMeans
from lefs.dissection import dissect as dissect
from lefs.editing import Change as Change
from lefs.editing import Recipe as Recipe
from lefs.editing import transfer as transfer
from lefs.editor import Edit as Edit
from lefs.editor import Editor as Editor
from lefs.effects import by_effect as by_effect
from lefs.files import load as load
from lefs.files import save_generator as save_generator
from lefs.generator import Generator as Generator
from lefs.inversion import Inversion as Inversion
from lefs.inversion import invert as invert
from lefs.models import StyleGAN2 as StyleGAN2
from lefs.models import StyleGAN2Config as StyleGAN2Config
from lefs.models import swap as swap
from lefs.query import QuerySettings as QuerySettings
from lefs.records import ArtifactError as ArtifactError
from lefs.retrieval import PartBank as PartBank
from lefs.retrieval import retrieve as retrieve
from lefs.rules import pair_query as pair_query
from lefs.rules import sequential_query as sequential_query
from lefs.rules import simultaneous_query as simultaneous_query
from lefs.segmenters import PartSegmenter as PartSegmenter
from lefs.segmenters import load_segmenter as load_segmenter
from lefs.sources import KeptMask as KeptMask
from lefs.sources import KeptStyles as KeptStyles
from lefs.sources import keep_source as keep_source
from lefs.sources import source_styles as source_styles
from lefs.stylespace import StyleLayer as StyleLayer
from lefs.video import animate as animate

__all__: list[str]
__version__: str

def __getattr__(name: str) -> Any: ...

"""The catalog: which parts a generator knows, and which style channels make them."""

from lefs.catalog.catalog import Catalog
from lefs.catalog.identity import GeneratorId, Sampling
from lefs.catalog.pairs import PartEffects
from lefs.catalog.queries import Method

__all__ = ["Catalog", "GeneratorId", "Method", "PartEffects", "Sampling"]

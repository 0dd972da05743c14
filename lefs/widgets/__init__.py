"""Panels for JupyterLab: browse and name a catalog's clusters, edit images live, paint with units.

Live they are widgets; in a saved file, an exported page or a headless run they are pictures of their state.
"""

from lefs.widgets.browser import CatalogBrowser
from lefs.widgets.painter import UnitPainter
from lefs.widgets.studio import EditStudio

__all__ = ["CatalogBrowser", "EditStudio", "UnitPainter"]

"""Panels for JupyterLab: browse and name clusters, edit images live, paint with units, walk along directions.

Live they are widgets; in a saved file, an exported page or a headless run they are pictures of their state.
"""

from lefs.checks import needs

with needs("notebooks", "lefs.widgets"):
    from lefs.widgets.browser import CatalogBrowser
    from lefs.widgets.painter import UnitPainter
    from lefs.widgets.studio import EditStudio
    from lefs.widgets.walk import DirectionWalker

__all__ = ["CatalogBrowser", "DirectionWalker", "EditStudio", "UnitPainter"]

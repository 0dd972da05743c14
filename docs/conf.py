"""Sphinx settings. ``python -m sphinx -W docs docs/_build/html`` builds the site: see building.md."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import site_pages  # what is made from the code and from a run: beside this file

import lefs

project, author = "lefs", "The lefs developers"
project_copyright = f"2026, {author}"
version = release = lefs.__version__

extensions = ["sphinx.ext.autodoc", "numpydoc", "myst_nb"]
exclude_patterns = ["_build", "jupyter_execute", "**.ipynb_checkpoints"]
default_role = "lefs"  # `name` in a docstring: a link where the API has it, code where not
nitpicky = True
suppress_warnings = [
    "ref.python",  # a short name that several classes have leads to one of them
    "mystnb.unknown_mime_type",  # a panel's live state: its picture stands beside it
]

# -- docstrings ----------------------------------------------------------------------------------------------
autodoc_member_order = "bysource"
autosummary_generate = False
autodoc_typehints = "none"  # the Parameters sections say types in words
numpydoc_show_class_members = False

# -- Markdown and notebooks ----------------------------------------------------------------------------------
myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
nb_execution_mode = "off"  # notebooks come executed, from a run
nb_execution_cache_path = str(Path(__file__).parent / "_build" / ".jupyter_cache")
nb_mime_priority_overrides = [
    ("html", "application/vnd.jupyter.widget-view+json", None),  # a panel is shown as the picture it left
    ("html", "image/png", 5),
]
nb_ipywidgets_js: dict[str, dict[str, str]] = {}  # they would come from a CDN
nb_merge_streams = True

# -- HTML: nothing is fetched from elsewhere, so that the pages work from a folder ---------------------------
html_theme = "pydata_sphinx_theme"
html_title = "lefs"
html_static_path = ["_static"]
html_css_files = ["lefs.css"]
html_math_renderer = "mathml"
html_copy_source = html_show_sourcelink = False
html_sidebars = {page: [] for page in ("start", "method", "teaching", "building", "changelog")}  # no section
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 8,
    "show_prev_next": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
}


def setup(app: object) -> None:
    site_pages.setup(app)

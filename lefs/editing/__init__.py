"""The edit: transfer chosen style channels, say what to edit in a recipe, render it with an editor."""

from lefs.editing.editor import Edit, Editor, Superseded
from lefs.editing.recipe import Change, QuerySettings, Recipe
from lefs.editing.transfer import compose, resolve_claims, transfer

__all__ = [
    "Change",
    "Edit",
    "Editor",
    "QuerySettings",
    "Recipe",
    "Superseded",
    "compose",
    "resolve_claims",
    "transfer",
]

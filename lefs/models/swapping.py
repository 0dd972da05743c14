"""Two related networks in one: coarse layers of the first, fine ones of the second."""

from __future__ import annotations

import copy
from typing import Any

from lefs.checks import check_choice
from lefs.generator import Generator, GeneratorId

__all__ = ["swap"]


def swap(generator_a: Generator, generator_b: Generator, from_resolution: int) -> Generator:
    """Layer swapping (Pinkney and Adler 2020): a generator with the pose of one and the texture of another.

    The two should be relatives, one fine-tuned from the other or both from a third: only then do the layers
    of one understand the maps of the other.

    Parameters
    ----------
    generator_a : Generator
        Gives the layers of resolutions below `from_resolution`, and what comes before them: the mapping
        network from z to w with its mean w, and what the first layer begins with.
    generator_b : Generator
        Of the same architecture and widths; gives the layers from `from_resolution` on, with the affine maps
        from w to their styles.
    from_resolution : int
        8, 16, ... up to the images' side; of a StyleGAN3 one of the sampling rates of its layers' results.

    Returns
    -------
    Generator
        With weights and a fingerprint of its own: catalogs of either parent refuse it. Dissect it anew, and
        keep it with `lefs.save_generator`.

    Raises
    ------
    ValueError
        If the two are not alike in all but their weights, or there is no such resolution.

    Examples
    --------
    >>> import lefs
    >>> a = lefs.load("portraits-64")
    >>> made = lefs.swap(a, a, from_resolution=16)  # (of one network that is that network)
    >>> made.fingerprint == a.fingerprint, made.name
    (True, 'portraits-64 below 16, portraits-64 from there')
    """
    mine, theirs = (g.architecture_config for g in (generator_a, generator_b))
    if generator_a.architecture != generator_b.architecture:
        kinds = f"a {type(generator_a).__name__} and a {type(generator_b).__name__}"
        raise ValueError(f"generator_a and generator_b must be of one architecture, got {kinds}")
    if differing := [key for key in mine | theirs if mine.get(key) != theirs.get(key)]:
        listed = "; ".join(f"{k}: {mine.get(k)!r:.100} and {theirs.get(k)!r:.100}" for k in differing[:4])
        raise ValueError(f"generator_a and generator_b must be alike in all but their weights, got {listed}")
    resolutions = _resolutions(generator_a)
    check_choice("from_resolution", from_resolution, sorted(set(resolutions.values())))
    made, finer = copy.deepcopy(generator_a), generator_b.state_dict()
    # (the module that a tensor is in: synthesis.b8.conv1.weight)
    taken = {n: t for n, t in finer.items() if resolutions.get(n.split(".")[1], 0) >= from_resolution}
    made.load_state_dict({**generator_a.state_dict(), **taken})
    made.name = f"{generator_a.name} below {from_resolution}, {generator_b.name} from there"
    parents = {"below": GeneratorId.of(generator_a), "from": GeneratorId.of(generator_b)}
    made.origin = {"publisher": "lefs.swap", "from_resolution": from_resolution}
    made.origin |= {side: parent.to_json() for side, parent in parents.items()}
    return made.freeze()


def _resolutions(generator: Generator) -> dict[str, int]:
    """{module of the synthesis network: resolution of its result}."""
    config: Any = generator.architecture_config
    if generator.architecture == "stylegan3":
        return {plan["name"]: int(plan["out_rate"]) for plan in config["layers"]}
    return {f"b{r}": int(r) for r in config["channels"]}

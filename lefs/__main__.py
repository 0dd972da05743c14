"""The command line: ``lefs run``, ``results``, ``notebooks``, ``studio``, ``edit``, ``invert``, ``info`` and
``convert``, also as ``python -m lefs``.

What the user can mend (a wrong name, a missing file) is one message on standard error and exit code 2;
a notebook that fails is exit code 1.
"""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import lefs

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program's name; by default the process's own.

    Returns
    -------
    int
        0; 1 if a notebook failed or nobody reads what is said; 2 if what was asked for cannot be done; 130 if
        interrupted.
    """
    # In this process of its own: jsonschema, which nbformat imports, would build a grammar of web addresses.
    # That takes seconds, and notebooks have none to check.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    if sys.stdout is None:  # (closed by whoever started us, and the next file that is opened would be it)
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    if rest and arguments.command not in (_notebooks, _studio):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    arguments.rest = rest
    # (importing PyTorch makes no garbage; looking for it takes a tenth of the time)
    gc.disable()
    from lefs.records import ArtifactError

    gc.enable()
    try:
        code = int(arguments.command(arguments))
        sys.stdout.flush()
        return code
    except OSError as error:  # (of standard output: its reader has gone, its disk is full)
        with suppress(OSError):  # (Python would try once more at its end, and complain)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1 if isinstance(error, BrokenPipeError) else _complain(error, 1)
    except ArtifactError as error:
        return _complain(error, 2)
    except ModuleNotFoundError as error:  # (of an extra: `lefs.checks.needs` says which)
        if (error.name or "lefs").startswith("lefs"):
            raise
        return _complain(error, 2)
    except KeyboardInterrupt:
        return _complain("interrupted; what was finished is kept", 130)
    except lefs.runner.RunError as error:  # (imported only where something went wrong)
        return _complain(error, error.exit_code)
    except (TypeError, ValueError) as error:
        if arguments.command not in (_edit, _invert):  # (whose arguments are those of the library)
            raise
        return _complain(error, 2)


def _complain(error: object, code: int) -> int:
    sys.stderr.write(f"lefs: {error}\n")
    return code


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)


def _parser() -> argparse.ArgumentParser:
    about = "See what a StyleGAN has learned, and edit one part."
    parser = argparse.ArgumentParser(prog="lefs", description=about)
    parser.add_argument("--version", action="version", version=f"lefs {lefs.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="execute the notebooks and collect their figures"))
    found = commands.add_parser("results", help="one table over runs, and their figures side by side")
    found.set_defaults(command=_results)
    found.add_argument("folders", nargs="+", metavar="FOLDER", help="a run, or a folder that holds runs")
    where = "where results.csv and index.html go (default: %(default)s)"
    found.add_argument("--out", default="results", metavar="DIR", help=where)
    books = commands.add_parser(
        "notebooks", help="copy the notebooks into a folder and open JupyterLab there"
    )
    books.set_defaults(command=_notebooks)
    books.epilog = "Further options, such as --no-browser or --port=9000, go to JupyterLab."
    where = "where to; yours are never written over (default: %(default)s)"
    books.add_argument("folder", nargs="?", default="lefs-notebooks", metavar="DIR", help=where)
    books.add_argument("--copy-only", action="store_true", help="copy them, and stop")
    studio = commands.add_parser("studio", help="open the edit studio alone, as a page in a browser")
    studio.set_defaults(command=_studio)
    studio.epilog = "Further options, such as --no-browser or --port=9000, go to Voila."
    which = "as for info (default: %(default)s)"
    studio.add_argument("generator", nargs="?", default="portraits", metavar="GENERATOR", help=which)
    studio.add_argument("catalog", nargs="?", metavar="CATALOG", help="(default: beside the generator)")
    out = "where pictures are saved (default: %(default)s)"
    studio.add_argument("--out", default="lefs-studio", metavar="DIR", help=out)
    _add_invert(commands.add_parser("invert", help="find the styles that make a picture"))
    _add_edit(commands.add_parser("edit", help="take parts over from other images, or replay an edit"))
    info = commands.add_parser("info", help="say what a file holds: a generator, a catalog, a recipe, ...")
    info.set_defaults(command=_info)
    info.add_argument("generator", help="a file, a folder, or the name of an embedded one, such as portraits")
    info.add_argument("--json", action="store_true", help="print all that a file of lefs says of itself")
    convert = commands.add_parser("convert", help="write any generator as .safetensors, or for others")
    convert.set_defaults(command=_convert)
    convert.add_argument("source", metavar="IN", help="as for info")
    convert.add_argument("target", metavar="OUT", help="a folder, or a file name that ends in .safetensors")
    which = "lefs (default); a StyleGAN2 also as a .pt of rosinality's, or of NVIDIA's names"
    formats = ("lefs", "rosinality", "nvidia-state-dict")
    convert.add_argument("--to", choices=formats, default="lefs", help=which)
    return parser


def _add_run(run: argparse.ArgumentParser) -> None:
    run.set_defaults(command=_run)
    which = "such as 1_dissection, 1, or a path; default: all"
    run.add_argument("notebooks", nargs="*", metavar="NOTEBOOK", help=which)
    what = "set a parameter wherever it is declared, or of one notebook: 1_dissection.clusters"
    pair = ("NAME", "VALUE")
    run.add_argument("-p", dest="parameters", nargs=2, action="append", default=[], metavar=pair, help=what)
    run.add_argument("--name", help="ends the run folder's name (default: the notebook's, or 'all')")
    out = "folder that collects runs (default: %(default)s)"
    run.add_argument("--out", default="runs", metavar="DIR", help=out)
    where = "where they lie (default: ./notebooks, or else those that came with lefs)"
    run.add_argument("--notebooks", dest="folder", metavar="DIR", help=where)
    run.add_argument("--list", action="store_true", help="list the notebooks and their parameters, and stop")
    values = "run at each of these values; given again, at each pair of them; --name then names the folder"
    run.add_argument("--sweep", action="append", default=[], metavar="NAME=VALUE,...", help=values)
    rows = "run at the points of a .csv (names above) or a .json (a list of objects)"
    run.add_argument("--sweep-file", metavar="FILE", help=rows)
    side = "how many runs of a sweep at a time (default: %(default)s)"
    run.add_argument("--workers", type=int, default=1, metavar="N", help=side)
    run.add_argument("--only-failed", action="store_true", help="run again what failed, and nothing else")
    run.add_argument("--shard", default="1/1", metavar="I/N", help="the Ith of N machines' share of a sweep")


def _add_common(command: argparse.ArgumentParser, out: str) -> None:
    command.add_argument("--generator", default="portraits", help="as for info (default: %(default)s)")
    command.add_argument("--steps", type=int, default=200, help="of an inversion (default: %(default)s)")
    spaces = ("w", "w+", "styles")
    command.add_argument(
        "--space", choices=spaces, default="w+", help="of an inversion (default: %(default)s)"
    )
    command.add_argument("--out", default=out, metavar="NAME", help="of the files (default: %(default)s)")


def _add_invert(invert: argparse.ArgumentParser) -> None:
    invert.set_defaults(command=_invert)
    invert.add_argument("picture", metavar="PICTURE", help="of any size; of faces, cut out as in training")
    box = ("LEFT", "TOP", "RIGHT", "BOTTOM")
    crop = "the box to cut out, in pixels (default: the middle)"
    invert.add_argument("--crop", nargs=4, type=int, metavar=box, help=crop)
    invert.add_argument("--masked", metavar="FILE", help="a mask of the same size: what is white is left out")
    _add_common(invert, "inversion")


def _add_edit(edit: argparse.ArgumentParser) -> None:
    edit.set_defaults(command=_edit)
    again = "made before: the JSON of a recipe, or a picture with its recipe inside; the last one is edited"
    edit.add_argument("recipes", nargs="*", metavar="RECIPE", help=again)
    source = "a seed, a picture, an inversion, or a file of a w, W+ or styles"
    edit.add_argument("--target", metavar="SOURCE", help=source)
    for name, what in (("reference", f"{source}; one for each part"), ("part", "such as hair")):
        edit.add_argument(f"--{name}", default=[], action="append", metavar=name.upper(), help=what)
    way = "also the way of the strength, or from recipe to recipe: a .png (filmstrip), .gif or .mp4"
    edit.add_argument("--animate", metavar="FILE", help=way)
    edit.add_argument("--catalog", metavar="DIR", help="(default: beside the generator)")
    where = "in the part's place, or by channels, everywhere (default: %(default)s)"
    edit.add_argument("--where", choices=("part", "everywhere"), default="part", help=where)
    mask = "where, bright, instead of where the catalog finds the part; one for each part"
    edit.add_argument("--mask", action="append", default=[], metavar="PICTURE", help=mask)
    edit.add_argument("--strength", type=float, default=1.0, help="from 0 to 1 (default: %(default)s)")
    edit.add_argument("--truncation", type=float, default=0.7, help="of seeds (default: %(default)s)")
    _add_common(edit, "edit")


def _run(arguments: argparse.Namespace) -> int:
    from lefs.runner import describe_notebooks, find_notebooks, run_notebooks

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # (as with Ctrl-C: what was finished is kept)
    names, folder = arguments.notebooks, arguments.folder
    if arguments.list:
        _say(describe_notebooks(find_notebooks(names, folder=folder)))
        return 0
    if arguments.sweep or arguments.sweep_file:
        return _sweep(arguments)
    run = run_notebooks(
        names, folder=folder, parameters=arguments.parameters, name=arguments.name, out=arguments.out
    )
    _say(*(f"{record['notebook']:<20} {record['seconds']:7.1f} s" for record in run.notebooks))
    _say(f"gallery: {_shown(run.gallery)}")
    return 0


def _sweep(arguments: argparse.Namespace) -> int:
    from lefs.runner import read_grid, read_rows, sweep_notebooks

    sweep = sweep_notebooks(
        arguments.notebooks,
        grid=read_grid(arguments.sweep),
        rows=read_rows(arguments.sweep_file) if arguments.sweep_file else [{}],
        **{name: getattr(arguments, name) for name in ("parameters", "name", "out", "folder")},
        **{name: getattr(arguments, name) for name in ("workers", "only_failed", "shard")},
    )
    _say(*(f"failed: {label}\n  {error}" for label, error in sweep.failed.items()))
    _say(*([f"not run yet: {sweep.missing} points"] if sweep.missing else []))
    _say(f"table: {_shown(sweep.folder / 'index.html')}")
    return 1 if sweep.failed else 0


def _results(arguments: argparse.Namespace) -> int:
    from lefs.runner import save_results

    _say(f"table: {_shown(save_results(arguments.folders, arguments.out))}")
    return 0


def _shown(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _notebooks(arguments: argparse.Namespace) -> int:
    from lefs.runner import copy_notebooks, open_jupyterlab

    for name, done in copy_notebooks(arguments.folder).items():
        _say(f"{name:<20} {done}")
        if done == "kept":
            _say("    it was changed or run, and there is a newer one; rename or delete yours to get that")
    if arguments.copy_only:
        return 0
    sys.stdout.flush()
    return open_jupyterlab(arguments.folder, options=arguments.rest)


def _studio(arguments: argparse.Namespace) -> int:
    from lefs.runner import open_studio

    _say(
        "Only this machine reaches the page, with the token in its address. To share it, each computer runs",
        "    ssh -N -L 8866:127.0.0.1:8866 NAME@THIS-MACHINE",
        "and opens that address; docs/studio.md says more, and what a class needs.",
    )
    sys.stdout.flush()
    return open_studio(arguments.generator, arguments.catalog, out=arguments.out, options=arguments.rest)


def _invert(arguments: argparse.Namespace) -> int:
    generator = lefs.load(arguments.generator)
    options = {name: getattr(arguments, name) for name in ("space", "steps", "crop", "masked")}
    found = lefs.invert(generator, arguments.picture, **options)
    _save_row(arguments.out, found.pictures)
    box, size = "{}, {}, {}, {}".format(*found.crop), "{} x {}".format(*generator.size)
    _say(
        f"cut out {box} (left, top, right, bottom), resized to {size}: {found.psnr:.1f} dB",
        f"saved {found.save(arguments.out)}, a source of lefs edit, and {arguments.out}.png",
    )
    return 0


def _edit(arguments: argparse.Namespace) -> int:
    masks = arguments.mask or [None] * len(arguments.part)
    if bool(arguments.recipes) == (arguments.target is not None):
        return _complain("give a recipe's file, or --target with --reference and --part", 2)
    if not len(arguments.part) == len(arguments.reference) == len(masks):
        return _complain("give as many --reference (and --mask, if any) as --part, one for each", 2)
    generator = lefs.load(arguments.generator)
    catalog = lefs.Catalog.load(arguments.catalog or arguments.generator)
    recipes = [_replayed(path) for path in arguments.recipes] or [_asked_for(generator, arguments)]
    editor, out = lefs.Editor(generator, catalog), arguments.out
    edit = editor.render(recipes[-1])
    _save_row(f"{out}_row", edit.pictures)
    saved = edit.save(f"{out}.png"), edit.recipe.save(f"{out}.json")
    _say(f"saved {saved[0]}, with the recipe inside; {saved[1]}; {out}_row.png")
    if arguments.animate:
        way = recipes if len(recipes) > 1 else recipes[0]
        _say(f"saved {lefs.animate(editor, way, arguments.animate)}")
    return 0


def _replayed(path: str) -> lefs.Recipe:
    picture = Path(path).suffix.lower() == ".png"
    return lefs.Recipe.from_png(path) if picture else lefs.Recipe.load(path)


def _asked_for(generator: lefs.Generator, arguments: argparse.Namespace) -> lefs.Recipe:
    target, *references = (
        _source(generator, text, arguments) for text in (arguments.target, *arguments.reference)
    )
    settings, strength = lefs.QuerySettings(where=arguments.where), arguments.strength
    masks = arguments.mask or [None] * len(arguments.part)
    chosen = zip(arguments.part, references, masks, strict=True)
    changes = tuple(lefs.Change(part, r, strength, settings, mask) for part, r, mask in chosen)
    return lefs.Recipe(target, changes, arguments.truncation)


def _source(generator: lefs.Generator, text: str, arguments: argparse.Namespace) -> Any:
    """A seed, a file, or the inversion of a picture."""
    from lefs.sources import is_picture

    if not is_picture(text):
        return int(text) if text.isdecimal() else text
    return lefs.invert(generator, text, space=arguments.space, steps=arguments.steps)


def _save_row(name: str, pictures: Mapping[str, Tensor]) -> None:
    from torch import cat

    from lefs.images import save_png

    save_png(f"{name}.png", cat(list(pictures.values()), dim=2))


def _info(arguments: argparse.Namespace) -> int:
    from lefs.files import load
    from lefs.records import describe_record, locate

    path = locate(arguments.generator)
    if path.is_dir() and not (path / "generator.safetensors").exists():
        path = min(path.glob("*.safetensors"), default=path)
    if arguments.json:
        _say(describe_record(path, whole=True))
    elif path.suffix in (".safetensors", ".json") and (said := describe_record(path)):
        _say(said)
    else:
        _say_generator(load(path))
    return 0


def _say_generator(generator: lefs.Generator) -> None:
    from lefs.records import printable

    size = "{} x {}".format(*generator.size)
    facts = {
        "name": generator.name,
        "family": f"{generator.architecture} ({type(generator).__name__})",
        "publisher": (generator.origin or {}).get("publisher", "lefs"),
        "images": f"{size}, previews at {', '.join(map(str, generator.preview_sizes))}",
        "parameters": f"{sum(p.numel() for p in generator.parameters()):,}",
        "latents": f"z {generator.z_dim}, w {generator.num_ws} x {generator.w_dim}",
        "classes": f"0 to {generator.label_dim - 1}" if generator.label_dim else "none, not conditional",
        "styles": f"{generator.num_styles:,} in {len(generator.layers)} layers",
        "clustered by": generator.default_layer,
        "fingerprint": generator.fingerprint,
    }
    if not generator.has_styles:
        facts |= {"latents": f"z {generator.z_dim}", "styles": "none: dissection works, editing does not"}
    _say(*(f"{name:<13} {printable(str(value))}" for name, value in facts.items()))
    _say(f"\n{'layer':<16} {'kind':<5} {'map':>11} {'channels':>9}  styles")
    for layer in generator.layers:
        side = "{} x {}".format(*layer.size)
        span = f"{layer.span.start} to {layer.span.stop - 1}" if generator.has_styles else "none"
        _say(f"{layer.name:<16} {layer.kind:<5} {side:>11} {layer.channels:>9}  {span}")


def _convert(arguments: argparse.Namespace) -> int:
    from lefs.files.formats import convert

    generator = convert(arguments.source, arguments.target, to=arguments.to)
    _say(f"{arguments.target}: {generator.name}, {generator.architecture}, {generator.fingerprint[:12]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The command line: ``lefs run``, ``results``, ``notebooks``, ``studio``, ``edit``, ``invert``, ``info`` and
``convert``, also as ``python -m lefs``.

What the user can mend (a wrong name, a missing file) is one message on standard error and exit code 2;
a notebook that fails is exit code 1. A command is a function here, and its docstring is its help: a line an
option, how it is spelled and what it is.
"""

from __future__ import annotations

import argparse
import ast
import gc
import inspect
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import lefs

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["main"]

_LONGEST = 20_000  # characters of a message, which may list all parameters of all notebooks
_WHOLE = ("--workers", "--crop")  # options that are whole numbers, and have no default that would say so


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
    # (closed by whoever started us: the next file to be opened would be it)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_WRONLY), "w"))
    parser = _parser()
    arguments, rest = parser.parse_known_args(argv)
    serves = arguments.command in (_notebooks, _studio)
    if rest and (not serves or getattr(arguments, "copy_only", False)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    arguments.rest = rest
    # (importing PyTorch makes no garbage; looking for it takes a tenth of the time)
    gc.disable()
    _ = serves or lefs.Generator
    gc.enable()
    try:
        code = int(arguments.command(arguments) or 0)
        sys.stdout.flush()
        return code
    except OSError as error:  # (of standard output: its reader has gone, its disk is full)
        with suppress(OSError):  # (Python would try once more at its end, and complain)
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1 if isinstance(error, BrokenPipeError) else _complain(error, 1)
    except KeyboardInterrupt:
        return _complain("interrupted; what was finished is kept", 130)
    except Exception as error:
        if not _mendable(error, arguments.command):
            raise
        return _complain(error, getattr(error, "exit_code", 2))


def _mendable(error: Exception, command: Callable[..., int | None]) -> bool:
    """Whether it says what the user can do about it."""
    if isinstance(error, ModuleNotFoundError):  # (of an extra: `lefs.checks.needs` says which)
        return not (error.name or "lefs").startswith("lefs")
    if isinstance(error, TypeError | ValueError) and command in (_edit, _invert):
        return True  # (their arguments are those of the library)
    return isinstance(error, lefs.ArtifactError | lefs.runner.RunError)


def _complain(error: object, code: int) -> int:
    sys.stderr.write(f"lefs: {lefs.records.printable(str(error), _LONGEST)}\n")
    return code


def _say(*lines: str) -> None:
    sys.stdout.writelines(f"{line}\n" for line in lines)
    sys.stdout.flush()  # (what a server says next comes after)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"lefs: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    if not __doc__:
        raise SystemExit("lefs: its options are in its docstrings; run Python without -OO (PYTHONOPTIMIZE)")
    parser = _Parser(prog="lefs", description="See what a StyleGAN has learned, and edit one part.")
    parser.add_argument("--version", action="version", version=f"lefs {lefs.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in (_run, _results, _notebooks, _studio, _invert, _edit, _info, _convert):
        text, *below, options = inspect.cleandoc(command.__doc__ or "").split("\n\n")
        added = commands.add_parser(command.__name__.strip("_"), help=text, epilog=" ".join(below))
        added.set_defaults(command=command)
        for spelled, said in re.findall(r"^(\S.*?)  +(.+(?:\n  .+)*)", options, re.MULTILINE):
            _add(added, spelled, said)
    return parser


def _add(parser: argparse.ArgumentParser, spelled: str, text: str) -> None:
    """Add ``name VALUE``, ``--name VALUE``, ``--name {one,other}`` or ``--name``, of the type of its default.

    A mark after the last value says how often it is given: ``?`` at most once, ``+`` at least once, ``*`` as
    often as one likes.
    """
    words = spelled.rstrip("?*+")
    (name, *values), mark = words.split(), spelled.removeprefix(words)
    if not values:
        parser.add_argument(name, action="store_true", help=text)
        return
    told = re.search(r"\(default: (\S+)\)$", text)
    default: Any = told and told[1]
    with suppress(SyntaxError, ValueError):
        default = ast.literal_eval(default)
    more: dict[str, Any] = {"default": default, "type": int if name in _WHOLE else default and type(default)}
    if values[0].startswith("{"):
        more["choices"] = values[0].strip("{}").split(",")
    else:
        more["metavar"] = values[0] if len(values) == 1 else tuple(values)
    more["nargs"] = len(values) if len(values) > 1 else None
    if mark:
        more |= {"action": "append", "default": []} if name.startswith("-") else {"nargs": mark}
    parser.add_argument(name, help=text, **more)


def _run(arguments: argparse.Namespace) -> int:
    """Execute the notebooks and collect their figures.

    names NOTEBOOK*         for example 1_dissection, 1, or a path; none: all
    -p NAME VALUE*          set a parameter in all notebooks that have it, or in one: 1_dissection.clusters
    --name NAME             end of a run folder's name, or a sweep's name (default: the notebook's, or 'all')
    --out DIR               folder that collects runs (default: runs)
    --notebooks DIR         folder of the notebooks (default: ./notebooks, or else those that came with lefs)
    --list                  list the notebooks and their parameters, and stop
    --sweep NAME=VALUE,...*  run at each of these values; write a list in brackets, JSON in braces:
                            parts=[hair,eyes],[mouth]; if given twice, at each combination
    --sweep-file FILE        run at the points in a .csv (first line: names) or a .json (a list of objects)
    --workers N             how many at a time: notebooks (2 of those of lefs), or runs of a sweep (1)
    --only-failed           run only what failed, once more
    --shard I/N             share of the Ith of N machines in a sweep (default: 1/1)
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # (as with Ctrl-C: what was finished is kept)
    names, folder = arguments.names, arguments.notebooks
    if arguments.list:
        _say(lefs.runner.describe_notebooks(lefs.runner.find_notebooks(names, folder=folder)))
        return 0
    options = {"folder": folder, "parameters": arguments.p, "name": arguments.name, "out": arguments.out}
    options |= {} if arguments.workers is None else {"workers": arguments.workers}
    if arguments.sweep or arguments.sweep_file is not None:
        return _sweep(arguments, options)
    if arguments.only_failed or arguments.shard != "1/1":
        raise lefs.runner.RunError("--only-failed and --shard are for sweeps; give --sweep or --sweep-file")
    run = lefs.runner.run_notebooks(names, **options)
    _say(*(f"{record['notebook']:<20} {record['seconds']:7.1f} s" for record in run.notebooks))
    _say(f"gallery: {_shown(run.gallery)}")
    return 0


def _sweep(arguments: argparse.Namespace, options: Mapping[str, Any]) -> int:
    sweep = lefs.runner.sweep_notebooks(
        arguments.names,
        grid=lefs.runner.read_grid(arguments.sweep),
        rows=[{}] if arguments.sweep_file is None else lefs.runner.read_rows(arguments.sweep_file),
        **{name: getattr(arguments, name) for name in ("only_failed", "shard")},
        **options,
    )
    failed = {lefs.records.printable(label, 200): error for label, error in sweep.failed.items()}
    _say(*(f"failed: {label}\n  {error}" for label, error in failed.items()))
    _say(*([f"not run yet: {sweep.missing} points"] if sweep.missing else []))
    _say(*([f"table: {_shown(sweep.folder / 'index.html')}"] if len(sweep.table) else []))
    return bool(sweep.failed)


def _results(arguments: argparse.Namespace) -> None:
    """One table over runs, and their figures side by side.

    folders FOLDER+  a run, or a folder that holds runs
    --out DIR        where results.csv and index.html go (default: results)
    """
    _say(f"table: {_shown(lefs.runner.save_results(arguments.folders, arguments.out))}")


def _shown(path: Path) -> Path:
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _notebooks(arguments: argparse.Namespace) -> int:
    """Copy the notebooks into a folder and open JupyterLab there.

    Further options, such as --no-browser or --port=9000, go to JupyterLab.

    folder DIR?  where to copy them; yours are never overwritten (default: lefs-notebooks)
    --copy-only  copy them, and stop
    """
    for name, done in lefs.runner.copy_notebooks(arguments.folder).items():
        _say(f"{name:<20} {done}")
        if done == "kept":
            _say("    it was changed or run, and there is a newer one; rename or delete yours to get that")
    if arguments.copy_only:
        return 0
    return lefs.runner.open_jupyterlab(arguments.folder, options=arguments.rest)


def _studio(arguments: argparse.Namespace) -> int:
    """Open the edit studio alone, as a page in a browser.

    Further options, such as --no-browser or --port=9000, go to Voila.

    generator GENERATOR?  a file, a folder or a name (default: portraits)
    catalog CATALOG?      likewise (default: beside the generator)
    --out DIR             where pictures are saved (default: lefs-studio)
    """
    _say(
        "Only this machine can open the page, with the token in its address. To share it, each computer runs",
        "    ssh -N -L PORT:127.0.0.1:PORT NAME@THIS-MACHINE",
        "with the PORT of that address, and opens it; docs/studio.md says more, and what a class needs.",
    )
    given = {"out": arguments.out, "options": arguments.rest}
    return lefs.runner.open_studio(arguments.generator, arguments.catalog, **given)


def _invert(arguments: argparse.Namespace) -> None:
    """Find the styles that make a picture.

    picture PICTURE             of any size; crop a face as the training pictures were cropped
    --crop LEFT TOP RIGHT BOTTOM  the box to cut out, in pixels (default: the middle)
    --masked FILE               a mask of the same size: what is white is left out
    --generator GENERATOR       a file, a folder or a name (default: portraits)
    --steps N                   steps of the search (default: 200)
    --space {w+,w,styles}       what is searched for (default: w+)
    --out NAME                  name of the files (default: inversion)
    """
    record, row = _files(arguments.out, ".safetensors", ".png")
    generator = lefs.load(arguments.generator)
    options = {name: getattr(arguments, name) for name in ("space", "steps", "crop", "masked")}
    found = lefs.invert(generator, arguments.picture, **options)
    _save_row(row, found.pictures)
    box, size = "{}, {}, {}, {}".format(*found.crop), "{} x {}".format(*generator.size)
    _say(
        f"cut out {box} (left, top, right, bottom), resized to {size}: {found.psnr:.1f} dB",
        f"saved {found.save(record)}, a source of lefs edit, and {row}",
    )


def _edit(arguments: argparse.Namespace) -> None:
    """Borrow parts from other images, or replay an edit.

    recipes RECIPE*              a recipe's JSON, or a picture that holds one; the last one is edited
    --target SOURCE              a seed, a picture, an inversion, or a file of a w, W+ or styles
    --reference REFERENCE*       a seed, a picture, ... (as the target); one for each part
    --part PART*                 for example hair
    --animate FILE               animate the strength, or from recipe to recipe: a .png (strip), .gif or .mp4
    --catalog DIR                folder or name of a catalog (default: beside the generator)
    --where {part,everywhere}    inside the part only, or by channels, everywhere (default: part)
    --mask PICTURE*              bright where to edit, instead of the catalog's mask; one for each part
    --strength STRENGTH          from 0 to 1 (default: 1.0)
    --truncation TRUNCATION      for pictures made from seeds (default: 0.7)
    --generator GENERATOR        a file, a folder or a name (default: portraits)
    --steps N                    steps if a picture is inverted (default: 200)
    --space {w+,w,styles}        what it is inverted to (default: w+)
    --out NAME                   name of the files (default: edit)
    """
    picture, kept, row = _files(arguments.out, ".png", ".json", "_row.png")
    if arguments.animate:
        lefs.video.check_ending(arguments.animate)
    generator = lefs.load(arguments.generator)
    recipes = [_replayed(path) for path in arguments.recipes]
    if bool(recipes) == (arguments.target is not None):
        raise ValueError("give a recipe's file, or --target with --reference and --part")
    recipes = recipes or [_asked_for(generator, arguments)]
    catalog = lefs.Catalog.load(arguments.catalog or lefs.records.folder_of(arguments.generator))
    editor = lefs.Editor(generator, catalog)
    edit = editor.render(recipes[-1])
    _save_row(row, edit.pictures)
    _say(f"saved {edit.save(picture)}, with the recipe inside; {edit.recipe.save(kept)}; {row}")
    if arguments.animate:
        way = recipes if len(recipes) > 1 else recipes[0]
        _say(f"saved {lefs.animate(editor, way, arguments.animate)}")


def _files(name: str, *endings: str) -> list[str]:
    """The files that are called so; an error before the work if they cannot be written."""
    stem = re.sub(r"\.(png|json|safetensors)$", "", name)
    if stem.endswith(("/", os.sep)) or not stem:
        raise ValueError(f"out must be a name for files, such as mine or pictures/mine; got {name!r}")
    return [str(lefs.saving.check_writable(f"{stem}{ending}")) for ending in endings]


def _replayed(path: str) -> lefs.Recipe:
    picture = Path(path).suffix.lower() == ".png"
    return lefs.Recipe.from_png(path) if picture else lefs.Recipe.load(path)


def _asked_for(generator: lefs.Generator, arguments: argparse.Namespace) -> lefs.Recipe:
    masks = arguments.mask or [None] * len(arguments.part)
    if not len(arguments.part) == len(arguments.reference) == len(masks):
        raise ValueError("give as many --reference (and --mask, if any) as --part, one for each")
    target, *references = (_source(generator, x, arguments) for x in (arguments.target, *arguments.reference))
    settings, strength = lefs.QuerySettings(where=arguments.where), arguments.strength
    chosen = zip(arguments.part, references, masks, strict=True)
    changes = tuple(lefs.Change(part, r, strength, settings, mask) for part, r, mask in chosen)
    return lefs.Recipe(target, changes, arguments.truncation)


def _source(generator: lefs.Generator, text: str, arguments: argparse.Namespace) -> Any:
    """A seed, a file, or the inversion of a picture."""
    if not lefs.files.is_picture(text):
        return int(text) if text.removeprefix("-").isdecimal() else text
    return lefs.invert(generator, text, space=arguments.space, steps=arguments.steps)


def _save_row(name: str, pictures: Mapping[str, Tensor]) -> None:
    from torch import cat

    lefs.images.save_png(name, cat(list(pictures.values()), dim=2))


def _info(arguments: argparse.Namespace) -> None:
    """Say what a file holds: a generator, a catalog, a recipe, ...

    generator GENERATOR  a file, a folder, or the name of an embedded one, such as portraits
    --json               print all that a file of lefs says of itself
    """
    path = lefs.records.locate(arguments.generator)
    if path.is_dir() and not (path / "generator.safetensors").exists():
        path = min(path.glob("*.safetensors"), default=path)
    if path.suffix.lower() == ".png":
        recipe = lefs.Recipe.from_png(path)
        _say(json.dumps(recipe.to_json()) if arguments.json else lefs.records.printable(str(recipe)))
    elif arguments.json and path.is_file() and path.suffix not in (".safetensors", ".json"):
        raise lefs.ArtifactError(f"{path} is not a file of lefs; leave out --json, or convert it first")
    elif arguments.json:
        _say(lefs.records.describe_record(path, whole=True))
    elif path.suffix in (".safetensors", ".json") and (said := lefs.records.describe_record(path)):
        _say(said)
    else:
        _say_generator(lefs.load(path))


def _say_generator(generator: lefs.Generator) -> None:
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
    _say(*(f"{name:<13} {lefs.records.printable(str(value))}" for name, value in facts.items()))
    _say(f"\n{'layer':<16} {'kind':<5} {'map':>11} {'channels':>9}  styles")
    for layer in generator.layers:
        side = "{} x {}".format(*layer.size)
        span = f"{layer.span.start} to {layer.span.stop - 1}" if generator.has_styles else "none"
        _say(f"{layer.name:<16} {layer.kind:<5} {side:>11} {layer.channels:>9}  {span}")


def _convert(arguments: argparse.Namespace) -> None:
    """Write any generator as .safetensors, or for other people's code.

    source IN    a file, a folder, or the name of an embedded generator
    target OUT   a folder, or a file name that ends in .safetensors
    --to {lefs,rosinality,nvidia-state-dict}  a StyleGAN2 also as a .pt for their code (default: lefs)
    """
    generator = lefs.files.formats.convert(arguments.source, arguments.target, to=arguments.to)
    _say(f"{arguments.target}: {generator.name}, {generator.architecture}, {generator.fingerprint[:12]}")


if __name__ == "__main__":
    sys.exit(main())

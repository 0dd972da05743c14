"""The command line: ``lefs run`` and ``lefs info``, also as ``python -m lefs``.

What the user can mend (a wrong name, a missing file) is one message on standard error and exit code 2;
a notebook that fails is exit code 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import lefs
from lefs.artifacts import ArtifactError
from lefs.runner import (
    NotebookFailed,
    ParameterError,
    RunError,
    describe_notebooks,
    find_notebooks,
    run_notebooks,
)

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Parameters
    ----------
    argv
        Arguments after the program's name; by default the process's own.

    Returns
    -------
    int
        0; 1 if a notebook failed; 2 if what was asked for cannot be done; 130 if interrupted.
    """
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except NotebookFailed as error:
        return _complain(error, 1)
    except (ArtifactError, ParameterError, RunError) as error:
        return _complain(error, 2)
    except KeyboardInterrupt:
        return _complain("interrupted; what was finished is kept", 130)


def _complain(error: object, code: int) -> int:
    sys.stderr.write(f"lefs: {error}\n")
    return code


def _say(text: str) -> None:
    sys.stdout.write(f"{text}\n")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lefs", description="See what a StyleGAN has learned, and edit one part."
    )
    parser.add_argument("--version", action="version", version=f"lefs {lefs.__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="execute the notebooks and collect their figures")
    run.set_defaults(command=_run)
    run.add_argument(
        "notebooks", nargs="*", metavar="NOTEBOOK", help="such as 1_dissection, 1, or a path; default: all"
    )
    run.add_argument(
        "-p", dest="parameters", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"),
        help="set a parameter wherever it is declared, or of one notebook: 1_dissection.clusters",
    )  # fmt: skip
    run.add_argument("--name", help="ends the run folder's name (default: the notebook's, or 'all')")
    run.add_argument(
        "--out", default="runs", metavar="DIR", help="folder that collects runs (default: %(default)s)"
    )
    run.add_argument("--notebooks", dest="folder", metavar="DIR", help="where to look for notebooks")
    run.add_argument("--list", action="store_true", help="list the notebooks and their parameters, and stop")

    info = commands.add_parser("info", help="say what a generator file holds")
    info.set_defaults(command=_info)
    info.add_argument("generator", help="a file, a folder, or the name of an embedded one, such as portraits")
    return parser


def _run(arguments: argparse.Namespace) -> int:
    if arguments.list:
        _say(describe_notebooks(find_notebooks(arguments.notebooks, folder=arguments.folder)))
        return 0
    run = run_notebooks(
        arguments.notebooks,
        parameters=arguments.parameters,
        name=arguments.name,
        out=arguments.out,
        folder=arguments.folder,
    )
    for record in run.notebooks:
        _say(f"{record['notebook']:<20} {record['seconds']:7.1f} s")
    _say(f"gallery: {_short(run.gallery)}")
    return 0


def _short(path: Path) -> Path:
    """Path relative to the current folder where it lies below that."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


def _info(arguments: argparse.Namespace) -> int:
    generator = lefs.load(arguments.generator)
    count = sum(p.numel() for p in generator.parameters())
    facts = {
        "label": generator.label,
        "family": f"{generator.architecture} ({type(generator).__name__})",
        "images": f"{generator.resolution} x {generator.resolution}",
        "parameters": f"{count:,}",
        "z, w": f"{generator.z_dim}, {generator.num_ws} x {generator.w_dim}",
        "labels": generator.label_dim or "none",
        "styles": f"{generator.num_styles:,} in {len(generator.layers)} layers",
        "clustered by": generator.default_layer,
        "fingerprint": generator.fingerprint,
    }
    for name, value in facts.items():
        _say(f"{name:<13} {value}")
    _say(f"\n{'layer':<16} {'kind':<5} {'map':>9} {'channels':>9}  styles")
    for layer in generator.layers:
        side = f"{layer.resolution} x {layer.resolution}"
        span = f"{layer.slice.start} to {layer.slice.stop - 1}"
        _say(f"{layer.name:<16} {layer.kind:<5} {side:>9} {layer.channels:>9}  {span}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

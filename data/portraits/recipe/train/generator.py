"""
Train the generator of portraits: StyleGAN2 against judges of pixels and of a segmenter's features.

    python -m data.portraits.recipe.train.generator --data portraits-data --run portraits-run

Continues from the run's checkpoint if there is one. The same recipe runs on CPU (one single-thread process
per core, far faster than one process with many threads) and on CUDA (one process).
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor
from torch.multiprocessing.spawn import spawn
from tqdm.auto import tqdm

from lefs.files import save_generator
from lefs.generator import Generator
from lefs.images import to_uint8
from lefs.records import ArtifactError, read_json, write_atomically, write_json
from lefs.segmenters import load_segmenter

from ..draw.dataset import contact_sheet, open_dataset
from .plan import Plan
from .trainer import Trainer

FORMAT = "lefs-training-run"


def run(rank: int, options: argparse.Namespace, plan: Plan, rendezvous: str) -> None:
    """Train in one of the processes until `options.images` have been shown."""
    torch.set_flush_denormal(True)  # vanishing Adam moments would slow a CPU down several times
    if options.processes > 1:
        torch.set_num_threads(1)
        dist.init_process_group("gloo", f"file://{rendezvous}", rank=rank, world_size=options.processes)
    trainer = Trainer(
        plan,
        open_dataset(options.data, count=options.count, resolution=plan.resolution)[0],
        load_segmenter(options.segmenter),
        device=options.device,
        rank=rank,
        processes=options.processes,
    )
    if (options.run / "checkpoint.safetensors").exists():
        trainer.load(options.run / "checkpoint.safetensors")
    elif options.begin is not None:
        trainer.begin_from(options.begin)
    for _ in train(trainer, options.images, progress=rank == 0):
        if orphaned():
            raise SystemExit("the process that started this one is gone; run the command again to continue")
        if trainer.images_shown % options.keep_every < plan.batch or trainer.images_shown >= options.images:
            keep(trainer, options.run, rank)
    if rank == 0:
        finish(trainer, options.run)
    if options.processes > 1:
        dist.destroy_process_group()


def orphaned() -> bool:
    """Whether the process that started this one is gone; going on would spoil the run that continues it."""
    parent = multiprocessing.parent_process()
    return parent is not None and not parent.is_alive()


def train(trainer: Trainer, total: int, *, progress: bool) -> Iterator[None]:
    """Step until `total` images have been shown, with a bar."""
    mean: dict[str, float] = {}
    # a log file needs no ten lines a second
    interval = 0.5 if sys.stderr.isatty() else 30.0
    first = trainer.images_shown
    with tqdm(
        total=total, initial=first, unit="img", disable=not progress, mininterval=interval, smoothing=0.02
    ) as bar:
        while trainer.images_shown < total:
            for name, loss in trainer.step(total).items():
                mean[name] = loss + 0.98 * (mean.get(name, loss) - loss)
            bar.set_postfix({name: f"{loss:.2f}" for name, loss in mean.items()}, refresh=False)
            bar.update(trainer.plan.batch)
            yield


def keep(trainer: Trainer, folder: Path, rank: int) -> None:
    """Write the checkpoint and a sheet of samples."""
    trainer.save(folder / "checkpoint.safetensors")
    if rank == 0:
        sheet = sample_sheet(trainer.average, side=trainer.plan.stage(trainer.images_shown)[0])
        path = folder / f"samples-{trainer.images_shown // 1000:05d}k.png"
        write_atomically(path, lambda temporary: sheet.save(temporary, format="PNG"))


@torch.inference_mode()
def sample_sheet(generator: Generator, *, side: int | None = None) -> Any:
    """Four rows of samples: two as drawn (ψ = 1), two nearer to the mean (ψ = 0.7)."""
    columns = 16 if (side or generator.size[0]) <= 64 else 10
    images = [
        synthesize(generator, range(start, start + 2 * columns), truncation=truncation, side=side)
        for start, truncation in ((0, 1.0), (2 * columns, 0.7))
    ]
    return contact_sheet(to_uint8(torch.cat(images)), columns)


@torch.inference_mode()
def synthesize(
    generator: Generator, seeds: Iterable[int], *, truncation: float = 1.0, side: int | None = None
) -> Tensor:
    """Images (N, 3, H, W) of seeds."""
    return generator.synthesize(generator.sample_styles(seeds, truncation=truncation), upto=side)


def finish(trainer: Trainer, folder: Path) -> None:
    """Write the averaged generator with a summary of its training."""
    summary = {
        "images": trainer.images_shown,
        "minutes": round(trainer.seconds / 60, 1),
        "processes": trainer.processes,
        "device": trainer.device,
        "recipe": asdict(trainer.plan),
    }
    save_generator(trainer.average, folder, name="portraits", training=summary)


def check_run(folder: Path, plan: Plan) -> None:
    """
    Note the plan's sizes in a new run; compare them in one that is continued.

    Raises
    ------
    ArtifactError
        If the run was begun with other sizes.
    """
    path = folder / "run.json"
    if not path.exists():
        write_json(path, {"format": FORMAT, **plan.identity})
        return
    begun = read_json(path, expect=FORMAT)
    for name, value in plan.identity.items():
        # (older runs did not note every size)
        if begun.get(name, value) != value:
            raise ArtifactError(
                f"{folder} was begun with {name} = {begun.get(name)}, now it is {value}; "
                "keep it, or name another folder for a new run"
            )


def main(arguments: list[str] | None = None) -> None:
    """Command line."""
    cuda = torch.cuda.is_available()
    parser = argparse.ArgumentParser(description="Train the generator of portraits.")
    parser.add_argument("--data", type=Path, default=Path("portraits-data"), help="rendered if missing")
    parser.add_argument("--run", type=Path, default=Path("portraits-run"), help="checkpoint, samples, result")
    parser.add_argument("--count", type=int, default=36_000, help="images in the data set")
    parser.add_argument("--images", type=int, default=600_000, help="how many to show in all")
    parser.add_argument("--keep-every", type=int, default=20_000, help="images between two checkpoints")
    parser.add_argument(
        "--begin", type=Path, help="a checkpoint of smaller networks that a new run begins with"
    )
    parser.add_argument("--segmenter", default="portraits", help="of the second discriminator")
    parser.add_argument("--device", default="cuda" if cuda else "cpu")
    parser.add_argument("--processes", type=int, default=1 if cuda else min(2, os.cpu_count() or 1))
    for name, default in asdict(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    options = parser.parse_args(arguments)
    try:
        plan = Plan(**{name: getattr(options, name) for name in asdict(Plan())})
    except ValueError as error:
        parser.error(str(error))
    check_run(options.run, plan)
    # before the processes start, or each of them would render it
    open_dataset(options.data, count=options.count, resolution=plan.resolution)
    with tempfile.TemporaryDirectory() as folder:
        rendezvous = str(Path(folder) / "rendezvous")
        if options.processes == 1:
            run(0, options, plan, rendezvous)
        else:
            spawn(run, (options, plan, rendezvous), nprocs=options.processes)


if __name__ == "__main__":
    main()

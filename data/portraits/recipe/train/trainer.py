"""One process of a training: both sides, one step at a time, able to go on exactly after a kill."""

from __future__ import annotations

import copy
import math
import time
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate, softplus

from lefs.models import StyleGAN2
from lefs.models.layers import upsample
from lefs.records import ArtifactError
from lefs.segmenters import PartSegmenter

from ..draw.dataset import Pixels
from .checkpoint import load_checkpoint, load_widened, save_checkpoint
from .discriminator import FeatureDiscriminator, PixelDiscriminator, hinge_loss, logistic_loss, mean_judgement
from .plan import Plan
from .segmenter import autocast, channels_last, to_tensor

PENALTY_INTERVAL = 16
PATH_INTERVAL = 4


class Trainer:
    """
    One process of a training.

    Parameters
    ----------
    plan : Plan
    images : ndarray of shape (N, resolution, resolution, 3), uint8
        The real images; held in the memory of a GPU.
    segmenter : PartSegmenter
        What the second discriminator looks through.
    device : str
    rank, processes : int
        Which of how many; gradients are averaged over all.

    Attributes
    ----------
    generator, average : the generator in training, and the average of its weights over time
    images_shown : int
    """

    def __init__(
        self,
        plan: Plan,
        images: Pixels,
        segmenter: PartSegmenter,
        *,
        device: str = "cpu",
        rank: int = 0,
        processes: int = 1,
    ) -> None:
        self.plan, self.device, self.processes = plan, device, processes
        # on a GPU the whole of them, so that no step waits for a transfer; on a CPU they stay where they are
        self._images = torch.from_numpy(images).to(device)
        self._batch = plan.batch // processes
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            self.generator = channels_last(plan.make_generator(), device)
            pixels = PixelDiscriminator(plan.resolution, capacity=plan.critic_capacity)
            self.pixels = channels_last(pixels, device)
            features = FeatureDiscriminator(channels_last(segmenter, device), views=plan.views)
            self.features = channels_last(features, device)
        self.average = copy.deepcopy(self.generator).eval().requires_grad_(False)
        self._critics = nn.ModuleList([self.pixels, self.features])
        self._generator_step, self._critic_step = (self._adam(m) for m in (self.generator, self._critics))
        self.stream = torch.Generator().manual_seed(plan.seed * 1000 + rank + 1)
        self.images_shown, self._steps, self.seconds = 0, 0, 0.0
        self._path_length = torch.zeros((), device=device)

    def _adam(self, module: nn.Module) -> torch.optim.Adam:
        return torch.optim.Adam(module.parameters(), self.plan.rate, betas=(0.0, 0.99), foreach=True)

    def step(self, total: int) -> dict[str, float]:
        """Show one batch to both sides; `total` is the number of images at which training will end."""
        start = time.monotonic()
        side, share = self.plan.stage(self.images_shown)
        for optimizer in (self._generator_step, self._critic_step):
            optimizer.param_groups[0]["lr"] = self.plan.rate_at(self.images_shown, total)
        real, fake = self._real(side, share), self._fake(side, share)
        losses = self._train_critics(real, fake.detach(), share) | self._train_generator(fake, share)
        self.images_shown += self.plan.batch
        self._steps += 1
        self._update_average()
        self.seconds += time.monotonic() - start
        return losses

    def _real(self, side: int, share: float) -> Tensor:
        chosen = torch.randint(len(self._images), (self._batch,), generator=self.stream).to(self.device)
        mirror = (torch.rand(self._batch, 1, 1, 1, generator=self.stream) < 0.5).to(self.device)
        x = to_tensor(self._images[chosen])
        x = avg_pool2d(torch.where(mirror, x.flip(3), x), self.plan.resolution // side)
        if share < 1:
            x = interpolate(avg_pool2d(x, 2), scale_factor=2.0).lerp(x, share)
        return x.contiguous(memory_format=torch.channels_last)

    def _fake(self, side: int, share: float) -> Tensor:
        styles = self.generator.styles(self._mixed_latents(side))
        with autocast(self.device):
            images = self.generator.synthesize(styles, noise="none", upto=side)
            if share < 1:
                coarse = self.generator.synthesize(styles, noise="none", upto=side // 2)
                images = upsample(coarse).lerp(images, share)
        return images

    def _mixed_latents(self, side: int) -> Tensor:
        z = torch.randn(2, self._batch, self.plan.latent, generator=self.stream).to(self.device)
        mix, where = torch.rand(2, generator=self.stream).tolist()
        w = self.generator.map(z[0])
        with torch.no_grad():
            self.generator.get_buffer("mapping.w_avg").lerp_(w[:, 0].mean(0), 0.005)
        if mix >= self.plan.mixing:
            return w
        layers = 2 * int(math.log2(side)) - 2
        cut = 1 + int(where * (layers - 1))
        return torch.cat([w[:, :cut], self.generator.map(z[1])[:, cut:]], dim=1)

    def _train_critics(self, real: Tensor, fake: Tensor, share: float) -> dict[str, float]:
        with autocast(self.device):
            loss = logistic_loss(self.pixels(real, share), self.pixels(fake, share))
            if self._uses_features(real):
                view = self._view(real)
                through = [self.features(self._shown(x, view), view) for x in (real, fake)]
                loss = loss + hinge_loss(*through)
        loss.backward()
        if self._steps % PENALTY_INTERVAL == 0:
            self._penalty(real, share).backward()
        self._descend(self._critics, self._critic_step)
        return {"D": float(loss.detach())}

    def _penalty(self, real: Tensor, share: float) -> Tensor:
        """R1 (Mescheder et al., ICML 2018), weighted for being computed only now and then."""
        real = real.detach().requires_grad_(True)
        judgement = self.pixels(real, share).sum()
        (gradient,) = torch.autograd.grad(judgement, real, create_graph=True)
        weight = self.plan.penalty * real.shape[-1] / 64 * 0.5 * PENALTY_INTERVAL
        return gradient.square().sum((1, 2, 3)).mean() * weight

    def _train_generator(self, fake: Tensor, share: float) -> dict[str, float]:
        self._critics.requires_grad_(False)
        with autocast(self.device):
            loss = softplus(-self.pixels(fake, share)).mean()
            if self._uses_features(fake):
                view = self._view(fake)
                loss = loss - mean_judgement(self.features(self._shown(fake, view), view))
        loss.backward()
        self._critics.requires_grad_(True)
        if self.plan.path_length and self._steps % PATH_INTERVAL == 0:
            self._path_penalty(fake.shape[-1]).backward()
        averages = self.generator.get_buffer("mapping.w_avg"), self._path_length
        self._descend(self.generator, self._generator_step, *averages)
        return {"G": float(loss.detach())}

    def _path_penalty(self, side: int) -> Tensor:
        """How unequally far steps in w go in the image (Karras et al., CVPR 2020, eq. 4), for half a batch.

        Weighted for being computed only now and then.
        """
        z = torch.randn(max(1, self._batch // 2), self.plan.latent, generator=self.stream)
        w = self.generator.map(z.to(self.device))
        images = self.generator.synthesize(self.generator.styles(w), noise="none", upto=side)
        direction = torch.randn(images.shape, generator=self.stream).to(self.device) / side
        (gradient,) = torch.autograd.grad((images * direction).sum(), w, create_graph=True)
        lengths = gradient.square().sum(2).mean(1).sqrt()
        with torch.no_grad():
            self._path_length.lerp_(lengths.mean(), 0.01)
        return (lengths - self._path_length).square().mean() * self.plan.path_length * PATH_INTERVAL

    def _uses_features(self, images: Tensor) -> bool:
        return images.shape[-1] >= self.plan.feature_resolution

    def _view(self, images: Tensor) -> str:
        views = self.plan.views
        return views[self._steps % len(views)] if images.shape[-1] > self.plan.feature_resolution else "whole"

    def _shown(self, images: Tensor, view: str) -> Tensor:
        side = self.plan.feature_resolution
        if view == "whole":
            return avg_pool2d(images, images.shape[-1] // side)
        # around the middle, where the face is
        spare = images.shape[-1] - side
        low, high = spare // 8, spare - spare // 8
        top, left = torch.randint(low, high + 1, (2,), generator=self.stream).tolist()
        return images[:, :, top : top + side, left : left + side]

    def _descend(self, module: nn.Module, optimizer: torch.optim.Optimizer, *further: Tensor) -> None:
        gradients = [p.grad for p in module.parameters() if p.grad is not None]
        if self.processes > 1:
            average_over_processes([*gradients, *further])
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _update_average(self) -> None:
        # a short memory at first: the beginning of a training is not worth keeping
        half_life = max(1.0, min(self.plan.average, self.images_shown * 0.06))
        fresh = 1 - 0.5 ** (self.plan.batch / half_life)
        follow(self.average, self.generator, fresh)

    def save(self, path: Path) -> None:
        """Write a checkpoint; every process must call this, the first one writes."""
        streams = self._all_streams()
        if self.processes > 1 and dist.get_rank():
            return
        counters = torch.tensor([self.images_shown, self._steps])
        seconds = torch.tensor([self.seconds], dtype=torch.float64)
        values = {"streams": streams, "counters": counters, "seconds": seconds, "path": self._path_length}
        save_checkpoint(path, modules=self._modules(), optimizers=self._optimizers(), values=values)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint of as many processes."""
        values = load_checkpoint(path, modules=self._modules(), optimizers=self._optimizers())
        streams = values["streams"]
        if len(streams) != self.processes:
            raise ArtifactError(
                f"{path} is of {len(streams)} processes, not {self.processes}: use --processes {len(streams)}"
            )
        # a copy: set_state crashes on a view that does not begin at its storage's first byte
        self.stream.set_state(streams[dist.get_rank() if self.processes > 1 else 0].clone())
        self.images_shown, self._steps = values["counters"].tolist()
        self.seconds = float(values["seconds"])
        # (older checkpoints were made without)
        self._path_length.copy_(values.get("path", torch.zeros(())))

    def begin_from(self, path: Path) -> None:
        """
        Begin with the networks of a checkpoint of smaller ones.

        Layers that are wider now have new channels, which at first change nothing; layers that are new
        begin at random. Images shown count on; the optimisers begin anew. (How much the images of a batch
        differ is a mean over the critic's channels at 4 × 4: it judges as before if those are as many.)

        Raises
        ------
        ArtifactError
            If the file is missing, damaged, or has a larger layer.
        """
        values = load_widened(path, self._modules())
        self.images_shown, self._steps = values["counters"].tolist()
        self.seconds = float(values["seconds"])

    def _modules(self) -> dict[str, nn.Module]:
        return {name: getattr(self, name) for name in ("generator", "average", "pixels", "features")}

    def _optimizers(self) -> dict[str, torch.optim.Optimizer]:
        return {"generator": self._generator_step, "critics": self._critic_step}

    def _all_streams(self) -> Tensor:
        own = self.stream.get_state()
        if self.processes == 1:
            return own[None]
        gathered = [torch.empty_like(own) for _ in range(self.processes)]
        dist.all_gather(gathered, own)
        return torch.stack(gathered)


@torch.no_grad()
def follow(average: StyleGAN2, generator: StyleGAN2, share: float) -> None:
    """Move an average of the weights a share of the way to the present ones, and take their mean w."""
    for own, new in zip(average.parameters(), generator.parameters(), strict=True):
        own.lerp_(new, share)
    average.get_buffer("mapping.w_avg").copy_(generator.get_buffer("mapping.w_avg"))


def average_over_processes(tensors: list[Tensor]) -> None:
    """Replace each tensor by its mean over all processes, with one message for all."""
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    dist.all_reduce(flat)
    flat /= dist.get_world_size()
    for tensor, mean in zip(tensors, flat.split([t.numel() for t in tensors]), strict=True):
        tensor.copy_(mean.view(tensor.shape))

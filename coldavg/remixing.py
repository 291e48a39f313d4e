"""Joint networks from published averages alone: no picture of the kind is ever seen.

First a network for four: two averages are averaged, it names four images, and some two of them must average to
the one, the other two to the other (mixture-invariant training: Wisdom et al. 2020).  Then one for two: a teacher
takes averages apart, its answers are shuffled and averaged anew, and the student learns to take those apart
(remixing: Tzinis et al. 2022).  A student is the next one's teacher.
"""

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from itertools import combinations
from pathlib import Path

import torch
from torch import Tensor

from .batches import Batch, draw
from .imagesets.opening import ImageSet
from .joint import split
from .matching import mean_error
from .mixing import check_weights
from .publishing import release
from .settings import Settings
from .training import Progress, Run, carry_out, copy_what_fits, loss_of, recover_batch
from .unet import UNet

PAIRS = list(combinations(range(4), 2))  # the two left out of pair i are pair 5 - i
RENEWAL = 500  # steps after which a student becomes its own teacher


def invariant_loss(four: Tensor, averages: Tensor, log: bool = False) -> Tensor:
    """How far `four` images (B, 4, C, H, W) are from explaining two averages (B, 2, C, H, W), two by two.

    The mean squared error of the best of the six ways to deal them out, and of what lies outside [-1, 1]; with `log`
    the mean logarithm of both, as in `pit_loss`.
    """
    halves = torch.stack([four[:, pair].mean(1) for pair in PAIRS], 1)  # (B, 6, C, H, W)
    errors = [(means - averages[:, which, None]).square().flatten(2).mean(2)
              for which, means in enumerate((halves, halves.flip(1)))]
    outside = (four.abs() - 1).relu().square().flatten(1).mean(1)
    return mean_error((sum(errors) / 2).amin(1) + outside, log)


def pair_off(four: Tensor) -> Tensor:
    """Of `four` answers about an average of two (B, 4, C, H, W) the two images (B, 2, C, H, W): like goes with like."""
    apart = torch.stack([(four[:, i] - four[:, j]).square().flatten(1).sum(1) for i, j in PAIRS], 1)
    closest = (apart + apart.flip(1))[:, :3].argmin(1)  # of the three ways to make two pairs
    halves = torch.stack([torch.stack([four[:, pair].mean(1), four[:, PAIRS[5 - way]].mean(1)], 1)
                          for way, pair in enumerate(PAIRS[:3])], 1)
    return halves[torch.arange(len(four)), closest]


@torch.no_grad()
def ask_teacher(teacher: UNet, averages: Tensor) -> Tensor:
    """What a teacher for two, or for four, sees in averages of two (B, C, H, W): pairs (B, 2, C, H, W) in [-1, 1]."""
    *_, images = split(teacher, averages, check_weights(None, teacher.k), teacher.looks or 1)
    return (pair_off(images) if teacher.k == 4 else images).clamp(-1, 1)


class MixtureInvariant(Run):
    """A training run of a network for four on averages of two; `images` are those averages."""

    def draw(self, step: int) -> Batch:
        """Two averages (B, 2, C, H, W) and what their average would be if published."""
        batch = draw(self.images, replace(self.settings, k=2), step, self.mine)
        return Batch(*(part.to(self.accelerator.device) for part in batch[:3]), batch.looks)

    def loss(self, batch: Batch) -> Tensor:
        """The invariant loss of the four images that the network names."""
        four = recover_batch(self.network, batch, self.settings)
        return invariant_loss(four, batch.tuples, self.settings.loss == "log")

    def score_held_out(self, entry: dict) -> None:
        """Nothing: who owns averages alone can't know how well they come apart."""


class Remixing(MixtureInvariant):
    """A training run of a network for two on what a teacher, the network `start`, sees in averages of two.

    A teacher for two is renewed from the averaged student every `RENEWAL` steps; one for four stays as it is.
    """

    def __init__(self, settings: Settings, images: Tensor | ImageSet, seconds: float, folder: Path | None,
                 start: UNet | None):
        if start is None or start.target != "joint" or start.k not in (2, 4):
            raise ValueError("start must be a joint network for four or two that was trained on averages, to be the "
                             f"teacher, got {start and (start.target, start.k)}; train one for four first")
        self.teacher = copy.deepcopy(start) if start.k == 4 else UNet(settings, start.size)  # built as its student
        copy_what_fits(start, self.teacher)
        self.teacher.requires_grad_(False).eval()
        super().__init__(settings, images, seconds, folder, start)
        self.teacher.to(self.accelerator.device, memory_format=torch.channels_last)

    def loss(self, batch: Batch) -> Tensor:
        """The loss of the student on the teacher's images, shuffled and averaged anew."""
        images = ask_teacher(self.teacher, batch.tuples[:, 0]).flatten(0, 1)
        order = torch.randperm(len(images), generator=torch.Generator().manual_seed(self.step))
        tuples = images[order.to(images.device)].unflatten(0, (-1, 2))
        given = release(tuples.cpu(), self.settings.published).to(tuples)
        return loss_of(self.network, batch._replace(tuples=tuples, given=given), self.settings)

    def learn(self, batch: Batch) -> float:
        """One step of the student; now and then it becomes its own teacher."""
        loss = super().learn(batch)
        if self.teacher.k == 2 and self.step % RENEWAL == 0:
            self.teacher.load_state_dict(self.average.state_dict())
        return loss

    def parts(self) -> dict:
        """All whose tensors a checkpoint holds: the teacher too."""
        return super().parts() | {"teacher": self.teacher}


def fit_to_averages(settings: Settings, averages: Tensor | ImageSet, seconds: float = math.inf, progress: bool = True,
                    callback: Callable[[Progress], bool | None] | None = None, folder: Path | None = None,
                    every: float = 60, start: UNet | None = None) -> Progress:
    """Train a joint network for four, or with it as `start` one for two, on averages of two alone.

    `averages` (N, C, H, W) in [-1, 1], as they were published; all else as in `fit`.  ValueError for settings or a
    `start` that can't.
    """
    if (settings.target != "joint" or settings.k not in (2, 4) or settings.weights or settings.pool
            or not settings.exact):
        raise ValueError("from averages alone a joint network for four (k 4), then one for two, is trained, on equal "
                         f"weights, any pool and as published; got target {settings.target!r}, k {settings.k}, "
                         f"weights {settings.weights}, pool {settings.pool}")
    kind = MixtureInvariant if settings.k == 4 else Remixing
    return carry_out(kind(settings, averages, seconds, folder, start), progress, callback, every)

"""Settings and fit(): the whole training of every kind of network."""

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from .data import load
from .joint import order_blind_loss, split
from .mixing import TARGETS, brightest_first, check_images, mix, on_path, round_to_8_bits
from .unet import UNet

ORDERS = ("brightest", "random")


@dataclass(frozen=True)
class Settings:
    """All that decides a training run; it is saved with the network."""

    data: str = "digits"  # the image set; its training split is used
    target: str = "original"  # "original", "added", "difference" (path networks) or "joint"
    k: int = 2  # images in a mixture; a path network draws 2 to k, so that it can peel
    order: str = "brightest"  # the original is the image with the largest mean; or "random"
    alpha_max: float = 0.8  # the largest alpha on the path (known setting: 0.8)
    channels: int = 1
    widths: tuple[int, ...] = (32, 96, 160)  # 2.3 million parameters: 4.7 MB in half precision
    images: int = 800_000  # mixtures to see
    batch: int = 64
    rate: float = 2e-3  # of AdamW, at its highest
    ema: float = 0.9995  # exponential averaging of the parameters
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "widths", tuple(self.widths))
        if self.target not in (*TARGETS, "joint"):
            raise ValueError(f"target must be one of {', '.join(TARGETS)}, joint, got {self.target!r}")
        if self.order not in ORDERS:
            raise ValueError(f"order must be one of {', '.join(ORDERS)}, got {self.order!r}")
        if not 2 <= self.k <= 4:
            raise ValueError(f"k must be 2, 3 or 4, got {self.k}")
        if not (self.k - 1) / self.k <= self.alpha_max < 1:
            raise ValueError(f"alpha_max must be in [(k - 1) / k, 1), got {self.alpha_max} for k = {self.k}")
        if not self.widths or any(width < 4 or width % 4 for width in self.widths):
            raise ValueError(f"widths must each be a multiple of 4, for the heads of attention, got {self.widths}")
        for name in ("k", "channels", "images", "batch", "seed"):
            if type(getattr(self, name)) is not int:
                raise TypeError(f"{name} must be a whole number, got {getattr(self, name)!r}")
        if self.images < 1 or self.batch < 1 or not 0 < self.rate < math.inf or not 0 <= self.ema < 1:
            raise ValueError("images and batch must be at least 1, rate above 0 and ema in [0, 1)")

    def network(self, size: tuple[int, int] | None = None) -> UNet:
        """An untrained network of these settings."""
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
            torch.manual_seed(self.seed)
            return UNet(self.channels, self.target, self.k, self.alpha_max, size, self.widths)


@dataclass
class Progress:
    """What `fit` hands to its callback, and returns at the end.

    `network` is the averaged one; `losses` holds (mixtures seen, seconds, loss) for every step.
    """

    network: UNet
    losses: list[tuple[int, float, float]]
    precision: str
    device: str
    done: float = 0.0  # share of the run, 0 to 1


def draw(images: Tensor, settings: Settings, generator: torch.Generator) -> Tensor:
    """A batch of K-tuples (B, K, C, H, W) of different images, in the order of the settings."""
    k = settings.k
    if settings.target != "joint":
        k = int(torch.randint(2, settings.k + 1, (), generator=generator))
    first = torch.randint(len(images), (settings.batch, 1), generator=generator)
    gap = (len(images) - 1) // (k - 1)  # partner j stands 1 + (j - 1) gap to j gap places further on
    steps = torch.randint(1, gap + 1, (settings.batch, k - 1), generator=generator) + gap * torch.arange(k - 1)
    tuples = images[torch.cat([first, (first + steps) % len(images)], 1)]
    return brightest_first(tuples) if settings.order == "brightest" else tuples


def loss_of(network: UNet, tuples: Tensor, settings: Settings, generator: torch.Generator) -> Tensor:
    """The training loss on a batch of tuples (B, K, C, H, W)."""
    if settings.target == "joint":
        weights = torch.full((settings.k,), 1 / settings.k, dtype=torch.float64)
        return order_blind_loss(split(network, round_to_8_bits(mix(tuples)), weights).float(), tuples)
    original, added = tuples[:, 0], tuples[:, 1:].mean(1)
    alpha = settings.alpha_max * (1 - torch.rand(len(tuples), generator=generator)).to(tuples)  # never 0
    answer = network(on_path(original, added, alpha[:, None, None, None]), alpha)
    truth = {"original": original, "added": added, "difference": added - original}[settings.target]
    return F.mse_loss(answer.float(), truth)


def fit(settings: Settings, images: Tensor | None = None, seconds: float = math.inf, device: str | None = None,
        progress: bool = True, callback: Callable[[Progress], None] | None = None) -> Progress:
    """Train a network of `settings` and return it, averaged over its last steps, with its losses.

    `images` (N, C, H, W) in [-1, 1], N >= k, replace the training split of `settings.data`.  Training
    ends after `settings.images` mixtures or `seconds`; the learning rate (AdamW; warm-up, then
    cosine) falls to nought at whichever comes first.  `callback` is called after every step.
    Raises ValueError or TypeError if the images do not fit the settings.
    """
    if not seconds > 0:
        raise ValueError(f"seconds must be above 0, got {seconds}")
    images = load(settings.data, "train") if images is None else check_images(images).float()
    if len(images) < settings.k or images.shape[1] != settings.channels:
        raise ValueError(f"images must be at least k = {settings.k} of {settings.channels} channel(s), "
                         f"got the shape {tuple(images.shape)}; change settings.k or settings.channels")
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    network = settings.network(tuple(images.shape[-2:])).to(device, memory_format=torch.channels_last)
    average = copy.deepcopy(network).requires_grad_(False).eval()
    generator = torch.Generator().manual_seed(settings.seed)
    optimiser = torch.optim.AdamW(network.parameters(), lr=settings.rate, fused=True)
    bfloat16 = faster_in_bfloat16(network, images, settings, device)
    state = Progress(average, [], "bfloat16" if bfloat16 else "float32", described(device))
    start, seen = time.perf_counter(), 0
    with tqdm(total=settings.images, unit=" images", disable=not progress, mininterval=1) as bar:
        while state.done < 1:
            step = len(state.losses)
            for group in optimiser.param_groups:
                group["lr"] = settings.rate * min(1, (step + 1) / 100) * (1 + math.cos(math.pi * state.done)) / 2
            tuples = draw(images, settings, generator).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                loss = loss_of(network, tuples, settings, generator)
            if not torch.isfinite(loss):
                raise ValueError(f"rate {settings.rate} made the loss {loss.item()}; choose a smaller one")
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimiser.step()
            decay = min(settings.ema, (step + 1) / (step + 10))  # forget the first steps fast
            with torch.no_grad():  # or a graph would grow with every step
                torch._foreach_lerp_(list(average.parameters()), list(network.parameters()), 1 - decay)
            seen, spent = seen + len(tuples), time.perf_counter() - start
            state.losses.append((seen, spent, loss.item()))
            state.done = max(seen / settings.images, spent / seconds)
            bar.update(len(tuples))
            bar.set_postfix_str(f"loss {loss.item():.4f}", refresh=False)
            if callback is not None:
                callback(state)
    return state


def described(device: torch.device) -> str:
    """The device in words: "cpu, 2 threads", or the name of the GPU."""
    return f"cpu, {torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name(device)


def faster_in_bfloat16(network: UNet, images: Tensor, settings: Settings, device: torch.device) -> bool:
    """Whether three trial steps run faster in bfloat16 than in float32: not every processor has it."""
    spent = {}
    for bfloat16 in (False, True):
        generator = torch.Generator().manual_seed(0)
        small = replace(settings, batch=min(settings.batch, 32))
        for trial in range(4):  # the first warms up
            if trial == 1:
                start = time.perf_counter()
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16):
                loss = loss_of(network, draw(images, small, generator).to(device), small, generator)
            loss.backward()
            loss.item()
        spent[bfloat16] = time.perf_counter() - start
    network.zero_grad(set_to_none=True)
    return spent[True] < spent[False]

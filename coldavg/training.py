"""Settings and fit(): the whole training of every kind of network, on one processor or on many."""

import copy
import json
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .checkpoint import CHECKPOINT, read_checkpoint, write_checkpoint
from .data import ImageSet, alike_tuples, open_images, thumbnails, write_atomically
from .joint import align, errors, split
from .mixing import TARGETS, brightest_first, check_images, check_weights, on_path
from .optimiser import Optimiser
from .release import keeps_average, release
from .samplers import unmix
from .unet import UNet

ORDERS = ("brightest", "random")
LOSSES = ("squared", "log")
MOST = {False: 4, True: 16}  # images in a mixture, for a path and for a joint network


@dataclass(frozen=True)
class Settings:
    """All that decides a training run; it is saved with the network."""

    data: str = "digits"  # the image set, or a folder or zip of images; its training split is used
    target: str = "original"  # "original", "added", "difference" (path networks) or "joint"
    k: int = 2  # images in a mixture; a path network draws 2 to k, so that it can peel
    order: str = "brightest"  # the original is the image with the largest mean; or "random"
    alpha_max: float = 0.8  # the largest alpha on the path (known setting: 0.8)
    at_start: float = 0.5  # share of the points of a path that lie at (k - 1) / k, where samplers start (known: 0)
    published: str = "png"  # what is done to the averages that a joint network takes apart: a form of `release`
    weights: tuple[float, ...] | None = None  # their mixing weights, known to the attacker; None: equal
    pool: int = 0  # tuples of the most alike among so many images drawn (k-same anonymisation); 0: of any images
    loss: str = "squared"  # mean squared error; "log": the mean of its logarithm, tuple by tuple
    flips: bool = False  # draw mirror images too
    channels: int = 1
    widths: tuple[int, ...] = (64, 96, 160)  # 2.9 million parameters: 5.8 MB in half precision
    patch: int = 2  # the side of the squares of pixels that the network takes as one
    images: int = 800_000  # mixtures to see
    batch: int = 64  # mixtures in a step, over all processes
    rate: float = 2e-3  # of AdamW, at its highest
    ema: float = 0.9995  # exponential averaging of the parameters
    seed: int = 0

    def __post_init__(self):
        object.__setattr__(self, "widths", tuple(self.widths))
        object.__setattr__(self, "weights", self.weights and tuple(self.weights))
        for name, choices in (("target", (*TARGETS, "joint")), ("order", ORDERS), ("loss", LOSSES)):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")
        for name in ("k", "channels", "patch", "images", "batch", "seed", "pool"):
            if type(getattr(self, name)) is not int:
                raise TypeError(f"{name} must be a whole number, got {getattr(self, name)!r}")
        if not 2 <= self.k <= MOST[self.target == "joint"]:
            raise ValueError(f"k must be from 2 to {MOST[False]}, of a joint network to {MOST[True]}, got {self.k}")
        plain = keeps_average(self.published) and self.weights is None
        if self.target != "joint" and not (plain and self.pool == 0):
            raise ValueError(f"target must be 'joint' for published {self.published!r}, weights {self.weights} and "
                             f"pool {self.pool}, got {self.target!r}; path networks learn plain averages")
        if self.pool and self.pool < self.k:
            raise ValueError(f"pool must be 0, or at least k = {self.k}, got {self.pool}")
        check_weights(self.weights, self.k)
        if self.target != "joint" and not (self.k - 1) / self.k <= self.alpha_max < 1:
            raise ValueError(f"alpha_max must be in [(k - 1) / k, 1), got {self.alpha_max} for k = {self.k}")
        if not self.widths or any(width < 4 or width % 4 for width in self.widths):
            raise ValueError(f"widths must each be a multiple of 4, for the heads of attention, got {self.widths}")
        if min(self.images, self.batch, self.channels, self.patch) < 1:
            raise ValueError("images, batch, channels and patch must be at least 1")
        if not 0 <= self.at_start <= 1:
            raise ValueError(f"at_start must be in [0, 1], got {self.at_start}")
        if not 0 < self.rate < math.inf or not 0 <= self.ema < 1:
            raise ValueError("rate must be above 0 and ema in [0, 1)")

    def network(self, size: tuple[int, int] | None = None) -> UNet:
        """An untrained network of these settings, for images of `size` (H, W)."""
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
            torch.manual_seed(self.seed)
            return UNet(self.channels, self.target, self.k, self.alpha_max, size, self.widths, self.patch,
                        keeps_average(self.published), self.weights)


@dataclass
class Progress:
    """What `fit` hands to its callback after every step, and returns at the end.

    `network` is the averaged one; `losses` holds (mixtures seen, seconds, loss) for every step since
    `fit` was called; `log` an entry for every check on the held-out images; `sheet` the pictures of the
    last check (rows, 1 + K, C, H, W): the mixture and what the network made of it.
    """

    network: UNet
    settings: Settings
    precision: str
    device: str
    main: bool = True  # whether this is the first process, which writes
    losses: list[tuple[int, float, float]] = field(default_factory=list)
    log: list[dict] = field(default_factory=list)
    sheet: Tensor | None = None
    done: float = 0.0  # share of the run, 0 to 1


@cache
def held_out(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Of `count` training images, those to draw from and those held out for checks: a tenth, at most 64."""
    checked = np.linspace(0, count - 1, min(64, count // 10)).astype(int)
    return np.setdiff1d(np.arange(count), checked), checked


def draw(images: Tensor | ImageSet, settings: Settings, step: int,
         mine: slice = slice(None)) -> tuple[Tensor, Tensor, Tensor]:
    """Batch number `step`: tuples (B, K, C, H, W) in the order of the settings, what the network gets, alphas (B,).

    A path network gets a point of the path, a joint one what was published, both (B, C, H, W).  All is a
    function of the seed and `step` (Philox, a generator that counts), whatever was drawn before: a run can
    stop and go on, and processes that share a batch each take their part, `mine`.
    """
    random = np.random.Generator(np.random.Philox(key=settings.seed, counter=[0, 0, 0, step]))
    k = settings.k if settings.target == "joint" else int(random.integers(2, settings.k + 1))
    drawn, _ = held_out(len(images))
    places = alike(images, settings, random) if settings.pool else differing(len(drawn), k, settings.batch, random)
    alpha = settings.alpha_max * (1 - random.random(settings.batch))  # never 0
    alpha[: round(settings.at_start * settings.batch)] = (k - 1) / k
    mirrored = torch.from_numpy(random.random((settings.batch, k)) < 0.5)[mine]
    tuples, alpha = images[torch.from_numpy(drawn[places])[mine]], torch.from_numpy(alpha).float()[mine]
    if settings.flips:
        tuples = torch.where(mirrored[:, :, None, None, None], tuples.flip(-1), tuples)
    if settings.order == "brightest":
        tuples = brightest_first(tuples)
    if settings.target == "joint":
        seeds = [settings.seed << 64 | step + 1 << 32 | place for place in range(settings.batch)][mine]
        return tuples, release(tuples, settings.published, settings.weights, seeds), alpha
    return tuples, on_path(tuples[:, 0], tuples[:, 1:].mean(1), alpha[:, None, None, None]), alpha


def differing(count: int, k: int, batch: int, random: np.random.Generator) -> np.ndarray:
    """Places (batch, k) among `count` images, all of a tuple different."""
    first = random.integers(count, size=(batch, 1))
    gap = (count - 1) // (k - 1)  # partner j stands 1 + (j - 1) gap to j gap places further on
    further = random.integers(1, gap + 1, size=(batch, k - 1)) + gap * np.arange(k - 1)
    return np.hstack([first, (first + further) % count])


def alike(images: Tensor | ImageSet, settings: Settings, random: np.random.Generator) -> np.ndarray:
    """Places (batch, k) among the images to draw from: tuples as a publisher forms them who groups like with like."""
    drawn, _ = held_out(len(images))
    size, rows = min(settings.pool, len(drawn)), []
    while len(rows) < settings.batch:  # a pool, and if need be another
        chosen = random.permutation(len(drawn))[:size]
        identities = getattr(images, "identities", np.arange(len(images)))[drawn[chosen]]
        groups = alike_tuples(thumbnails(images, drawn[chosen]), settings.k, settings.batch - len(rows), identities)
        if not len(groups):
            raise ValueError(f"pool {settings.pool} gives no tuple of {settings.k} identities; draw from a larger one")
        rows += chosen[groups].tolist()
    return np.array(rows)


def loss_of(network: UNet, tuples: Tensor, given: Tensor, alpha: Tensor, settings: Settings) -> Tensor:
    """The training loss of a path or a joint network on a batch, as `draw` gives it."""
    if settings.target == "joint":
        weights = check_weights(settings.weights, settings.k)
        recovered = split(network, given, weights, keeps_average(settings.published)).float()
        if settings.weights is None:
            recovered = align(recovered, tuples)  # permutation-invariant: the best order counts
        lost = errors(recovered, tuples)
    else:
        original, added = tuples[:, 0], tuples[:, 1:].mean(1)
        truth = {"original": original, "added": added, "difference": added - original}[settings.target]
        lost = (network(given, alpha).float() - truth).square().flatten(1).mean(1)
    return (lost + 1e-4).log().mean() if settings.loss == "log" else lost.mean()


def fit(settings: Settings, images: Tensor | ImageSet | None = None, seconds: float = math.inf, progress: bool = True,
        callback: Callable[[Progress], bool | None] | None = None, folder: Path | None = None, every: float = 60,
        start: UNet | None = None) -> Progress:
    """Train a network of `settings` and return it, averaged over its last steps, with its losses.

    `images` (N, C, H, W) in [-1, 1], N >= k, replace the training split of `settings.data`.  Training
    ends after `settings.images` mixtures or `seconds`; the learning rate (warm-up, then cosine) falls
    to nought at whichever comes first.  `callback` is called after every step; if it returns True,
    training stops there.  With a `folder`, a checkpoint and log.jsonl are written there `every` so many
    seconds; where it holds a checkpoint of the same settings, training goes on from it.  What fits of
    the network `start` is copied at the beginning.  Under `accelerate launch` all processes share each
    batch.  Raises ValueError or TypeError if the images do not fit the settings.
    """
    if not seconds > 0:
        raise ValueError(f"seconds must be above 0, got {seconds}")
    images = open_images(settings.data, "train") if images is None else images
    if isinstance(images, Tensor):
        images = check_images(images).float()
    if len(images) < settings.k or images.shape[1] != settings.channels:
        raise ValueError(f"images must be at least k = {settings.k} of {settings.channels} channel(s), "
                         f"got the shape {tuple(images.shape)}; change settings.k or settings.channels")
    run = Run(settings, images, seconds, folder, start)
    checked, state = time.perf_counter(), run.state
    with (tqdm(total=settings.images, initial=run.seen, unit=" images", disable=not (progress and state.main),
               mininterval=1) as bar, ThreadPoolExecutor(1) as ahead):
        upcoming = ahead.submit(run.draw, run.step)
        while state.done < 1:
            waits = time.perf_counter()
            batch = upcoming.result()
            run.waited += time.perf_counter() - waits
            upcoming = ahead.submit(run.draw, run.step + 1)  # while the network works on this batch
            loss = run.learn(*batch)
            bar.update(settings.batch)
            bar.set_postfix_str(f"loss {loss:.4f}, waits {run.waited / run.spent:.1%}", refresh=False)
            due = time.perf_counter() - checked > every or state.done >= 1
            if state.main and due:
                run.check()
                checked = time.perf_counter()
            if state.main and callback is not None and callback(state):
                if not due:
                    run.check()
                break
    return state


class Run:
    """A training run: all that changes from step to step, and how it is kept."""

    def __init__(self, settings: Settings, images: Tensor | ImageSet, seconds: float, folder: Path | None,
                 start: UNet | None):
        from accelerate import Accelerator  # here, because importing it takes a second

        self.settings, self.images, self.seconds, self.folder = settings, images, seconds, folder
        self.accelerator = Accelerator()  # the device, and the other processes if there are any
        device, ranks = self.accelerator.device, self.accelerator.num_processes
        if settings.batch % ranks:
            raise ValueError(f"batch must be a multiple of the {ranks} processes, got {settings.batch}")
        self.mine = slice(self.accelerator.process_index, None, ranks)
        self.plain = settings.network(tuple(images.shape[-2:]))
        if start is not None:
            copy_what_fits(start, self.plain)
        self.plain.to(device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.plain).requires_grad_(False).eval()
        self.network = self.accelerator.prepare(self.plain)
        self.optimiser = Optimiser(self.plain, settings.rate)
        self.step, self.seen, self.before, self.waited = 0, 0, 0.0, 0.0
        held = self.read_checkpoint()
        self.bfloat16 = held["bfloat16"] if held else faster_in_bfloat16(device)
        if device.type == "cuda":
            self.plain.compile()
        self.state = Progress(self.average, settings, "bfloat16" if self.bfloat16 else "float32", described(device),
                              self.accelerator.is_main_process)
        self.state.log = held.get("log", [])
        self.state.done = self.seen / settings.images
        if folder is not None and self.state.main:  # a place that can't be written shows now, not after a minute
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / "settings.json", json.dumps(asdict(settings), indent=2).encode())
        self.started = time.perf_counter()

    @property
    def spent(self) -> float:
        """Seconds of training, those before the checkpoint included."""
        return self.before + time.perf_counter() - self.started

    def draw(self, step: int) -> list[Tensor]:
        """Batch number `step`, or this process's part of it, on the device."""
        return [part.to(self.accelerator.device) for part in draw(self.images, self.settings, step, self.mine)]

    def learn(self, tuples: Tensor, given: Tensor, alpha: Tensor) -> float:
        """One step of the optimiser, and of the average; returns the loss over all processes."""
        settings, accelerator = self.settings, self.accelerator
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=self.bfloat16):
            loss = loss_of(self.network, tuples, given, alpha, settings)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(self.network.parameters(), 1.0)
        warm = min(1, (self.step + 1) / 100)
        self.optimiser.step(settings.rate * warm * (1 + math.cos(math.pi * self.state.done)) / 2)
        loss = accelerator.reduce(loss.detach(), "mean").item()
        if not math.isfinite(loss):
            raise ValueError(f"rate {settings.rate} made the loss {loss}; choose a smaller one")
        decay = min(settings.ema, (self.step + 1) / (self.step + 10))  # forget the first steps fast
        with torch.no_grad():  # or a graph would grow with every step
            torch._foreach_lerp_(list(self.average.parameters()), list(self.plain.parameters()), 1 - decay)
        self.step, self.seen = self.step + 1, self.seen + settings.batch
        self.state.losses.append((self.seen, self.spent, loss))
        self.state.done = max(self.seen / settings.images, self.clock() / self.seconds)
        return loss

    def clock(self) -> float:
        """Seconds spent, by the clock of the first process: all must stop at the same step."""
        if self.accelerator.num_processes == 1 or self.seconds == math.inf:
            return self.spent
        from accelerate.utils import broadcast

        return broadcast(torch.tensor(self.spent, device=self.accelerator.device)).item()

    def check(self) -> None:
        """Recover the held-out tuples with the average; log it, and with a folder, write log and checkpoint."""
        state, k = self.state, self.settings.k
        recent = [loss for *_, loss in state.losses[-200:]]
        entry = {"images": self.seen, "seconds": round(self.spent, 1), "loss": round(sum(recent) / len(recent), 5),
                 "images_per_second": round(self.seen / self.spent, 1), "waiting": round(self.waited / self.spent, 4)}
        _, places = held_out(len(self.images))
        if len(places) >= k:
            places = torch.from_numpy(places[: len(places) // k * k].reshape(k, -1).T.copy())
            tuples = brightest_first(self.images[places]).to(self.accelerator.device)
            mixture = release(tuples.cpu(), self.settings.published, self.settings.weights).to(tuples)
            recovered = unmix(mixture, self.average, "one_step", k=k).images.clamp(-1, 1)
            lost = errors(align(recovered, tuples), tuples).clamp_min(4e-10)
            entry["psnr"] = round((10 * torch.log10(4 / lost)).mean().item(), 3)
            state.sheet = torch.cat([mixture[:, None], recovered], 1)[:8].cpu()
        state.log.append(entry)
        if self.folder is not None:
            lines = "".join(json.dumps(line) + "\n" for line in state.log)
            write_atomically(self.folder / "log.jsonl", lines.encode())
            if state.done < 1:  # a run that is done has nothing to go on with
                self.write_checkpoint()

    def parts(self) -> dict[str, UNet | Optimiser]:
        """All whose tensors a checkpoint holds."""
        return {"network": self.plain, "average": self.average, "optimiser": self.optimiser}

    def write_checkpoint(self) -> None:
        """All that the rest of the run depends on, in one file; random numbers depend on the step alone."""
        notes = {"settings": self.described_settings(), "step": self.step, "seen": self.seen, "seconds": self.spent,
                 "waited": self.waited, "bfloat16": self.bfloat16, "log": self.state.log}
        tensors = {name: part.state_dict() for name, part in self.parts().items()}
        write_checkpoint(self.folder / CHECKPOINT, notes, tensors)

    def described_settings(self) -> dict:
        """The settings, and the number of training images, as JSON gives them back."""
        return json.loads(json.dumps(asdict(self.settings) | {"training_images": len(self.images)}))

    def read_checkpoint(self) -> dict:
        """Go on from the folder's checkpoint, if there is one; returns its notes, or nothing."""
        file = self.folder and self.folder / CHECKPOINT
        if file is None or not file.exists():
            return {}
        notes, tensors = read_checkpoint(file)
        mine, theirs = self.described_settings(), notes["settings"]
        other = [f"{name} was {theirs.get(name)!r}, now {value!r}" for name, value in mine.items()
                 if theirs.get(name) != value]
        if other:
            raise ValueError(f"checkpoint {file} is of other settings ({'; '.join(other)}); "
                             "use those, choose another place, or delete it to start anew")
        for name, part in self.parts().items():
            part.load_state_dict(tensors[name])
        self.step, self.seen = notes["step"], notes["seen"]
        self.before, self.waited = notes["seconds"], notes["waited"]
        return notes


def copy_what_fits(source: UNet, target: UNet) -> None:
    """Copy the parameters of `source` that `target` has too, in the same shape."""
    own = target.state_dict()
    target.load_state_dict(own | {name: tensor for name, tensor in source.state_dict().items()
                                  if name in own and own[name].shape == tensor.shape})


def described(device: torch.device) -> str:
    """The device in words: "cpu, 2 threads", or the name of the GPU."""
    return f"cpu, {torch.get_num_threads()} threads" if device.type == "cpu" else torch.cuda.get_device_name(device)


def faster_in_bfloat16(device: torch.device) -> bool:
    """Whether the processor or GPU computes in bfloat16 by itself; where it must imitate it, float32 is faster."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    able = getattr(torch.cpu, "get_capabilities", dict)()  # newer than the oldest torch that serves here
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))

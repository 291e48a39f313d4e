"""fit(): the whole training of every kind of network, on one processor or on many."""

import copy
import json
import math
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm.auto import tqdm

from .batches import Batch, draw, draw_held_out, held_out
from .imagesets.opening import ImageSet, open_images
from .joint import split
from .matching import align, mean_error, pit_loss, squared_errors
from .mixing import brightest_first, check_images, check_weights, project, remainder_of, say
from .optimiser import Optimiser
from .publishing import release
from .settings import Settings
from .support.checkpoint import CHECKPOINT, read_checkpoint, write_checkpoint
from .support.device import describe_device, has_bfloat16
from .support.files import write_atomically
from .unet import UNet
from .unmixing import unmix


@dataclass
class Progress:
    """What `fit` hands to its callback after every step, and returns at the end.

    `network` is the averaged one; `losses` holds (mixtures seen, seconds, loss) for every step since `fit` was called;
    `log` an entry for every check on held-out images; `sheet` (rows, 1 + K, C, H, W) mixtures and answers of the last.
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


def loss_of(network: UNet, batch: Batch, settings: Settings) -> Tensor:
    """The training loss of a path or a joint network on a batch, as `draw` gives it."""
    log = settings.loss == "log"
    if settings.target != "joint":
        truth = say(settings.target, batch.tuples[:, 0], remainder_of(batch.tuples))
        return mean_error(squared_errors(network(batch.given, batch.alpha).float(), truth), log)
    recovered = recover_batch(network, batch, settings)
    if settings.weights is None:
        return pit_loss(recovered, batch.tuples, log)
    return mean_error(squared_errors(recovered, batch.tuples), log)  # known weights tell the images apart


def recover_batch(network: UNet, batch: Batch, settings: Settings) -> Tensor:
    """What a joint network sees in a batch at its last look; the looks before it are free of gradients."""
    weights, last = check_weights(settings.weights, settings.k), None
    alpha = (1 - weights[0]).to(batch.given).expand(len(batch.given))
    for look in range(1, batch.looks + 1):
        with torch.set_grad_enabled(look == batch.looks):
            answer = network(batch.given, alpha, *[last] * bool(settings.looks))
            last = (project(answer, batch.given, weights) if settings.exact else answer).float()
    return last


def fit(settings: Settings, images: Tensor | ImageSet | None = None, seconds: float = math.inf, progress: bool = True,
        callback: Callable[[Progress], bool | None] | None = None, folder: Path | None = None, every: float = 60,
        start: UNet | None = None) -> Progress:
    """Train a network of `settings`; return it, averaged over its last steps, with its losses, as a Progress.

    `images` (N, C, H, W) in [-1, 1], N >= k, replace the training split of `settings.data`.  Training ends after
    `settings.mixtures` mixtures or `seconds`; the learning rate (warm-up, then cosine) falls to nought at whichever
    comes first.  `callback` is called after every step; if it returns True, training stops there.  With a `folder`,
    a checkpoint and log.jsonl are written there `every` so many seconds; where it holds a checkpoint of the same
    settings, training goes on from it.  What fits of the network `start` is copied at the beginning.  Under
    `accelerate launch` all processes share each batch.  Raises ValueError or TypeError if the images do not fit.
    """
    return carry_out(Run(settings, images, seconds, folder, start), progress, callback, every)


def carry_out(run: "Run", progress: bool, callback: Callable[[Progress], bool | None] | None, every: float) -> Progress:
    """The loop of a training run, whatever it learns from; the rest as in `fit`."""
    checked, state, settings = time.perf_counter(), run.state, run.settings
    with (tqdm(total=settings.mixtures, initial=run.seen, unit=" mixtures", disable=not (progress and state.main),
               mininterval=1) as bar, ThreadPoolExecutor(1) as ahead):
        # on the network's own processor a thread that draws costs a fourth of the speed: OpenMP sleeps more often
        upcoming, beside = None, run.accelerator.device.type != "cpu"
        while state.done < 1:
            waits = time.perf_counter()
            batch = upcoming.result() if upcoming else run.draw(run.step)
            run.waited += time.perf_counter() - waits
            upcoming = ahead.submit(run.draw, run.step + 1) if beside else None
            loss = run.learn(batch)
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

    def __init__(self, settings: Settings, images: Tensor | ImageSet | None, seconds: float, folder: Path | None,
                 start: UNet | None):
        from accelerate import Accelerator  # here, because importing it takes a second

        if not seconds > 0:
            raise ValueError(f"seconds must be above 0, got {seconds}")
        images = open_images(settings.data, "train") if images is None else images
        if isinstance(images, Tensor):
            images = check_images(images).float()
        if len(held_out(len(images))[0]) < settings.k or images.shape[1] != settings.channels:
            raise ValueError(f"images must be at least k = {settings.k} of {settings.channels} channel(s), beside the "
                             f"tenth that is held out, got the shape {tuple(images.shape)}; change settings.k or "
                             "settings.channels")
        self.settings, self.images, self.seconds, self.folder = settings, images, seconds, folder
        self.accelerator = Accelerator()  # the device, and the other processes if there are any
        device, ranks = self.accelerator.device, self.accelerator.num_processes
        if settings.batch % ranks:
            raise ValueError(f"batch must be a multiple of the {ranks} processes, got {settings.batch}")
        self.mine = slice(self.accelerator.process_index, None, ranks)
        self.plain = UNet(settings, tuple(images.shape[-2:]))
        if start is not None:
            copy_what_fits(start, self.plain)
        self.plain.to(device, memory_format=torch.channels_last)
        self.average = copy.deepcopy(self.plain).requires_grad_(False).eval()
        self.network = self.accelerator.prepare(self.plain)
        self.optimiser = Optimiser(self.plain, settings.learning_rate)
        self.step, self.seen, self.before, self.waited = 0, 0, 0.0, 0.0
        held = self.read_checkpoint()
        self.bfloat16 = held["bfloat16"] if held else has_bfloat16(device)
        if device.type == "cuda":
            self.plain.compile()
        self.state = Progress(self.average, settings, "bfloat16" if self.bfloat16 else "float32",
                              describe_device(device), self.accelerator.is_main_process)
        self.state.log = held.get("log", [])
        self.state.done = self.seen / settings.mixtures
        if folder is not None and self.state.main:  # a place that can't be written shows now, not after a minute
            folder.mkdir(parents=True, exist_ok=True)
            write_atomically(folder / "settings.json", json.dumps(asdict(settings), indent=2).encode())
        self.started = time.perf_counter()

    @property
    def spent(self) -> float:
        """Seconds of training, those before the checkpoint included."""
        return self.before + time.perf_counter() - self.started

    def draw(self, step: int) -> Batch:
        """Batch number `step`, or this process's part of it, on the device."""
        batch = draw(self.images, self.settings, step, self.mine)
        return Batch(*(part.to(self.accelerator.device) for part in batch[:3]), batch.looks)

    def loss(self, batch: Batch) -> Tensor:
        """The loss of the network on a batch."""
        return loss_of(self.network, batch, self.settings)

    def learn(self, batch: Batch) -> float:
        """One step of the optimiser, and of the averaged network; returns the loss over all processes."""
        settings, accelerator = self.settings, self.accelerator
        with torch.autocast(accelerator.device.type, torch.bfloat16, enabled=self.bfloat16):
            loss = self.loss(batch)
        accelerator.backward(loss)
        accelerator.clip_grad_norm_(self.network.parameters(), 1.0)
        warm = min(1, (self.step + 1) / 100)
        self.optimiser.step(settings.learning_rate * warm * (1 + math.cos(math.pi * self.state.done)) / 2)
        loss = accelerator.reduce(loss.detach(), "mean").item()
        if not math.isfinite(loss):
            raise ValueError(f"learning_rate {settings.learning_rate} made the loss {loss}; choose a smaller one")
        decay = min(settings.ema, (self.step + 1) / (self.step + 10))  # forget the first steps fast
        with torch.no_grad():  # or a graph would grow with every step
            torch._foreach_lerp_(list(self.average.parameters()), list(self.plain.parameters()), 1 - decay)
        self.step, self.seen = self.step + 1, self.seen + settings.batch
        self.state.losses.append((self.seen, self.spent, loss))
        self.state.done = max(self.seen / settings.mixtures, self.clock() / self.seconds)
        return loss

    def clock(self) -> float:
        """Seconds spent, by the clock of the first process: all must stop at the same step."""
        if self.accelerator.num_processes == 1 or self.seconds == math.inf:
            return self.spent
        from accelerate.utils import broadcast

        return broadcast(torch.tensor(self.spent, device=self.accelerator.device)).item()

    def check(self) -> None:
        """Log the losses and how the averaged network does; with a folder, write log and checkpoint."""
        state = self.state
        recent = [loss for *_, loss in state.losses[-200:]]
        entry = {"mixtures_seen": self.seen, "seconds": round(self.spent, 1),
                 "loss": round(sum(recent) / len(recent), 5),
                 "mixtures_per_second": round(self.seen / self.spent, 1), "waiting": round(self.waited / self.spent, 4)}
        self.score_held_out(entry)
        state.log.append(entry)
        if self.folder is not None:
            lines = "".join(json.dumps(line) + "\n" for line in state.log)
            write_atomically(self.folder / "log.jsonl", lines.encode())
            if state.done < 1:  # a run that is done has nothing to go on with
                self.write_checkpoint()

    def score_held_out(self, entry: dict) -> None:
        """Recover the held-out tuples with the averaged network, and enter the PSNR."""
        state, k, (_, checked) = self.state, self.settings.k, held_out(len(self.images))
        if len(checked) >= k:
            rows = torch.from_numpy(checked[: len(checked) // k * k].reshape(k, -1).T)
            if self.settings.looks and state.done >= 1:  # how often to look is chosen now: by as many as can tell
                rows = draw_held_out(len(self.images), k, 200)
            tuples = brightest_first(self.images[rows]).to(self.accelerator.device)
            mixture = release(tuples.cpu(), self.settings.published, self.settings.weights).to(tuples)
            psnrs = []
            for recovered in self.recover(mixture):
                lost = squared_errors(align(recovered.clamp(-1, 1), tuples), tuples).clamp_min(4e-10)
                psnrs.append(round((10 * torch.log10(4 / lost)).mean().item(), 3))
            entry["psnr"] = max(psnrs)
            if self.settings.looks:  # how often it is best asked: a look that adds less than 0.02 dB does not pay
                self.average.looks = entry["looks"] = 1 + [each > max(psnrs) - 0.02 for each in psnrs].index(True)
                entry["psnr_by_look"] = psnrs
            state.sheet = torch.cat([mixture[:, None], recovered], 1)[:8].cpu()

    def recover(self, mixture: Tensor) -> Iterable[Tensor]:
        """What the averaged network sees in held-out mixtures: look by look, three looks further than is trained."""
        settings = self.settings
        if settings.target != "joint":
            return [unmix(mixture, self.average, "one_step", 1, settings.k).images]
        weights, looks = check_weights(settings.weights, settings.k), settings.looks + 3 if settings.looks else 1
        return split(self.average, mixture, weights, looks)

    def parts(self) -> dict[str, UNet | Optimiser]:
        """All whose tensors a checkpoint holds."""
        return {"network": self.plain, "average": self.average, "optimiser": self.optimiser}

    def write_checkpoint(self) -> None:
        """All that the rest of the run depends on, in one file; random numbers depend on the step alone."""
        notes = {"settings": self.settings_as_json(), "step": self.step, "seen": self.seen, "seconds": self.spent,
                 "waited": self.waited, "bfloat16": self.bfloat16, "log": self.state.log}
        tensors = {name: part.state_dict() for name, part in self.parts().items()}
        write_checkpoint(self.folder / CHECKPOINT, notes, tensors)

    def settings_as_json(self) -> dict:
        """The settings, and what is known of the training images, as JSON gives them back."""
        images, read = self.images, getattr(self.images, "inspection", None)
        facts = {"training_images": len(images), "size": list(images.shape[-2:])}
        facts |= {"fit": read.fit, "identity": read.identities_how, "data_sha256": images.sha256} if read else {}
        return json.loads(json.dumps(asdict(self.settings) | facts))

    def read_checkpoint(self) -> dict:
        """Go on from the folder's checkpoint, if there is one; returns its notes, or nothing."""
        file = self.folder and self.folder / CHECKPOINT
        if file is None or not file.exists():
            return {}
        notes, tensors = read_checkpoint(file, self.settings_as_json())
        for name, part in self.parts().items():
            part.load_state_dict(tensors[name])
        self.step, self.seen = notes["step"], notes["seen"]
        self.before, self.waited = notes["seconds"], notes["waited"]
        return notes


def copy_what_fits(source: UNet, target: UNet) -> None:
    """Copy the parameters of `source` that `target` has in the same shape; its stem is blind to all else."""
    own, held = target.state_dict(), source.state_dict()
    more = target.stem.in_channels - source.stem.in_channels
    if target.looks and not source.looks and more == (target.k - 1) * source.stem.in_channels:
        held["stem.weight"] = F.pad(held["stem.weight"], (0, 0, 0, 0, 0, more))
    fits = {name: tensor for name, tensor in held.items() if name in own and own[name].shape == tensor.shape}
    target.load_state_dict(own | fits)

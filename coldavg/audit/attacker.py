"""The attacker of an audit: a network that is there, or one that is trained against these very averages."""

import json
import math
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from ..batches import held_out
from ..evaluation.attackers import recover
from ..evaluation.averaging import PAIRS, Averaging
from ..imagesets.opening import ImageSet
from ..networks import load_network, manifest, read_network, save_network
from ..publishing import keeps_average, publish
from ..remixing import fit_to_averages
from ..settings import Settings
from ..support.files import write_atomically
from ..training import Progress, fit
from ..unet import UNet
from .existing import Pairs, fit_to_pairs
from .measure import measure_attack
from .plan import UNKNOWN, Plan, describe_plan, read_plan

BATCH = 64  # averages in a step, of 64 x 64 pixels; of more pixels fewer, for the memory that they need
TRIAL = 12  # steps by which the speed is measured; the first 4 warm up
BLURS = (0, 0.5, 0.7, 1, 1.5, 2)  # standard deviations in pixels that an attacker tries
LOOKS = 3  # that a network is trained for
STAGES = ((4, 0), (2, 0), (2, LOOKS))  # k and looks of the networks that learn from averages alone, one by the other


class Attacker(NamedTuple):
    """A network, the blur (pixels) by which the attacker smooths what was published, and where training began."""

    network: UNet
    blur: float = 0
    start: str = ""


def find_attackers(plan: Plan, learnt: ImageSet | None, out: Path, stops: list,
                   pairs: Pairs | None = None) -> tuple[Plan, list[Attacker] | None]:
    """The plan with its steps, and who attacks each averaging; none if training was stopped, or is another's.

    `pairs` are averages that exist, to learn from, of members among `learnt`.
    """
    from accelerate import PartialState

    if learnt is None:
        return plan, [Attacker(load_network(plan.attacker))] * len(plan.k)
    if plan.alone:
        return learn_from_averages(plan, learnt, out, stops)
    # plain averages are taken apart two at a time; for all others a network is trained for each K
    wanted = [Averaging(2, None, plan.groups, plan.published)] if plan.averagings[0].plain else plan.averagings
    begun = read_plan(plan, learnt.sha256, out / "plan.json") or begin(plan, learnt, wanted, out / "plan.json")
    plan, start, network = replace(plan, steps=begun["steps"]), begun["start"], load_network(begun["start"])
    every = [settings_for(each, plan, learnt, start, blur) for each, blur in zip(wanted, begun["blurs"])]
    found = []
    for settings, blur in zip(every, begun["blurs"]):  # each network starts from the one before it
        mixtures = settings.batch * max(1, plan.steps // len(wanted))
        train, source = (fit_to_pairs, pairs) if pairs else (fit, learnt)
        network = train_attacker(train, replace(settings, mixtures=mixtures), source, network,
                                 out / f"attacker-{settings.k}.safetensors", stops)
        if network is None:
            return plan, None
        found.append(Attacker(network, blur, start))
    return plan, found * (len(plan.k) // len(found)) if PartialState().is_main_process else None


def learn_from_averages(plan: Plan, learnt: ImageSet, out: Path, stops: list) -> tuple[Plan, list[Attacker] | None]:
    """As `find_attackers`, for one who owns no image: the images learned from are his only in averages of two."""
    from accelerate import PartialState

    pairs = np.random.default_rng(plan.seed).permutation(len(learnt))[: len(learnt) // 2 * 2].reshape(-1, 2)
    averages = plan.averagings[0].publish(learnt[torch.from_numpy(pairs)], plan.seed)  # each image in one
    batch = batch_for(learnt)
    every = [Settings(data=plan.data, target="joint", k=k, order="random", loss="log", published=plan.published,
                      looks=looks, flips=learnt.flips, channels=learnt.shape[1], batch=batch, learning_rate=4e-3,
                      seed=plan.seed) for k, looks in STAGES]
    begun = read_plan(plan, learnt.sha256, out / "plan.json")
    if begun is None:
        trial = replace(every[0], mixtures=batch * TRIAL)
        steps = count_steps(plan, lambda: fit_to_averages(trial, averages, progress=False))
        begun = keep_plan(plan, learnt, {"steps": steps, "start": "", "blurs": []}, out / "plan.json")
    plan, network = replace(plan, steps=begun["steps"]), None
    for number, settings in enumerate(every, 1):
        settings = replace(settings, mixtures=batch * max(1, plan.steps // len(every)))
        network = train_attacker(fit_to_averages, settings, averages, network,
                                 out / f"attacker-{number}.safetensors", stops)
        if network is None:
            return plan, None
    return plan, [Attacker(network)] if PartialState().is_main_process else None


def nearest_network(images: ImageSet) -> str:
    """The network for two in the package that takes averages of these images apart best, to start from."""
    rows = torch.from_numpy(held_out(len(images))[1])
    pairs = images[rows[: len(rows) // 2 * 2].reshape(-1, 2)]
    names = [name for name, entry in manifest().items() if entry["settings"]["target"] == "joint"
             and entry["settings"]["k"] == 2 and entry["settings"]["channels"] == images.shape[1]]
    if not len(pairs):
        return names[0]
    shown = PAIRS.publish(pairs)
    return max(names, key=lambda name: measure_attack(recover(shown, load_network(name))[0], pairs, shown)[0]["psnr"])


def choose_blur(network: UNet, images: ImageSet, averaging: Averaging, count: int = 64) -> float:
    """The blur (SD in pixels, 0: none) after which a network for plain averages of two gets most back.

    Tried on averages of `images`, the attacker's own.  To smooth first is the simplest answer to noise; a
    network that is then trained on smoothed averages starts from there.
    """
    if keeps_average(averaging.published) or averaging.published == UNKNOWN:
        return 0
    tuples = images[averaging.draw(images, count)]
    published = averaging.publish(tuples)
    psnr = {blur: measure_attack(recover(smooth(published, blur), network, k=averaging.k)[0], tuples,
                                 published)[0]["psnr"] for blur in BLURS}
    return max(psnr, key=psnr.get)


def smooth(published: Tensor, blur: float) -> Tensor:
    """Published pictures (N, C, H, W), blurred by the attacker before anything else."""
    return publish(published, f"blur-{blur}") if blur else published


def smoothed_form(form: str, blur: float) -> str:
    """The form in which the network of an attacker who smooths first sees what was published."""
    return f"{form}+png+blur-{blur}" if blur else form


def settings_for(averaging: Averaging, plan: Plan, images: ImageSet, start: str, blur: float) -> Settings:
    """How a network is trained against this averaging, from the network `start`."""
    pool = min(len(images), 1000) if averaging.groups == "nearest" else 0
    return Settings(data=plan.attacker or plan.data, target="joint", k=averaging.k, order="random", loss="log",
                    published=smoothed_form(averaging.published, blur), weights=averaging.weights, pool=pool,
                    looks=LOOKS, flips=images.flips, channels=images.shape[1],
                    widths=manifest()[start]["settings"]["widths"], batch=batch_for(images), learning_rate=1e-3,
                    seed=plan.seed)


def batch_for(images: ImageSet) -> int:
    """Averages in a step of training on such images."""
    return max(2, min(BATCH, BATCH * 64 * 64 // math.prod(images.shape[2:])))


def begin(plan: Plan, images: ImageSet, wanted: list[Averaging], file: Path) -> dict:
    """What an audit settles before it trains, and keeps in `file`: the start network, blurs, and the steps."""
    note("choosing a network to start from")
    start = nearest_network(images)
    network = load_network(start)
    blurs = [choose_blur(network, images, each) for each in wanted]
    settings = settings_for(wanted[0], plan, images, start, blurs[0])
    trial = replace(settings, mixtures=settings.batch * TRIAL)
    steps = count_steps(plan, lambda: fit(trial, images, progress=False, start=network))
    return keep_plan(plan, images, {"steps": steps, "start": start, "blurs": blurs}, file)


def count_steps(plan: Plan, train: Callable[[], Progress]) -> int:
    """The steps of the plan, or as many as its minutes allow at the speed of the TRIAL steps that `train` takes."""
    from accelerate.utils import broadcast_object_list

    if plan.steps is not None:
        return plan.steps
    losses = train().losses
    seconds = (losses[-1][1] - losses[3][1]) / (TRIAL - 4)
    return broadcast_object_list([max(1, round(60 * plan.minutes / seconds))])[0]  # of the first process


def keep_plan(plan: Plan, images: ImageSet, begun: dict, file: Path) -> dict:
    """Write into `file` what was settled, for whoever goes on with the audit; returns it."""
    from accelerate import PartialState

    if PartialState().is_main_process:
        note(f"{begun['steps']} steps of training")
        write_atomically(file, json.dumps({"asked": describe_plan(plan, images.sha256)} | begun).encode())
    return begun


def note(text: str) -> None:
    """Say what goes on, in the first process alone."""
    from accelerate import PartialState

    if PartialState().is_main_process:
        print(text, file=sys.stderr, flush=True)


def train_attacker(train: Callable[..., Progress], settings: Settings, images: ImageSet | Tensor | Pairs,
                   start: UNet | None, file: Path, stops: list) -> UNet | None:
    """The network in `file`, or `train` it there, from its checkpoint if it has one; none if that was stopped."""
    if file.exists():
        try:
            return read_network(file.read_bytes(), file.name)[0].eval()
        except ValueError:
            raise ValueError(f"{str(file)!r} is cut short or altered; delete it, and start the audit again") from None
    state = train(settings, images, callback=lambda state: bool(stops), folder=file.with_suffix(""), start=start)
    if not state.main or state.done < 1:  # the other processes go on, for they share the next training too
        return None if state.main else state.network
    save_network(state.network, file, seconds=round(state.losses[-1][1]), precision=state.precision,
                 device=state.device)
    for left in file.with_suffix("").glob("checkpoint*"):
        left.unlink()
    return read_network(file.read_bytes(), str(file))[0].eval()  # in half precision, as anybody will load it


def attack_with(attacker: Attacker, averaging: Averaging) -> Callable[[Tensor], Tensor]:
    """A function from published averages (N, C, H, W) to images (N, K, C, H, W)."""
    def attack(published: Tensor) -> Tensor:
        recovered, _ = recover(smooth(published, attacker.blur), attacker.network, "cold", None, averaging.k,
                               averaging.weights, 50, sys.stderr.isatty())
        grey = (published == published[:, :1]).all()  # then so are the images, whatever a network for colour says
        return recovered.mean(2, keepdim=True).expand_as(recovered) if grey else recovered

    return attack

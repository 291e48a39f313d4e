"""Is my averaging safe?  Attack averages of one's own images, and say what came back."""

import json
import math
import platform
import shlex
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from .attack import Averaging, after_smoothing, marks, search, share_found, smoothed, smoothing
from .data import SETS, ImageSet, open_images, told, write_atomically
from .evaluate import recover, stamp_of
from .metrics import interval, psnr, ssim
from .pretrained import load_network, manifest, read_network, save_network
from .recognise import find_people, recogniser_for
from .release import keeps_average
from .report import page
from .training import Progress, Settings, fit, held_out
from .unet import UNet

FEWEST = 20  # images that an attacker can learn from
CANDIDATES = 2_000  # images that the search chooses from, the averaged ones among them; fewer if they are large
VALUES = 50_000_000  # that they may hold together
BATCH = 64  # averages in a step, of 64 x 64 pixels; of more pixels fewer, for the memory that they need
TRIAL = 12  # steps by which the speed is measured; the first 4 warm up
SAME = 0.95  # SSIM of an average to one of its images from which on it hides nothing
HIGH, SOME = (1.0, 75.0), (0.1, 50.0)  # dB gained, % nearer: what the low ends of both intervals must pass
PEOPLE = (5.0, 2.0)  # rank 1 in %, and as a multiple of chance, whose low end makes a risk high

VERDICTS = {  # the worst first
    "same": "The averages hide nothing: they look like an image that went into them",
    "high": "High risk: the attack gets images back",
    "some": "Some risk: the attack gets part of the images back",
    "unclear": "Unclear: the two measures of what came back disagree; train longer, or attack more averages",
    "none": "This attack got nothing back that the averages do not show already",
}


@dataclass(frozen=True)
class Plan:
    """What an audit is to do.  The same plan with the same `steps` gives the same numbers on the same kind of machine.

    `data`: a folder, zip or named set, sub-folders are identities.  `k`: one number of images in an average,
    or several; with `weights`, `groups` and `published` as in `Averaging`.  `size`: the side in pixels to which
    images are reduced (None: 64, or that of the network).  `attacker`: "" trains on a part of the images, the
    training split; or a network by name or file; or another folder of similar images to train on.  `minutes`
    of training, all K together, are turned into steps unless `steps` are given.  `count`: the averages that
    are attacked.
    """

    data: str
    k: tuple[int, ...] = (2,)
    weights: tuple[float, ...] | None = None
    groups: str = "random"
    published: str = "png"
    size: int | None = None
    attacker: str = ""
    minutes: float = 10
    steps: int | None = None
    count: int = 200
    seed: int = 0

    def __post_init__(self):
        if not self.k or len(set(self.k)) < len(self.k):
            raise ValueError(f"k must be one or more different numbers, got {self.k}")
        if not 0 < self.minutes < math.inf or (self.steps is not None and self.steps < 1) or self.count < 2:
            raise ValueError("minutes must be above 0, steps at least 1 and count at least 2, got "
                             f"{self.minutes}, {self.steps} and {self.count}")
        _ = self.averagings  # what can't be shows now

    @property
    def averagings(self) -> list[Averaging]:
        """One for each K."""
        return [Averaging(k, self.weights, self.groups, self.published) for k in self.k]

    @property
    def given(self) -> bool:
        """Whether the attacker is a network that is there already."""
        return self.attacker in manifest() or self.attacker.endswith(".safetensors")

    def command(self) -> str:
        """The command that gives the same numbers again."""
        words = ["coldavg", "audit", self.data]
        for name, value in asdict(self).items():
            usual = Plan.__dataclass_fields__[name].default
            if name not in ("data", "minutes") and value != usual:
                words += [f"--{name}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
        return shlex.join([*words, "--out", "again"])


def audit(plan: Plan, out: Path, stops: list | None = None) -> dict | None:
    """Run `plan` in the folder `out`, and write report.html and report.json there; returns what is in the latter.

    Stopped at any time, the same plan goes on where it was.  `stops`: training ends, to be gone on with, once it
    holds anything; then, and in all processes but the first, None comes back.  Raises ValueError or OSError.
    """
    audited, learnt = open_both(plan)
    out.mkdir(parents=True, exist_ok=True)
    plan, all_of_them = attackers(plan, learnt, out, stops if stops is not None else [])
    if all_of_them is None:
        return None
    cases, results = [], []
    for averaging, attacker in zip(plan.averagings, all_of_them):
        row, case = attacked(averaging, attacker, audited, learnt, plan)
        row |= people_in(averaging, attacker, audited, learnt, plan)
        level, sentence = verdict(row, plan.steps)
        results.append(row | {"level": level, "sentence": sentence})
        cases.append(case)
    worst = min(results, key=lambda row: list(VERDICTS).index(row["level"]))  # of all K
    found = {
        "verdict": {"level": worst["level"], "sentence": worst["sentence"]}, "plan": asdict(plan),
        "images": facts(audited, plan),
        "attacker": described_attacker(plan, learnt, all_of_them[0]), "results": results, "command": plan.command(),
        "stamp": stamp_of(plan.seed) | {"python": platform.python_version(), "torch": torch.__version__},
    }
    write_atomically(out / "report.json", (json.dumps(found, indent=2) + "\n").encode())
    write_atomically(out / "report.html", page(found, cases).encode())
    return found


def open_both(plan: Plan) -> tuple[ImageSet, ImageSet | None]:
    """The audited images, and those that the attacker learns from, if he has to; none is in both."""
    size, channels = plan.size or 64, None
    if plan.given:
        network = load_network(plan.attacker)
        size, channels = plan.size or (network.size or (64,))[0], network.channels
        split = "test" if plan.data in SETS else "all"  # the networks of the package know the training splits
        audited, learnt = open_images(plan.data, split, size, channels), None
    elif plan.attacker:
        audited = open_images(plan.data, "all", size)
        learnt = open_images(plan.attacker, "all", size, audited.shape[1])
        audited = without(audited, learnt)
    else:
        audited, learnt = (open_images(plan.data, split, size) for split in ("test", "train"))
    fewest = max(plan.k) + 1
    if len(audited) < fewest:
        raise ValueError(f"data {plan.data!r} leave {len(audited)} image(s) to be audited, averages of {max(plan.k)} "
                         f"need at least {fewest}; add images (doubles of those that the attacker has are left out)")
    if learnt is not None and len(learnt) < max(FEWEST, fewest):
        raise ValueError(f"attacker must have at least {max(FEWEST, fewest)} images to learn from, got {len(learnt)}; "
                         "add images, or name a network, or a folder of similar ones, as --attacker")
    some = audited[: min(len(audited), 100)]
    if (some - some[0]).abs().max() < 2 / 255:
        raise ValueError(f"data {plan.data!r} hold images that are all alike: each average is that image, nothing is "
                         "hidden; audit images that differ")
    return audited, learnt


def without(images: ImageSet, others: ImageSet) -> ImageSet:
    """`images` less those whose very pixels stand in `others`."""
    known = {sha256(others.pixels[row].tobytes()).digest() for row in others.rows}
    kept = np.array([sha256(images.pixels[row].tobytes()).digest() not in known for row in images.rows], dtype=bool)
    return replace(images, rows=images.rows[kept], identities=images.identities[kept])


class Attacker(NamedTuple):
    """A network, the blur (pixels) by which the attacker smooths what was published, and where training began."""

    network: UNet
    blur: float = 0
    start: str = ""


def attackers(plan: Plan, learnt: ImageSet | None, out: Path, stops: list) -> tuple[Plan, list[Attacker] | None]:
    """The plan with its steps, and who attacks each averaging; none if training was stopped, or is another's."""
    from accelerate import PartialState

    if learnt is None:
        return plan, [Attacker(load_network(plan.attacker))] * len(plan.k)
    # plain averages are taken apart two at a time; for all others a network is trained for each K
    wanted = [Averaging(2, None, plan.groups, plan.published)] if plan.averagings[0].plain else plan.averagings
    note("choosing a network to start from")
    start = nearest_network(learnt)
    network = load_network(start)
    blurs = [0 if keeps_average(each.published) else smoothing(network, learnt, each) for each in wanted]
    every = [settings_for(each, plan, learnt, start, blur) for each, blur in zip(wanted, blurs)]
    plan = planned(plan, out, every[0], learnt, network)
    found = []
    for settings, blur in zip(every, blurs):  # each network starts from the one before it
        images = settings.batch * max(1, plan.steps // len(wanted))
        network = trained(replace(settings, images=images), learnt, network, out, stops)
        if network is None:
            return plan, None
        found.append(Attacker(network, blur, start))
    return plan, found * (len(plan.k) // len(found)) if PartialState().is_main_process else None


def nearest_network(images: ImageSet) -> str:
    """The network for two in the package that takes averages of these images apart best, to start from."""
    rows = torch.from_numpy(held_out(len(images))[1])
    pairs = images[rows[: len(rows) // 2 * 2].reshape(-1, 2)]
    names = [name for name, entry in manifest().items() if entry["settings"]["target"] == "joint"
             and entry["settings"]["k"] == 2 and entry["settings"]["channels"] == images.shape[1]]
    if not len(pairs):
        return names[0]
    shown = Averaging().publish(pairs)
    return max(names, key=lambda name: marks(recover(shown, load_network(name))[0], pairs, shown)[0]["psnr"])


def settings_for(averaging: Averaging, plan: Plan, images: ImageSet, start: str, blur: float) -> Settings:
    """How a network is trained against this averaging, from the network `start`."""
    pool = min(len(images), 1000) if averaging.groups == "nearest" else 0
    batch = max(2, min(BATCH, BATCH * 64 * 64 // math.prod(images.shape[2:])))
    return Settings(data=plan.attacker or plan.data, target="joint", k=averaging.k, order="random", loss="log",
                    published=after_smoothing(averaging.published, blur), weights=averaging.weights, pool=pool,
                    flips=images.flips, channels=images.shape[1], widths=manifest()[start]["settings"]["widths"],
                    batch=batch, rate=1e-3, seed=plan.seed)


def planned(plan: Plan, out: Path, settings: Settings, images: ImageSet, start: UNet) -> Plan:
    """The plan with its steps: as given, as this folder's audit began with them, or as the speed allows."""
    from accelerate import PartialState
    from accelerate.utils import broadcast_object_list

    file, asked = out / "plan.json", json.loads(json.dumps(asdict(plan) | {"sha256": images.sha256}))
    try:
        held = json.loads(file.read_text()) if file.exists() else None
        if held is not None and held["asked"] == asked:
            return replace(plan, steps=held["steps"])
        other = held and differences(held["asked"], asked)
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError(f"{str(file)!r} is damaged; delete it, or choose another --out") from None
    if other:
        raise ValueError(f"--out {str(out)!r} holds another audit ({other}); choose another folder")
    steps = plan.steps
    if steps is None:
        trial = fit(replace(settings, images=settings.batch * TRIAL), images, progress=False, start=start)
        seconds = (trial.losses[-1][1] - trial.losses[3][1]) / (TRIAL - 4)
        steps, = broadcast_object_list([max(1, round(60 * plan.minutes / seconds))])  # of the first process
    if PartialState().is_main_process:
        note(f"{steps} steps of training")
        write_atomically(file, json.dumps({"asked": asked, "steps": steps}).encode())
    return replace(plan, steps=steps)


def note(text: str) -> None:
    """Say what goes on, in the first process alone."""
    from accelerate import PartialState

    if PartialState().is_main_process:
        print(text, file=sys.stderr, flush=True)


def differences(held: dict, asked: dict) -> str:
    """What two plans do not share, in words."""
    return "; ".join(f"{name} was {held.get(name)!r}, now {value!r}" for name, value in asked.items()
                     if held.get(name) != value)


def trained(settings: Settings, images: ImageSet, start: UNet, out: Path, stops: list) -> UNet | None:
    """The network that lies in `out`, or is trained there now, from its checkpoint if it has one; none if stopped."""
    file = out / f"attacker-{settings.k}.safetensors"
    if file.exists():
        try:
            return read_network(file.read_bytes(), file.name)[0].eval()
        except ValueError:
            raise ValueError(f"{str(file)!r} is cut short or altered; delete it, and start the audit again") from None
    state: Progress = fit(settings, images, callback=lambda state: bool(stops), folder=out / f"attacker-{settings.k}",
                          start=start)
    if not state.main or state.done < 1:  # the other processes go on, for they share the next training too
        return None if state.main else state.network
    save_network(state.network, settings, file, seconds=round(state.losses[-1][1]), precision=state.precision,
                 device=state.device)
    for left in (out / f"attacker-{settings.k}").glob("checkpoint*"):
        left.unlink()
    return read_network(file.read_bytes(), str(file))[0].eval()  # in half precision, as anybody will load it


def attack_on(averaging: Averaging, attacker: Attacker) -> Callable[[Tensor], Tensor]:
    """A function from published averages (N, C, H, W) to images (N, K, C, H, W)."""
    def attack(published: Tensor) -> Tensor:
        recovered, _ = recover(smoothed(published, attacker.blur), attacker.network, "cold", 20, averaging.k,
                               averaging.weights, 50, sys.stderr.isatty())
        grey = (published == published[:, :1]).all()  # then so are the images, whatever a network for colour says
        return recovered.mean(2, keepdim=True).expand_as(recovered) if grey else recovered

    return attack


def attacked(averaging: Averaging, attacker: Attacker, audited: ImageSet, learnt: ImageSet | None,
             plan: Plan) -> tuple[dict, dict]:
    """A row of results, and pictures of the case of which most came back, of the median, and of the least."""
    places = averaging.places(audited, plan.count, plan.seed)
    if len(places) < 2:
        raise ValueError(f"data {plan.data!r} give {len(places)} average(s) of {averaging.k}, an audit needs 2; "
                         "add images")
    note(f"attacking {len(places)} averages of {averaging.k}")
    tuples, started = audited[places], time.perf_counter()
    published = averaging.publish(tuples, plan.seed)
    recovered = attack_on(averaging, attacker)(published)
    row, matched = marks(recovered, tuples, published)
    # closed eyes: what the network says of another average, moved onto this one; or always the mean image
    moved = (recovered - recovered.mean(1, keepdim=True)).roll(1, 0) + published[:, None]
    usual = recovered.mean((0, 1)) if learnt is None else learnt[: 20 * FEWEST].mean(0)
    blind = max(marks(answer, tuples, published)[0]["gain"] for answer in (moved, usual.expand_as(tuples)))
    likeness = ssim(published.repeat_interleave(averaging.k, 0), tuples.flatten(0, 1)).reshape(len(places), -1)
    row = {"k": averaging.k, "averages": len(places), "blind_gain": blind, **row,
           "median_average_ssim": round(likeness.amax(1).median().item(), 4)}
    first = places.unique()  # the archive: all averaged images, and others
    more = torch.from_numpy(np.setdiff1d(np.arange(len(audited)), first.numpy()))
    archive = torch.cat([first, more])[: max(min(CANDIDATES, VALUES // tuples[0, 0].numel()), len(first))]
    shown = averaging.seen(audited[archive])
    note(f"searching an archive of {len(archive)} images")
    parts = tqdm(published.split(20), "search", disable=not sys.stderr.isatty())
    hits = 100 * share_found(archive[torch.cat([search(part, shown, averaging.k) for part in parts])], places)
    row |= {"found": round(hits.mean().item(), 2), "found_interval": [round(end, 2) for end in interval(hits)],
            "archive": len(archive), "seconds": round(time.perf_counter() - started, 1)}
    similarity = ssim(matched.flatten(0, 1), tuples.flatten(0, 1)).reshape(len(places), -1).mean(1)
    order = similarity.argsort(descending=True)
    chosen = order[[0, len(order) // 2, -1]]
    return row, {"truth": tuples[chosen], "published": published[chosen], "recovered": matched[chosen],
                 "psnr": torch.stack([psnr(matched[one], tuples[one]) for one in chosen])}


def people_in(averaging: Averaging, attacker: Attacker, audited: ImageSet, learnt: ImageSet | None, plan: Plan) -> dict:
    """Whether identities are found by *other* images of theirs: {"people": marks}, or why that can't be asked."""
    if len(np.unique(audited.identities)) == len(audited):
        return {"people": None, "people_why": "each image is an identity of its own; put those of one person, or "
                                              "thing, into a sub-folder"}
    try:
        name, recogniser = recogniser_for(learnt if learnt is not None else audited, learnt is not None)
        found = find_people(audited, averaging, attack_on(averaging, attacker), recogniser,
                            max(10, plan.count // averaging.k), plan.seed)
    except ValueError as error:
        return {"people": None, "people_why": str(error)}
    return {"people": {"recogniser": name, **found}}


def verdict(row: dict, steps: int | None = None) -> tuple[str, str]:
    """The level of risk, a key of VERDICTS, and the sentence with its uncertainty; `steps` are those of training."""
    above = max(row["blind_gain"], 0)  # only what is better than the average, and than not looking, counts
    gained, low, high = (value - above for value in (row["gain"], *row["gain_interval"]))
    nearer, people = row["success_interval"][0], row.get("people")
    seen = people and max(("average", "recovered"), key=lambda name: people[f"{name}_interval"][0])
    linked = bool(people and people[f"{seen}_interval"][0] >= max(PEOPLE[0], PEOPLE[1] * people["chance"]))
    if row["median_average_ssim"] >= SAME:
        return "same", f"{VERDICTS['same']} (median SSIM {row['median_average_ssim']:.2f}, before any attack)."
    if low >= HIGH[0] and nearer > HIGH[1]:
        level, opening = "high", VERDICTS["high"]
    elif linked:
        level, opening = "high", "High risk: identities are found by other images of theirs"
    else:
        passed = (low >= SOME[0]) + (nearer > SOME[1])
        level = ("none", "unclear", "some")[passed]
        opening = VERDICTS[level]
    least, most = row["success_interval"]
    effort = f", {steps} steps of training" if steps else ""
    sentence = (f"{opening}. From averages of {row['k']}, {row['success']:.0f} % of the recovered images (95 % "
                f"interval {least:.0f} to {most:.0f}) are more like the truth than the average is; over the average, "
                f"or an answer without looking if that is better, the attack gains {gained:.1f} dB ({low:.1f} to "
                f"{high:.1f}; {row['averages']} averages{effort}).")
    if linked:
        where = "the averages themselves" if seen == "average" else "the recovered images"
        low, high = people[f"{seen}_interval"]
        sentence += (f" In {where} {people[seen]:.0f} % of the identities ({low:.0f} to {high:.0f}) are found at once; "
                     f"chance is {people['chance']:.1f} %.")
    return level, sentence


def facts(images: ImageSet, plan: Plan) -> dict:
    """What the report says of the audited images."""
    _, channels, height, width = images.shape
    return {"source": Path(plan.data).name, "sha256": images.sha256, "audited": len(images),
            "identities": len(np.unique(images.identities)), "sizes": images.sizes, "used": [width, height],
            "channels": channels, "reduced": max(images.sizes[1]) > max(width, height),
            "broken": told(images.broken) if images.broken else ""}


def described_attacker(plan: Plan, learnt: ImageSet | None, attacker: Attacker) -> dict:
    """What the attacker was, and had to know."""
    knew = ["how many images were averaged", "the mixing weights" if plan.weights else "that all weights are equal",
            "how the averages were formed and published"]
    if learnt is None:
        known = manifest().get(plan.attacker, {})
        return {"kind": "a network that was there already", "name": Path(plan.attacker).name,
                "trained_on": known.get("settings", {}).get("data", "what its file says"), "knew": knew,
                "caution": "" if plan.data in SETS else "images of yours that it was trained on, if there are any, "
                                                        "look more at risk than others"}
    source = "another folder of similar images" if plan.attacker else "a part of the same folder, none of it audited"
    return {"kind": f"trained on {source}", "images": len(learnt), "steps": plan.steps, "k": attacker.network.k,
            "begun_with": attacker.start, "smooths_first_by_pixels": attacker.blur, "caution": "",
            "knew": [*knew, f"{len(learnt)} other images of the same kind"]}

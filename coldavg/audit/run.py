"""Is my averaging safe?  Attack averages of one's own images, and say what came back."""

import json
import platform
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..evaluation.averaging import Averaging
from ..evaluation.rows import stamp_of
from ..imagesets.copies import stand_in
from ..imagesets.inspection import FLAT, flat
from ..imagesets.named import SETS
from ..imagesets.opening import ImageSet, open_images
from ..networks import load_network, manifest, unfit
from ..support.files import write_atomically
from .attacker import Attacker, attack_with, find_attackers, note
from .existing import Pairs, open_pairs
from .measure import ask_crowds, attack_averages, score_attack
from .people import choose_recogniser, find_people, find_people_in
from .plan import Plan
from .report import page
from .verdict import VERDICTS, headline, judge

FEWEST = 20  # images that an attacker can learn from


def run_audit(plan: Plan, out: Path, stops: list | None = None) -> dict | None:
    """Run `plan` in the folder `out`, and write report.html and report.json there; returns what is in the latter.

    Stopped at any time, the same plan goes on where it was.  `stops`: training ends, to be gone on with, once it
    holds anything; then, and in all processes but the first, None comes back.  Raises ValueError or OSError.
    """
    shown, known = open_existing(plan) if plan.averages else (None, None)
    plan = replace(plan, k=(shown.members.shape[1],)) if shown else plan
    audited, learnt = (shown.originals, known.originals) if shown else open_both(plan)
    check_inspection(audited, plan)
    for warning in audited.inspection.warnings:
        note(f"warning: {warning}")
    out.mkdir(parents=True, exist_ok=True)
    plan, attackers = find_attackers(plan, learnt, out, stops if stops is not None else [], known)
    if attackers is None:
        return None
    cases, results = [], []
    for averaging, attacker in zip(plan.averagings, attackers):
        attack = attack_with(attacker, averaging)
        note(f"attacking averages of {averaging.k}")
        if shown:
            row, case = score_attack(averaging, attack, (shown.indices, shown.published), audited, learnt)
        else:
            row, case = attack_averages(averaging, attack, audited, learnt, plan.count, plan.seed)
        row |= ask_for_people(averaging, attack, audited, learnt, plan, shown)
        level, sentence = judge(row, plan.steps)
        results.append(row | {"level": level, "sentence": sentence})
        cases.append(case)
    worst = min(results, key=lambda row: list(VERDICTS).index(row["level"]))  # of all K
    found = {
        "verdict": {"level": worst["level"], "sentence": worst["sentence"], "headline": headline(results)},
        "plan": asdict(plan),
        "images": describe_images(audited, plan), "attacker": describe_attacker(plan, audited, learnt, attackers[0]),
        "results": results, "crowds": [] if learnt is None or plan.weights else ask_crowds(audited, learnt),
        "command": plan.command(),
        "stamp": stamp_of(plan.seed) | {"python": platform.python_version(), "torch": torch.__version__},
    }
    write_report(found, cases, out)
    return found


def write_report(found: dict, cases: list[dict], out: Path) -> None:
    """Write both files of a report; letters of names that no text may hold are written as numbers."""
    write_atomically(out / "report.json", (json.dumps(found, indent=2, allow_nan=False) + "\n").encode())
    write_atomically(out / "report.html", page(found, cases).encode(errors="backslashreplace"))


def open_existing(plan: Plan) -> tuple[Pairs, Pairs]:
    """The averages that exist and are to be audited, and those to learn from."""
    shown, known, remark = open_pairs(plan)
    note(f"{len(shown.rows)} averages are audited, {len(known.rows)} learned from{f'; {remark}' if remark else ''}")
    return shown, known


def open_both(plan: Plan) -> tuple[ImageSet, ImageSet | None]:
    """The audited images, and those that the attacker learns from, if there is a training; none is in both."""
    size, channels, own = plan.size or 64, None, {"identity": plan.identity, "fit": plan.fit}
    if plan.given:
        network = load_network(plan.attacker)
        size, channels = plan.size or (network.size or (64,))[0], network.channels
        split = "test" if plan.data in SETS else "all"  # the networks of the package know the training splits
        audited, learnt = open_images(plan.data, split, size, channels, **own), None
    elif plan.attacker and not plan.alone:
        audited = open_images(plan.data, "all", size, **own)
        learnt = open_images(plan.attacker, "all", size, audited.shape[1], fit=plan.fit)
        audited = without(audited, learnt)
    else:
        audited, learnt = (open_images(plan.data, split, size, **own) for split in ("test", "train"))
    fewest = max(plan.k) + 1
    if len(audited) < fewest:
        raise ValueError(f"data {plan.data!r} leave {len(audited)} image(s) to be audited, averages of {max(plan.k)} "
                         f"need at least {fewest}; add images (doubles of those that the attacker has are left out)")
    needed = 2 * FEWEST if plan.alone else max(FEWEST, fewest)  # an average for every two images
    if learnt is not None and len(learnt) < needed:
        raise ValueError(f"attacker must have at least {needed} images to learn from, got {len(learnt)}; "
                         "add images, or name a network, or a folder of similar ones, as --attacker")
    some = audited[: min(len(audited), 100)]
    if (some - some[0]).abs().max() < 2 / 255:
        raise ValueError(f"data {plan.data!r} hold images that are all alike: each average is that image, nothing is "
                         "hidden; audit images that differ")
    return audited, learnt


def check_inspection(audited: ImageSet, plan: Plan) -> None:
    """ValueError for what would make the verdict worthless: near-black images, too few identities to average."""
    found = audited.inspection
    some = audited[torch.linspace(0, len(audited) - 1, min(len(audited), 200)).long()]
    contrast = 127.5 * some.flatten(1).std(1).median().item()
    if contrast < FLAT:
        raise ValueError(f"data {plan.data!r}: of those to be audited {flat(contrast)}")
    several = len(np.unique(audited.apart))
    if len(audited) and several < max(plan.k):
        raise ValueError(f"data {plan.data!r} leave {several} identities to audit, of {found.identities} "
                         f"({found.identities_how}); averages of {max(plan.k)} need as many. Look with coldavg data; "
                         "say --identity, or add identities")


def without(images: ImageSet, others: ImageSet) -> ImageSet:
    """`images` less those of which `others` hold a copy or near-copy."""
    return images.only(~stand_in(images.pixels, images.rows, others.pixels, others.rows))


def ask_for_people(averaging: Averaging, attack: Callable[[Tensor], Tensor], audited: ImageSet,
                   learnt: ImageSet | None, plan: Plan, shown: Pairs | None) -> dict:
    """Whether identities are found by *other* images of theirs: {"people": scores}, or why that can't be asked."""
    everybody = shown.images if shown else audited
    if shown:  # a recogniser may learn from all images of whoever is not audited
        learnt = everybody.only(~np.isin(everybody.identities, audited.identities))
    if len(np.unique(everybody.identities)) == len(everybody):
        return {"people": None, "people_why": "each image is an identity of its own; put those of one person, or "
                                              "thing, into a sub-folder"}
    try:
        name, recogniser = choose_recogniser(learnt if learnt is not None else audited, learnt is not None)
        if shown:
            found = find_people_in(everybody, (shown.members, shown.published), attack, recogniser)
        else:
            found = find_people(audited, averaging, attack, recogniser, max(10, plan.count // averaging.k), plan.seed)
    except ValueError as error:
        return {"people": None, "people_why": str(error)}
    return {"people": {"recogniser": name, **found}}


def describe_images(images: ImageSet, plan: Plan) -> dict:
    """What the report says of the audited images."""
    _, channels, height, width = images.shape
    return {"source": Path(plan.data).name, "sha256": images.sha256, "audited": len(images),
            "identities": len(np.unique(images.identities)), "sizes": images.sizes, "used": [width, height],
            "channels": channels, "reduced": max(images.sizes[1]) > max(width, height),
            "read": images.inspection.lines(), "inspection": images.inspection.as_json()}


def describe_attacker(plan: Plan, audited: ImageSet, learnt: ImageSet | None, attacker: Attacker) -> dict:
    """What the attacker was, and had to know."""
    knew = ["how many images were averaged", "the mixing weights" if plan.weights else "that all weights are equal",
            "how the averages were formed and published"]
    if learnt is None:
        known, strange = manifest().get(plan.attacker, {}), unfit(attacker.network, plan.data, audited.shape[2:])
        own = "images of yours that it was trained on, if there are any, look more at risk than others"
        return {"kind": "a network that was there already", "name": Path(plan.attacker).name,
                "trained_on": known.get("settings", {}).get("data", "what its file says"), "knew": knew,
                "caution": "; ".join(filter(None, (strange, own * (plan.data not in SETS))))}
    if plan.averages:
        return {"kind": "trained on other averages that exist, together with their members; none is audited",
                "images": len(learnt), "steps": plan.steps, "k": attacker.network.k, "begun_with": attacker.start,
                "caution": "", "knew": ["how many images were averaged",
                                        "other averages, made in the same way, and the images that stand in them"]}
    if plan.alone:
        return {"kind": "trained on published averages of a part of the same folder, none of it audited; it owned no "
                        "image", "averages": len(learnt) // 2, "steps": plan.steps, "caution": "",
                "knew": [*knew, f"{len(learnt) // 2} other averages"]}
    source = "another folder of similar images" if plan.attacker else "a part of the same folder, none of it audited"
    return {"kind": f"trained on {source}", "images": len(learnt), "steps": plan.steps, "k": attacker.network.k,
            "begun_with": attacker.start, "smooths_first_by_pixels": attacker.blur, "caution": "",
            "knew": [*knew, f"{len(learnt)} other images of the same kind"]}

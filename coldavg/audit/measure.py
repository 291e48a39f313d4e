"""What an attack got back, in numbers and in pictures: one way for audits and for the measured defences."""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..evaluation.archive import search, which_found
from ..evaluation.averaging import Averaging
from ..evaluation.membership import MembershipTest, measure_membership
from ..imagesets.opening import ImageSet
from ..metrics import match, score, score_matched, ssim, summarise
from ..support.pixels import round_to_8_bits

CANDIDATES = 2_000  # images that the search chooses from, the averaged ones among them; fewer if they are large
VALUES = 50_000_000  # that they may hold together
ACCUSED = 0.01  # of the images that are not in an average may be named wrongly
CROWDS = (30, 100, 300, 1000)  # images in the larger averages whose members are asked for
MEAN_OF = 400  # images that the mean image is taken over


def measure_attack(recovered: Tensor, tuples: Tensor, published: Tensor) -> tuple[dict, Tensor]:
    """How much came back, as numbers for a row, and the recovered images in the order of the truth.

    `recovered` and `tuples` (N, K, C, H, W), `published` (N, C, H, W).  The numbers are those of `score`, as
    `summarise` gives them.
    """
    matched = match(round_to_8_bits(recovered), tuples)
    return summarise(score_matched(matched, tuples, published)), matched


def measure_search(published: Tensor, candidates: Tensor, indices: Tensor) -> dict:
    """The share (%) of the images `indices` (N, K) that a search among `candidates` (M, C, H, W) finds."""
    return summarise({"found": which_found(search(published, candidates, indices.shape[1]), indices)})


def attack_averages(averaging: Averaging, attack: Callable[[Tensor], Tensor], audited: ImageSet,
                    learnt: ImageSet | None, count: int, seed: int) -> tuple[dict, dict]:
    """A row of results, and pictures of the case of which most came back, by SSIM, of the median, and of the least.

    `count` averages of `audited` images are made and attacked; `learnt` are the attacker's own images, if there
    are any.  ValueError if the images give fewer than two averages.
    """
    indices = averaging.draw(audited, count, seed)
    if len(indices) < 2:
        raise ValueError(f"data {audited.name!r} give {len(indices)} average(s) of {averaging.k}, an audit needs 2; "
                         "add images")
    return score_attack(averaging, attack, (indices, averaging.publish(audited[indices], seed)), audited, learnt)


def score_attack(averaging: Averaging, attack: Callable[[Tensor], Tensor], made: tuple[Tensor, Tensor],
                 audited: ImageSet, learnt: ImageSet | None) -> tuple[dict, dict]:
    """As `attack_averages`, for averages that are `made`: indices (N, K) into the audited images, and (N, C, H, W)."""
    indices, published = made
    tuples, started = audited[indices], time.perf_counter()
    recovered = attack(published)
    matched = match(round_to_8_bits(recovered), tuples)
    scores = score_matched(matched, tuples, published)
    row = {"k": averaging.k, "averages": len(indices), "blind_gain": blind_gain(recovered, tuples, published, learnt),
           **summarise(scores), "median_average_ssim": round(scores["average_ssim"].amax(1).median().item(), 4),
           "median_stranger_ssim": like_strangers(indices, published, audited)}
    row |= search_in_archive(averaging, published, indices, audited, learnt)
    row["seconds"] = round(time.perf_counter() - started, 1)
    order = scores["ssim"].mean(1).argsort(descending=True)
    chosen = order[[0, len(order) // 2, -1]]
    return row, {"truth": tuples[chosen], "published": published[chosen], "recovered": matched[chosen],
                 "psnr": scores["psnr"][chosen]}


def blind_gain(recovered: Tensor, tuples: Tensor, published: Tensor, learnt: ImageSet | None) -> float:
    """What closed eyes gain over the average (dB): another average's answer moved onto this one, or the mean image."""
    moved = (recovered - recovered.mean(1, keepdim=True)).roll(1, 0) + published[:, None]
    usual = recovered.mean((0, 1)) if learnt is None else learnt[:MEAN_OF].mean(0)
    gains = [score(answer, tuples, published)["gain"] for answer in (moved, usual.expand_as(tuples))]
    return round(max(gain.mean().item() for gain in gains), 3)


def like_strangers(indices: Tensor, published: Tensor, images: ImageSet) -> float:
    """How alike an average is to the most alike of K images that are not in it: the median SSIM, 0 if there are none.

    `indices` (N, K) into `images`, `published` (N, C, H, W).  On pictures that are mostly paper this is near 1.
    """
    rng, everybody, found = np.random.RandomState(0), np.arange(len(images)), []
    for row, average in zip(indices.numpy(), published):
        free = everybody[~np.isin(images.apart, images.apart[row])]
        free = free if len(free) else np.setdiff1d(everybody, row)  # else at least other images
        if len(free):
            strangers = images[torch.from_numpy(rng.choice(free, len(row)))]
            found.append(ssim(average.expand_as(strangers), strangers).max().item())
    return round(float(np.median(found)), 4) if found else 0.0


def search_in_archive(averaging: Averaging, published: Tensor, indices: Tensor, audited: ImageSet,
                      learnt: ImageSet | None) -> dict:
    """The search among an archive that holds all averaged images, and others: {"found", its interval, "archive"}.

    And "named", see `ask_membership`, where there are images to learn from and all weights are equal.
    """
    first = indices.unique()
    others = torch.from_numpy(np.setdiff1d(np.arange(len(audited)), first.numpy()))
    largest = max(min(CANDIDATES, VALUES // published[0].numel()), len(first))
    archive = torch.cat([first, others])[:largest]
    positions = torch.empty(len(audited), dtype=torch.long).scatter(0, archive, torch.arange(len(archive)))
    candidates = averaging.as_published(audited[archive])
    found = measure_search(published, candidates, positions[indices]) | {"archive": len(archive)}
    if learnt is None or averaging.weights:
        return found
    rows = torch.linspace(0, len(learnt) - 1, min(len(learnt), largest)).long()
    return found | ask_membership(published, candidates, positions[indices], averaging.as_published(learnt[rows]))


def ask_membership(published: Tensor, candidates: Tensor, indices: Tensor, reference: Tensor) -> dict:
    """How often members, `indices` (N, K) into `candidates` (M, C, H, W), are named by the linear test: {"named", ...}.

    By somebody who knows one image, and of the others only what such images are like (`reference`); the threshold is
    set where ACCUSED of all others are named wrongly.  Nothing, if there are too few others to set it.
    """
    ratios = MembershipTest(reference, indices.shape[1])(published, candidates)  # (N, M)
    inside = torch.zeros_like(ratios, dtype=torch.bool).scatter(1, indices, True)
    others = ratios[~inside]
    if len(others) < 10 / ACCUSED:
        return {}
    return summarise({"named": ratios.gather(1, indices) > others.sort().values[int((1 - ACCUSED) * len(others))]})


def ask_crowds(audited: ImageSet, learnt: ImageSet) -> list[dict]:
    """How often members would be named if more images were averaged: a row of `measure_membership` for each crowd.

    Of plain averages as large as the `audited` images allow, half of them being in none; no network is asked.
    """
    most = VALUES // audited[:1].numel()
    images, reference = (every[torch.linspace(0, len(every) - 1, min(len(every), count)).long()]
                         for every, count in ((audited, min(most, 2 * max(CROWDS))), (learnt, most)))
    return [measure_membership(images, reference, k) for k in CROWDS if 2 * k <= len(images)]

"""Averages that exist: originals, what was published, and a table of who is in which.

However they were warped, aligned or coloured, the pairs show it: an attacker is trained on a part of them, and audited
on averages of which that part holds no image and no identity.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from torch import Tensor

from ..batches import Batch
from ..imagesets.finding import stem_of
from ..imagesets.identities import read_table
from ..imagesets.opening import ImageSet, open_images
from ..settings import Settings
from ..support.files import fingerprint
from ..training import Progress, Run, carry_out
from ..unet import UNet
from .plan import Plan

FEWEST = 20  # pairs that an attacker can learn from


class Pairs(NamedTuple):
    """Averages that exist: `shown` are all of them, `images` all originals; `members` (N, K) indices into `images` of
    the averages with the indices `rows` (N,) in `shown`."""

    images: ImageSet
    shown: ImageSet
    members: np.ndarray
    rows: np.ndarray

    def only(self, chosen: np.ndarray) -> "Pairs":
        """Some of the averages."""
        return self._replace(members=self.members[chosen], rows=self.rows[chosen])

    @property
    def published(self) -> Tensor:
        """The averages (N, C, H, W)."""
        return self.shown[torch.from_numpy(self.rows)]

    @property
    def originals(self) -> ImageSet:
        """The images that stand in these averages."""
        return self.images.only(np.unique(self.members))

    @property
    def indices(self) -> Tensor:
        """The members (N, K) as indices into `originals`."""
        return torch.from_numpy(np.searchsorted(np.unique(self.members), self.members))


def open_pairs(plan: Plan) -> tuple[Pairs, Pairs, str]:
    """The pairs to be audited, those to learn from, and what is left out, in words; ValueError for too few."""
    size = plan.size or 64
    images = open_images(plan.data, "all", size, identity=plan.identity, fit=plan.fit)
    shown = open_images(plan.averages, "all", size, images.shape[1], identity="none", fit=plan.fit)
    table = Path(plan.members)
    members, rows = read_members(table, images.names, shown.names)
    whole = sha256(f"{images.sha256} {shown.sha256} {fingerprint(table)}".encode()).hexdigest()
    pairs = Pairs(replace(images, sha256=whole), shown, members, rows)
    audited, learnt = split_pairs(pairs, plan.seed)
    left = len(pairs.rows) - len(audited) - len(learnt)
    if len(learnt) < FEWEST or len(audited) < 2:
        raise ValueError(f"averages must be at least {FEWEST} to learn from and 2 to audit that share no identity with "
                         f"these, got {len(learnt)} and {len(audited)} ({left} have members on both sides); add some")
    remark = f"{left} averages have members on both sides and are left out" if left else ""
    return pairs.only(audited[: plan.count]), pairs.only(learnt), remark


def read_members(file: Path, images: Sequence[str], averages: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The members (N, K), as indices into `images`, of averages, as indices (N,) into `averages`, from a table.

    A row is an average and its members, or an average and one of them, row after row; a first row that names nothing
    is a heading.  ValueError for a name that is not there, or for averages of different numbers of members.
    """
    known_averages, known_images, found, unknown = index_names(averages), index_names(images), {}, []
    table = read_table(file)
    for number, row in enumerate(table):
        cells = [cell for cell in row if cell]
        average, members = known_averages.get(cells[0]) if cells else None, cells[1:]
        wrong = [cell for cell in members if cell not in known_images] + cells[:1] * (average is None)
        if number == 0 and len(wrong) == len(cells):
            continue
        unknown += wrong
        if not wrong and members:
            found.setdefault(average, []).extend(known_images[cell] for cell in members)
    if unknown:
        raise ValueError(f"{str(file)!r} names {len(unknown)} file(s) that are not there, stand there more than once, "
                         f"or can't be read, such as {unknown[0]!r}; mend it, or name files with their folders")
    several = sorted({len(set(members)) for members in found.values()})
    if len(several) != 1 or several[0] < 2 or any(len(set(each)) < len(each) for each in found.values()):
        raise ValueError(f"{str(file)!r} must say the same number of different members, 2 or more, for every average, "
                         f"got {several}; audit each number by itself")
    return np.array(list(found.values())), np.array(list(found))


def index_names(names: Sequence[str]) -> dict[str, int]:
    """Where each name is, said whole, without folders, or without ending too, where that is one file's alone."""
    found: dict[str, list[int]] = {}
    for i, name in enumerate(names):
        for said in {name, PurePosixPath(name).name, stem_of(name)}:
            found.setdefault(said, []).append(i)
    return {said: where[0] for said, where in found.items() if len(where) == 1}


def split_pairs(pairs: Pairs, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices of the averages to audit and of those to learn from: no identity, and no near-copy, is in both.

    Averages that share nobody with others are split whole, 15 % of them to be audited.  Where nearly all hang
    together, half of the identities are put aside, and averages with members on both sides are in neither.
    """
    people = pairs.images.apart[pairs.members]  # (N, K)
    rng, count = np.random.RandomState(seed), len(people)
    one, other = people[:, :1].repeat(people.shape[1], 1).ravel(), people.ravel()
    top = people.max() + 1
    _, group = connected_components(coo_array((np.ones(len(one)), (one, other)), (top, top)), directed=False)
    groups, sizes = np.unique(group[people[:, 0]], return_counts=True)
    if sizes.max() <= 0.7 * count:
        order = rng.permutation(len(groups))
        enough = np.searchsorted(np.cumsum(sizes[order]), 0.15 * count) + 1
        aside = np.isin(group[people[:, 0]], groups[order[:enough]])
        return rng.permutation(np.flatnonzero(aside)), np.flatnonzero(~aside)
    everybody = rng.permutation(np.unique(people))
    inside = np.isin(people, everybody[: len(everybody) // 2])
    return rng.permutation(np.flatnonzero(inside.all(1))), np.flatnonzero(~inside.any(1))


class FromPairs(Run):
    """A training run on averages that exist: `pairs` says what is given, and what is to be answered."""

    def __init__(self, settings: Settings, pairs: Pairs, seconds: float, folder: Path | None, start: UNet | None):
        self.pairs, self.shown = pairs, pairs.published
        super().__init__(settings, pairs.images, seconds, folder, start)

    def draw(self, step: int) -> Batch:
        """Batch number `step`, or this process's part of it: pairs, some of them mirrored, as the settings say."""
        settings = self.settings
        rng = np.random.Generator(np.random.Philox(key=settings.seed, counter=[0, 0, 0, step]))
        chosen = rng.integers(len(self.shown), size=settings.batch)
        turned = torch.from_numpy(rng.random(settings.batch) < 0.5 * settings.flips)[self.mine]
        looks = int(rng.integers(1, settings.looks + 1)) if settings.looks else 1
        chosen = chosen[self.mine]
        tuples, given = self.pairs.images[torch.from_numpy(self.pairs.members[chosen])], self.shown[chosen]
        tuples = torch.where(turned[:, None, None, None, None], tuples.flip(-1), tuples)
        given = torch.where(turned[:, None, None, None], given.flip(-1), given)
        alpha = torch.full((len(given),), 1 - 1 / settings.k)
        return Batch(*(part.to(self.accelerator.device) for part in (tuples, given, alpha)), looks)

    def score_held_out(self, entry: dict) -> None:
        """Nothing: all pairs are learned from, the others are audited."""


def fit_to_pairs(settings: Settings, pairs: Pairs, seconds: float = math.inf, progress: bool = True,
                 callback: Callable[[Progress], bool | None] | None = None, folder: Path | None = None,
                 start: UNet | None = None) -> Progress:
    """Train a joint network on averages that exist, all else as in `fit`."""
    return carry_out(FromPairs(settings, pairs, seconds, folder, start), progress, callback, 60)

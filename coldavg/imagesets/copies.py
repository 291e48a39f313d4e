"""Copies and near-copies: the same picture as PNG, as JPEG, as a thumbnail.

A perceptual hash (ImageHash) finds candidates, the pixels decide.
"""

from collections.abc import Iterator

import numpy as np
from imagehash import phash
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

APART = 4  # bits of 64 in which the hashes of near-copies may differ
LEVELS = 3.0  # and mean levels of 255 by which their luminance does, at 16 x 16 pixels, once equally bright
PART = 0.08  # and as a part of what they vary themselves: on light paper all pictures are alike
BANDS = 4  # of the hash: two that differ in fewer bits than these are equal in one of them
MOST = 40  # pictures further on that each is compared with in its band: sets of the alike stay linear


def look_of(pixels: np.ndarray) -> int:
    """The perceptual hash (64 bits) of a picture (H, W, C) uint8."""
    grey = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("L")
    return int(str(phash(grey)), 16)


def join_copies(first: np.ndarray, looks: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """For each row the lowest row that it is a copy or near-copy of, by way of others too; -1 if it can't be read.

    `first` (M,): the first row of the same pixels, -1 if it can't be read; `looks` (M,) uint64: `look_of`;
    `pixels` (M, H, W, C) uint8.
    """
    rows = np.flatnonzero(first == np.arange(len(first)))  # each pixels once
    pairs = [np.array(found) for found in zip(*candidates(looks[rows]))] or [np.empty(0, int)] * 2
    one, other = rows[pairs[0].astype(int)], rows[pairs[1].astype(int)]
    same = alike(pixels, one, other)
    readable = np.flatnonzero(first >= 0)
    return join(len(first), np.concatenate([one[same], readable]), np.concatenate([other[same], first[readable]]),
                first >= 0)


def stand_in(pixels: np.ndarray, rows: np.ndarray, others: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Which `rows` (N,) of `pixels` (M, H, W, C) are copies or near-copies of `known` rows of `others`: (N,) bool.

    Both must be of one size; the number of channels may differ.
    """
    both = Stacked(pixels, rows, others, known)
    looks = np.array([look_of(both[row]) for row in range(len(both))], np.uint64)
    pairs = np.array([pair for pair in candidates(looks) if pair[0] < len(rows) <= pair[1]], int).reshape(-1, 2)
    found = np.zeros(len(rows), bool)
    found[pairs[alike(both, *pairs.T), 0]] = True
    return found


class Stacked:
    """Rows of two arrays of pictures, one after the other."""

    def __init__(self, pixels: np.ndarray, rows: np.ndarray, others: np.ndarray, known: np.ndarray):
        self.parts, self.first = ((pixels, rows), (others, known)), len(rows)

    def __len__(self) -> int:
        return self.first + len(self.parts[1][1])

    def __getitem__(self, row: int) -> np.ndarray:
        array, rows = self.parts[int(row >= self.first)]
        return np.asarray(array[rows[row - self.first * int(row >= self.first)]])


def candidates(looks: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs of hashes that differ in at most APART bits, among those near to each other once sorted by a part."""
    seen = set()
    for band in range(BANDS):
        turned = (looks << np.uint64(16 * band)) | (looks >> np.uint64((64 - 16 * band) % 64)) if band else looks
        order = np.argsort(turned, kind="stable")
        for gap in range(1, min(MOST, len(looks) - 1) + 1):
            one, other = order[:-gap], order[gap:]
            near = np.bitwise_count(looks[one] ^ looks[other]) <= APART
            seen.update(zip(np.minimum(one, other)[near].tolist(), np.maximum(one, other)[near].tolist()))
    yield from sorted(seen)


def alike(pixels: np.ndarray, one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Whether the rows `one` and `other` (P,) of `pixels` (M, H, W, C) show the same picture, (P,) bool."""
    needed, position = np.unique(np.concatenate([one, other]), return_inverse=True)
    if not len(one):
        return np.empty(0, bool)
    small = np.stack([reduce(pixels[row]) for row in needed])
    first, second = small[position[: len(one)]], small[position[len(one):]]
    varied = np.minimum(np.abs(first).mean((1, 2)), np.abs(second).mean((1, 2)))
    return np.abs(first - second).mean((1, 2)) < np.minimum(LEVELS, PART * varied)


def reduce(pixels: np.ndarray) -> np.ndarray:
    """The luminance (16, 16) of a picture (H, W, C), less its mean."""
    grey = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).convert("L")
    small = np.asarray(grey.resize((16, 16), Image.Resampling.BOX), np.float32)
    return small - small.mean()


def join(count: int, one: np.ndarray, other: np.ndarray, valid: np.ndarray) -> np.ndarray:
    """The lowest of `count` rows that each is joined to by the pairs (`one`, `other`); -1 where it is not `valid`."""
    table = coo_array((np.ones(len(one), np.int8), (one, other)), (count, count))
    _, group = connected_components(table, directed=False)
    lowest = np.full(group.max(initial=-1) + 1, count)
    np.minimum.at(lowest, group, np.arange(count))
    return np.where(valid, lowest[group], -1)

"""The attack that needs no network: which images of an archive make this average?"""

import torch
from torch import Tensor

STARTS = 16  # images that the search tries as the first of an average


def search(published: Tensor, candidates: Tensor, k: int, rounds: int = 8) -> Tensor:
    """Which k of the `candidates` (M, C, H, W) make each average `published` (N, C, H, W)?  (N, k) indices, ascending.

    For pairs every one of the M squared is tried.  For more, from each of STARTS first guesses the mean of k is
    brought nearer to the average, one image added and then one exchanged at a time; the nearest of all
    counts, and it may not be the best there is.
    """
    if len(candidates) < k:
        raise ValueError(f"candidates must be at least k = {k}, got {len(candidates)}")
    flat = candidates.flatten(1)
    gram, products = flat @ flat.T, published.flatten(1) @ flat.T  # (M, M), (N, M)
    if k == 2:
        return best_pairs(gram, products)
    return torch.stack([climb(gram, own, k, rounds) for own in products])


def best_pairs(gram: Tensor, products: Tensor) -> Tensor:
    """The pair of images of the nearest average, (N, 2): |m - (x + y) / 2|^2, less what all pairs share, is
    |x + y|^2 / 4 - <m, x> - <m, y>."""
    lengths = gram.diagonal()
    table = (lengths[:, None] + lengths + 2 * gram) / 4
    table.fill_diagonal_(torch.inf)  # two images, not one twice
    pairs, room = [], torch.empty_like(table)
    for own in products:
        best, partner = torch.sub(table, own, out=room).min(1)  # the best partner of each image
        first = (best - own).argmin()
        pairs.append(torch.stack([first, partner[first]]).sort().values)
    return torch.stack(pairs)


def climb(gram: Tensor, own: Tensor, k: int, rounds: int) -> Tensor:
    """The k images found for one average, from its products `own` (M,) with all candidates, and theirs, `gram`."""
    lengths = gram.diagonal()
    starts = (2 * own - lengths).topk(min(STARTS, len(own))).indices  # the nearest of them, if they stood alone
    chosen = starts[:, None]  # (S, 1), one column more for each image

    def distance(others: Tensor) -> Tensor:
        """For `others` (S, j) the squared distance to k m with each candidate added, less what all share."""
        return (lengths + 2 * gram[others].sum(1) - 2 * k * own).scatter(1, others, torch.inf)

    while chosen.shape[1] < k:
        chosen = torch.cat([chosen, distance(chosen).argmin(1, keepdim=True)], 1)
    for _ in range(rounds):
        before = chosen
        for slot in range(k):
            others = chosen[:, [i for i in range(k) if i != slot]]
            chosen = torch.cat([others[:, :slot], distance(others).argmin(1, keepdim=True), others[:, slot:]], 1)
        if torch.equal(before, chosen):
            break
    total = gram[chosen[:, :, None], chosen[:, None]].sum((1, 2)) - 2 * k * own[chosen].sum(1)
    return chosen[total.argmin()].sort().values


def which_found(found: Tensor, indices: Tensor) -> Tensor:
    """Which of the true images, `indices` (N, K), are among those `found` (N, k): 1 or 0, (N, K)."""
    return (indices[:, :, None] == found[:, None]).any(2).double()

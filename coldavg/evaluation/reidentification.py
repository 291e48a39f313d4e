"""Re-identification: does a recogniser find the person of a recovered image by *another* photograph?"""

import time

import numpy as np
import torch
from torch import Tensor

from ..imagesets.opening import open_images
from ..metrics import match, summarise
from ..mixing import mix
from ..support.files import fingerprint
from ..support.pixels import round_to_8_bits
from .attackers import NO_NETWORK, Attack, name_of, take_apart
from .measuring import command
from .recognisers import embed_faces, recogniser_file
from .rows import stamp


def threshold_at(gallery: Tensor, false_match_rate: float = 0.01) -> float:
    """The distance under which at most that rate of all pairs of different people are taken for one person.

    `gallery` (G, D): the embedding of one photograph for each of G people.
    """
    apart = torch.pdist(gallery.double()).sort().values
    return apart[int(false_match_rate * len(apart))].item()


def identify(probes: Tensor, people: Tensor, gallery: Tensor, threshold: float) -> dict[str, Tensor]:
    """The scores of re-identification, probe by probe: `rank1`, `true_accepts`, `false_accepts`, each (B, K).

    `probes` (B, K, D): one embedding for each person of a tuple, looked at once; `people` (B, K): their
    rows in `gallery` (G, D), the embeddings of *other* photographs, one a person.  Rank 1: the person's
    photograph is the nearest.  True accept: it is nearer than `threshold`.  False accepts: the share of other
    people's that are.  The others of the tuple are left out, because an average shows them too and is not
    wrong to find them; so a blind guess has rank 1 once in G - K + 1.
    """
    distance = torch.cdist(probes.double(), gallery.double(), compute_mode="donot_use_mm_for_euclid_dist")  # (B, K, G)
    others = torch.ones(len(people), len(gallery), dtype=torch.bool).scatter(1, people, False)[:, None]  # (B, 1, G)
    own, nearest = distance.gather(2, people[..., None])[..., 0], distance.where(others, torch.inf).amin(2)
    false = ((distance < threshold) & others).sum(2) / others.sum(2)
    return {"rank1": (own < nearest).double(), "true_accepts": (own < threshold).double(),
            "false_accepts": false.double()}


def split_off_gallery(identities: np.ndarray, rng: np.random.RandomState) -> list[np.ndarray]:
    """The photographs, by index, of each of `identities` (N,) who has two or more, in random order.

    The first of each is for the gallery, the others are there to be averaged.
    """
    owned = [rng.permutation(np.flatnonzero(identities == person)) for person in np.unique(identities)]
    return [photographs for photographs in owned if len(photographs) > 1]


def draw_people(identities: np.ndarray, count: int = 100, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """A gallery and seeded pairs of *other* photographs, from who is in each photograph, `identities` (N,).

    Returns indices of photographs for the gallery (G,), one for each person who has two or more, and for
    the pairs (count, 2), always two people and never a gallery photograph; and the pairs' people as
    positions in the gallery (count, 2).  The people are paired off in rounds, and each round takes their
    next photograph: nobody is in two of the first G // 2 pairs.  ValueError if there are too few people.
    """
    rng = np.random.RandomState(seed)
    owned = split_off_gallery(identities, rng)
    if len(owned) < 3 or count < 1:
        raise ValueError(f"count must be at least 1, and data hold two photographs each of at least 3 people, "
                         f"got count {count} and {len(owned)} such people; choose faces, or a folder for each person")
    people, pairs = [], []
    while len(pairs) < count:
        turn = len(pairs) // (len(owned) // 2)
        for pair in rng.permutation(len(owned))[: len(owned) // 2 * 2].reshape(-1, 2):
            people.append(pair)
            pairs.append([owned[person][1 + turn % (len(owned[person]) - 1)] for person in pair])
    gallery = np.array([photographs[0] for photographs in owned])
    return torch.from_numpy(gallery), torch.tensor(np.array(pairs[:count])), torch.tensor(np.array(people[:count]))


def reidentify(network: str | Attack = "none", data: str = "faces", sampler: str = "cold", steps: int | None = None,
               count: int = 100, progress: bool = False) -> list[dict]:
    """Rows of results, each score in % with its 95 % interval over pairs, by the one definition of `identify`.

    One row for the pairs' photographs themselves (the most to be hoped for), one for their 8-bit average,
    and, unless `network` is "none", one for what the network recovers from the average, which is all it sees.
    Each is asked for each person of a pair among the same gallery of other photographs, in one look: the
    photograph of that person; the average; the recovered image that belongs to that person by the protocol's
    matching, which knows pixels and nothing of the gallery.  A pair's own two people are never rivals.
    The threshold is set once, at a false match rate of 1 % among the gallery's own pairs of people;
    `false_accepts` says what it then lets pass, and `chance` what a blind guess scores at rank 1.  `hits` has a 1 for
    each query that found its person; `gained` is what a network adds to the average itself, query by query, in points.
    Raises FileNotFoundError without the extra `faces`, ValueError as `draw_people`.
    """
    hashed = {"recogniser_sha256": fingerprint(recogniser_file())}  # first: what is missing shows now, not at the end
    images = open_images(data, "test")
    photographs, pairs, people = draw_people(np.asarray(images.identities), count)
    truth = images[pairs]  # (count, 2, C, H, W)
    average = round_to_8_bits(mix(truth))
    shown = [("none", "the photograph itself", 0, 0.0, truth),
             ("none", NO_NETWORK["none"], 0, 0.0, average[:, None])]
    if network != "none":
        start = time.perf_counter()
        recovered, sampler, calls, steps = take_apart(network, average, sampler, steps, progress=progress)
        seconds = (time.perf_counter() - start) / count
        shown.append((network, sampler, calls, seconds, match(round_to_8_bits(recovered), truth)))
    gallery = embed_faces(images[photographs], progress=progress)
    threshold, chance = threshold_at(gallery), 100 / (len(gallery) - 1)
    rows, hits = [], {}
    for source, name, calls, seconds, probes in shown:
        row = {"data": data, "k": 2, "weights": None, "told": None, "published": "png", "network": name_of(source),
               "sampler": name, "calls": calls, "tuples": count, "seconds": round(seconds, 5),
               "gallery": len(gallery), "threshold": round(threshold, 4), "chance": round(chance, 2)}
        scores = identify(embed_faces(probes, progress=progress).expand(-1, 2, -1), people, gallery, threshold)
        hits[name] = scores["rank1"]
        row |= summarise(scores) | {"hits": "".join(str(int(hit)) for hit in hits[name].flatten())}
        if source != "none":  # query by query: what recovering adds to looking at the average
            row |= summarise({"gained": hits[name] - hits[NO_NETWORK["none"]]})
        again = f"{command(row, source, steps)} --reidentify"
        rows.append(row | {"command": again, "stamp": stamp(source, data) | hashed})
    return rows

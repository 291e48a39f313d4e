"""Are people found?  Rank 1 by other images of the same identities, for averages of any kind."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..evaluation.averaging import Averaging
from ..evaluation.recognisers import embed_faces, learn_discriminants, recogniser_file, reduce_pixels
from ..evaluation.reidentification import identify, split_off_gallery
from ..imagesets.opening import ImageSet
from ..metrics import match, summarise
from ..support.pixels import round_to_8_bits


def find_people(images: ImageSet, averaging: Averaging, attack: Callable[[Tensor], Tensor],
                recogniser: Callable[[Tensor], Tensor], count: int = 100, seed: int = 0) -> dict:
    """Rank 1 (%) with its interval, for averages of any kind, by *other* photographs of the same people.

    One photograph of each person who has two or more makes the gallery; averages are made of the others.
    `attack` turns averages (N, C, H, W) into images (N, K, C, H, W), `recogniser` images into embeddings.
    Returns "clean", "average" and "recovered" with "_interval" each, "chance", "gallery" (people) and
    "averages".  ValueError if fewer than max(3, K + 1) people have two photographs.
    """
    owned = split_off_gallery(images.identities, np.random.RandomState(seed))
    if len(owned) < max(3, averaging.k + 1):
        raise ValueError(f"data hold {len(owned)} identities with two images or more; to find people in averages of "
                         f"{averaging.k} it takes {max(3, averaging.k + 1)}")
    gallery, rest = np.array([photographs[0] for photographs in owned]), np.concatenate([one[1:] for one in owned])
    indices = rest[averaging.draw(images.only(rest), count, seed)]
    published = averaging.publish(images[torch.from_numpy(indices)], seed)
    return rank_people(images, gallery, (indices, published), attack, recogniser)


def find_people_in(images: ImageSet, made: tuple[np.ndarray, Tensor], attack: Callable[[Tensor], Tensor],
                   recogniser: Callable[[Tensor], Tensor]) -> dict:
    """As `find_people`, for averages that exist: indices of their members into `images` (N, K), averages (N, C, H, W).

    The gallery holds an image of each identity that stands in none of them.  ValueError if that leaves too few.
    """
    members, published = made
    free = np.setdiff1d(np.arange(len(images)), members)
    _, first = np.unique(images.identities[free], return_index=True)
    gallery = free[first]
    asked = np.isin(images.identities[members], images.identities[gallery]).all(1)
    if len(gallery) < max(3, members.shape[1] + 1) or asked.sum() < 2:
        raise ValueError(f"{int(asked.sum())} of the averages are of identities that have another image; to ask for "
                         "people it takes 2")
    return rank_people(images, gallery, (members[asked], published[torch.from_numpy(asked)]), attack, recogniser)


def rank_people(images: ImageSet, gallery: np.ndarray, made: tuple[np.ndarray, Tensor],
                attack: Callable[[Tensor], Tensor], recogniser: Callable[[Tensor], Tensor]) -> dict:
    """What `find_people` returns, from the gallery (G,) and averages of members (N, K), both indices into `images`."""
    indices, published = made
    k, tuples = indices.shape[1], images[torch.from_numpy(indices)]
    people = torch.from_numpy(np.searchsorted(images.identities[gallery], images.identities[indices]))
    recovered = match(round_to_8_bits(attack(published)), tuples)
    known = torch.cat([recogniser(images[part]) for part in torch.from_numpy(gallery).split(500)])
    found = {"gallery": len(gallery), "averages": len(indices), "chance": round(100 / (len(gallery) - k + 1), 2)}
    for name, probes in ("clean", tuples), ("average", published[:, None]), ("recovered", recovered):
        ranks = identify(recogniser(probes).expand(-1, k, -1), people, known, 0.0)["rank1"]
        found |= summarise({name: ranks})
    return found


def choose_recogniser(images: ImageSet, learn: bool) -> tuple[str, Callable[[Tensor], Tensor]]:
    """The recogniser that tells the identities of `images` apart best, and its name.

    There are: pixels, reduced to 16 x 16; with `learn`, linear discriminants of these (Fisher 1936; Belhumeur and
    others 1997), learned from half of the identities; and, if installed, that of faces.  Tried on the other
    half, one image asked among one other of each.  ValueError if too few identities have two images.
    """
    identities, counts = np.unique(images.identities, return_counts=True)
    several = np.random.RandomState(0).permutation(identities[counts > 1])[:400]
    if len(several) < 6:
        raise ValueError(f"{len(several)} identities have two images to choose a recogniser by; it takes 6")
    half = len(several) // 2 if learn else 0
    known = {"pixels, reduced to 16 x 16": reduce_pixels}
    if learn:
        known["linear discriminants, learned from the attacker's images"] = learn_discriminants(images, several[:half])
    try:
        recogniser_file()
        known["dlib's face recogniser"] = embed_faces
    except FileNotFoundError:
        pass
    asked = [np.flatnonzero(images.identities == person)[:2] for person in several[half:][:100]]
    shown = images[torch.from_numpy(np.array(asked))]  # (P, 2, C, H, W)
    people = torch.arange(len(shown))[:, None]
    best = max(known, key=lambda name: identify(known[name](shown[:, :1]), people, known[name](shown[:, 1]), 0.0)
               ["rank1"].mean().item())
    return best, known[best]

"""Recognisers that have seen averages: python scripts/recognise_averages.py

A face recogniser that never saw an average is a weak attacker on averages.  Two stronger ones learn from averages of
two training people: `own` is a small network, from nothing; `adapted` is a linear map after dlib's 128 numbers.  Both
learn by contrast: the average of A and B must lie nearer to other photographs of A and of B than to those of all other
people of the batch.  People of the training split who are left out say when to stop.  Scored by the protocol of
`reidentify`, on the same pairs of test people; beside each stand the hits of dlib as it is, query by query.

Rows go to results/recognisers.json.
"""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from coldavg import mix, round_to_8_bits
from coldavg.evaluation.recognisers import embed_faces
from coldavg.evaluation.reidentification import draw_people, identify, split_off_gallery, threshold_at
from coldavg.evaluation.rows import merge_rows, stamp
from coldavg.imagesets import open_images
from coldavg.metrics import bootstrap_interval, summarise

FILE, KEY = Path("results/recognisers.json"), ("data", "recogniser", "shown")
PAIRS, LEFT_OUT, BATCH = 126, 200, 64
AVERAGES, PASSES = 1500, 60  # for the adapted one
STEPS, EVERY = 1500, 250  # for one's own


class Own(nn.Module):
    """Faces (..., 3, 64, 64) to 128 numbers of length 1."""

    def __init__(self, widths=(32, 64, 96, 128)):
        super().__init__()
        layers, channels = [], 3
        for width in widths:
            layers += [nn.Conv2d(channels, width, 3, 2, 1), nn.GroupNorm(8, width), nn.SiLU(),
                       nn.Conv2d(width, width, 3, 1, 1), nn.GroupNorm(8, width), nn.SiLU()]
            channels = width
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Dropout(0.3), nn.Linear(16 * channels, 128))

    def forward(self, images: Tensor) -> Tensor:
        return F.normalize(self.layers(images.flatten(0, -4)), dim=-1).unflatten(0, images.shape[:-3])


def contrast(query: Tensor, keys: Tensor, scale: Tensor) -> Tensor:
    """The loss of queries (B, D) whose own keys are (B, 2, D): each against the keys of all others of the batch."""
    likeness = scale.exp() * query @ keys.flatten(0, 1).T  # (B, 2 B)
    own = torch.eye(len(query), dtype=torch.bool).repeat_interleave(2, 1)
    rivals = likeness.masked_fill(own, -torch.inf).logsumexp(1, keepdim=True)
    mine = likeness[own].view(-1, 2)
    return (torch.logaddexp(mine, rivals) - mine).mean()


def hits(queries: Tensor, people: Tensor, gallery: Tensor) -> Tensor:
    """Rank 1, (B, 2), of queries (B, D)."""
    return identify(queries[:, None].expand(-1, 2, -1), people, gallery, threshold_at(gallery))["rank1"]


def draw(owned: list[np.ndarray], count: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Photographs to average (count, 2), of two people, and another photograph of each (count, 2)."""
    both = [[rng.permutation(owned[person])[:2] for person in rng.choice(len(owned), 2, replace=False)]
            for _ in range(count)]
    chosen = torch.from_numpy(np.array(both))
    return chosen[:, :, 0], chosen[:, :, 1]


def averaged(images, pairs: Tensor) -> Tensor:
    """8-bit averages (N, C, H, W) of pairs (N, 2) of photographs."""
    return round_to_8_bits(mix(images[pairs]))


def train_own(images, owned, left_out, rng):
    """The network at its best on the people left out."""
    network, scale = Own(), nn.Parameter(torch.tensor(2.5))
    optimiser = torch.optim.AdamW([*network.parameters(), scale], lr=2e-3, weight_decay=0.05)
    shape = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, STEPS)
    best, kept = -1.0, network.state_dict()
    for step in range(STEPS):
        shown, others = draw(owned, BATCH, rng)
        query, keys = averaged(images, shown), images[others]
        if rng.random() < 0.5:
            query = query.flip(-1)
        left, top = rng.integers(0, 9, 2)
        query = F.pad(query, (4, 4, 4, 4), mode="replicate")[..., top:top + 64, left:left + 64]
        with torch.autocast("cpu", torch.bfloat16):
            seen = network(query), network(keys)
        loss = contrast(*(numbers.float() for numbers in seen), scale)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        shape.step()
        if step % EVERY == EVERY - 1:
            network.eval()
            score = validate(network, images, left_out)
            network.train()
            print(f"own: step {step + 1}, loss {loss.item():.2f}, rank 1 of people left out {score:.1f} %", flush=True)
            if score > best:
                best, kept = score, {name: value.clone() for name, value in network.state_dict().items()}
    network.load_state_dict(kept)
    return network.eval()


@torch.no_grad()
def validate(embed, images, left_out: tuple[Tensor, Tensor, Tensor]) -> float:
    """Rank 1, in %, of averages of people left out."""
    photographs, pairs, people = left_out
    return 100 * hits(embed(averaged(images, pairs)), people, embed(images[photographs])).mean().item()


def train_adapted(images, owned, left_out, rng):
    """A linear map for queries and one for the gallery, after dlib, at their best on the people left out."""
    shown, others = draw(owned, AVERAGES, rng)
    queries, keys = embed_faces(averaged(images, shown)).float(), embed_faces(images[others]).float()
    photographs, pairs, people = left_out
    held = embed_faces(averaged(images, pairs)).float(), embed_faces(images[photographs]).float()
    centre, scale = keys.mean((0, 1)), nn.Parameter(torch.tensor(2.5))
    maps = [nn.Linear(128, 128, bias=False) for _ in range(2)]
    for each in maps:
        nn.init.eye_(each.weight)
    optimiser = torch.optim.AdamW([*maps[0].parameters(), *maps[1].parameters(), scale], lr=1e-3, weight_decay=0.01)

    def embedded(which: int, numbers: Tensor) -> Tensor:
        return F.normalize(maps[which](numbers - centre), dim=-1)

    best, kept = -1.0, [each.weight.detach().clone() for each in maps]
    for turn in range(PASSES):
        with torch.no_grad():
            score = 100 * hits(embedded(0, held[0]), people, embedded(1, held[1])).mean().item()
        if score > best:
            best, kept = score, [each.weight.detach().clone() for each in maps]
        print(f"adapted: pass {turn}, rank 1 of people left out {score:.1f} %", flush=True)
        for chosen in torch.randperm(AVERAGES).split(BATCH):
            loss = contrast(embedded(0, queries[chosen]), embedded(1, keys[chosen]), scale)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    for each, weight in zip(maps, kept, strict=True):
        each.weight.data = weight
    return lambda which, numbers: embedded(which, numbers.float()).detach()


def main() -> None:
    """Train both, and measure them and dlib as it is on averages of test people."""
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    training, images = open_images("faces", "train"), open_images("faces", "test")
    people = np.asarray(training.identities)
    owned = split_off_gallery(people, np.random.RandomState(0))
    several = rng.permutation([people[photographs[0]] for photographs in owned])
    held = np.where(np.isin(people, several[:LEFT_OUT]), people, -1 - np.arange(len(people)))  # all others own one
    left_out = draw_people(held, LEFT_OUT // 2)
    owned = [photographs for photographs in owned if people[photographs[0]] in set(several[LEFT_OUT:])]
    photographs, pairs, who = draw_people(np.asarray(images.identities), PAIRS)
    truth, average = images[pairs], averaged(images, pairs)
    seen = {"dlib": (embed_faces(images[photographs]), embed_faces(average), embed_faces(truth))}
    adapted = train_adapted(training, owned, left_out, rng)
    seen["adapted"] = tuple(adapted(which, numbers) for which, numbers in zip((1, 0, 1), seen["dlib"], strict=True))
    own = train_own(training, owned, left_out, rng)
    with torch.no_grad():
        seen["own"] = tuple(own(shown) for shown in (images[photographs], average, truth))
    usual = hits(seen["dlib"][1], who, seen["dlib"][0])
    for recogniser, (gallery, published, itself) in seen.items():
        threshold = threshold_at(gallery)
        for shown, probes in (("the average", published[:, None].expand(-1, 2, -1)), ("the photograph itself", itself)):
            scores = identify(probes, who, gallery, threshold)
            row = {"data": "faces", "recogniser": recogniser, "shown": shown, "pairs": PAIRS, "gallery": len(gallery),
                   "trained_people": {"dlib": 7485}.get(recogniser, len(owned))} | summarise(scores)
            if shown == "the average":
                more = 100 * (scores["rank1"] - usual)
                row |= {"over_dlib": round(more.mean().item(), 2),
                        "over_dlib_interval": [round(end, 2) for end in bootstrap_interval(more)],
                        "hits": "".join(str(int(hit)) for hit in scores["rank1"].flatten())}
            row["stamp"] = stamp("none", "faces")
            print(json.dumps({word: row[word] for word in row if word not in ("hits", "stamp")}), flush=True)
            merge_rows([row], FILE, KEY)


if __name__ == "__main__":
    main()

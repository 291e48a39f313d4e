"""The sampler workshop: what a step function does, in plain words, and its place among the built-in samplers."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ..evaluation.attackers import recover
from ..metrics import bootstrap_interval, score
from ..mixing import TARGETS
from ..predictor import Network
from ..samplers import SAME_AS, SAMPLERS, Sampler
from ..unmixing import unmix
from .oracle import Known
from .table import Table

BUILT_IN = [name for name in SAMPLERS if name not in SAME_AS]  # one name for each class, before a student adds any


@dataclass(frozen=True)
class Finding:
    """One property of a sampler in plain words; `holds` is true, false, or None for a mere fact."""

    holds: bool | None
    words: str

    def __str__(self) -> str:
        return f"{ {True: 'yes', False: 'NO ', None: '  -'}[self.holds]}  {self.words}"


class Waves(Network):
    """A predictor that knows nothing: bounded and smooth, and different at each place of the path."""

    k, alpha_max = 4, 1.0

    def __init__(self, target: str):
        self.target = target

    def __call__(self, x: Tensor, alpha: Tensor) -> Tensor:
        return 0.8 * torch.sin(3 * x + x.roll(1, -1) + 5 * alpha[:, None, None, None])


def inspect(sampler: Sampler) -> list[Finding]:
    """What is true of a sampler whatever the network, each property tried in double precision on tiny pictures.

    A step that raises an error is the one finding; NotImplementedError, the sign of a stub, goes through.
    """
    generator = torch.Generator().manual_seed(0)
    pair = torch.rand(2, 2, 1, 6, 6, generator=generator, dtype=torch.float64) * 2 - 1  # (B, K, C, H, W)
    try:
        return find_properties(sampler, pair)
    except NotImplementedError:  # a stub
        raise
    except Exception as error:  # a student's step may raise anything
        return [Finding(False, f"It does not run: {(str(error) or type(error).__name__).splitlines()[0]}")]


def find_properties(sampler: Sampler, pair: Tensor) -> list[Finding]:
    """The findings of `inspect`, tried on `pair` (B, 2, C, H, W), float64."""
    mixture, rows = pair.mean(1), []

    def walk(target: str, steps: int = 5, given: Tensor = mixture, **more) -> Tensor:
        return unmix(given, Waves(target), sampler, steps, **more).images

    def say(holds: bool, yes: str, no: str) -> None:
        rows.append(Finding(holds, yes if holds else no))

    finite = all(walk(target, k=k).isfinite().all() for target in TARGETS for k in (2, 3))
    say(bool(finite), "It runs for every target and for two and three images, and returns numbers, no NaN.",
        "It returns NaN or infinity for some target or number of images.")
    miss = max(largest_error(sampler, pair, target, alpha0, steps) for target in TARGETS for alpha0 in (0.3, 0.5, 0.7)
               for steps in (1, 4, [alpha0, 0.9 * alpha0, 0.2 * alpha0, 0]))
    knows = "With a network that knows the truth it"
    say(miss < 1e-9, f"{knows} finds the truth, from any mixing weight and by any schedule.",
        f"{knows} misses the truth, by {miss:.2g} at worst.")
    say(equal(walk("original"), walk("original")), "The same seed gives the same pictures.",
        "The same seed gives other pictures: draw with s.generator.")
    alone = torch.cat([walk("original", given=one[None]) for one in mixture])
    say(equal(walk("original"), alone), "What it makes of one picture does not depend on the others of the batch.",
        "What it makes of one picture depends on the others of the batch.")
    same = [name for name in BUILT_IN if name != sampler.name
            and all(equal(walk(target), unmix(mixture, Waves(target), name, 5).images) for target in TARGETS)]
    new = ("It is new: some network tells it from every built-in sampler." if sampler.name not in BUILT_IN else
           "It is built in: some network tells it from every other one.")
    say(not same, new, f"It is not new: with any network it gives what {''.join(same[:1])} gives.")
    result = unmix(mixture, Waves("original"), sampler, 5, trajectory=True)
    facts = [f"{result.calls} network calls for 5 steps: compare it at equal calls, not at equal steps.",
             f"What it returns is {describe_end(result.trajectory)}."]
    return rows + [Finding(None, words) for words in facts]


def largest_error(sampler: Sampler, pair: Tensor, target: str, alpha0: float, steps) -> float:
    """The largest error of a sampler that is given a network which knows the truth."""
    mixture = (1 - alpha0) * pair[:, 0] + alpha0 * pair[:, 1]
    found = unmix(mixture, Known(pair[:, 0], pair[:, 1], target), sampler, steps, alpha0=alpha0).images
    return (found - pair).abs().max().item()


def equal(one: Tensor, other: Tensor) -> bool:
    """Whether two results are the same but for rounding in double precision."""
    return torch.allclose(one, other, rtol=0, atol=1e-9)


def describe_end(trajectory: list) -> str:
    """What the end of a trajectory is, in terms of the guesses on the way: five of them, equal steps."""
    guesses, end = [point.original for point in trajectory[:-1]], trajectory[-1].x
    if equal(end, guesses[0]):
        return "its first guess"
    if equal(end, guesses[-1]):
        return "its last guess"
    if equal(end, torch.stack(guesses).mean(0)):
        return "the mean of its guesses"
    return "neither its first guess, nor its last, nor their mean"


def compare(sampler: Sampler, network: Network, tuples: Tensor, mixture: Tensor, calls: int = 20) -> dict[str, Tensor]:
    """PSNR (B,) of each mixture, mean over its images, by the sampler and by each class of built-in ones.

    `tuples` (B, K, C, H, W) and their `mixture` (B, C, H, W) as `protocol` gives them; all at `calls` network
    calls, as near as whole steps allow, but for `one_step`, which makes one.
    """
    each = unmix(mixture[:1], network, sampler, 4).calls / 4  # calls for a step
    runs = {name: (name, calls) for name in BUILT_IN} | {sampler.name: (sampler, max(1, round(calls / each)))}
    return {name: score(recover(mixture, network, *run)[0], tuples, mixture)["psnr"].mean(1)
            for name, run in runs.items()}


def tabulate(psnrs: dict[str, Tensor], mine: str) -> Table:
    """The comparison as a table: means in dB and, pair by pair, by how much the sampler `mine` is ahead."""
    rows = []
    for name, values in sorted(psnrs.items(), key=lambda item: -item[1].mean()):
        ahead = psnrs[mine] - values
        low, high = bootstrap_interval(ahead[:, None])
        rows.append([name, f"{values.mean():.2f}", *(["–"] * 3 if name == mine else [
            f"{ahead.mean():+.2f} dB", f"{low:+.2f} to {high:+.2f}",
            f"{100 * (ahead > 0).double().mean():.0f} %"])])
    return Table(f"By how much {mine} is ahead, pair by pair",
                 ["sampler", "PSNR, dB", f"{mine} is ahead by", "95 % of means", "on so many pairs"], rows)

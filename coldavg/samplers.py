"""Samplers: ways back along the path x_alpha = (1 - alpha) x_1 + alpha r, from the mixture to an image.

    code          book     meaning
    s.x           x_a      where the step starts
    s.a, s.b      a, b     it goes from weight a of the remainder to weight b < a
    s.original    x^_1     the guess at the image being recovered
    s.remainder   r^       the guess at the remainder
    s.mixture     m        the mixture, at alpha_0 on the path
    s.alpha0      alpha_0  1 - w_1

A sampler is one step function and its partner rule: where the half comes from that the network did
not say.  "state": the guesses re-mix to x_a at a.  "mixture": they re-mix to m at alpha_0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .mixing import on_path


class Guess(NamedTuple):
    """What the network says, completed by the partner rule: x^_1 and r^, both (B, C, H, W)."""

    original: Tensor
    remainder: Tensor


@dataclass(frozen=True)
class Step:
    """All that a step function may look at; images (B, C, H, W).

    `first` is true on the first step; `predict(x, alpha)` asks the network again (one more call) and
    returns a Guess; `generator` is there for samplers that draw random numbers.
    """

    x: Tensor
    a: float
    b: float
    original: Tensor
    remainder: Tensor
    mixture: Tensor
    alpha0: float
    first: bool
    predict: Callable[[Tensor, float], Guess]
    generator: torch.Generator


@dataclass(frozen=True)
class Sampler:
    """A step function with its partner rule; `steps` if it has a number of its own."""

    name: str
    step: Callable[[Step], Tensor]
    partner: str
    steps: int | None = None


SAMPLERS: dict[str, Sampler] = {}


def sampler(name: str, partner: str, steps: int | None = None) -> Callable:
    """Enter a step function into SAMPLERS under `name`; a second one of that name replaces the first."""
    if partner not in ("state", "mixture"):
        raise ValueError(f"partner must be state or mixture, got {partner!r}")

    def enter(step: Callable[[Step], Tensor]) -> Callable[[Step], Tensor]:
        SAMPLERS[name] = Sampler(name, step, partner, steps)
        return step

    return enter


@sampler("one_step", partner="mixture", steps=1)
def one_step(s: Step) -> Tensor:
    """Jump to the first guess."""
    return s.original


@sampler("naive", partner="mixture")
def naive(s: Step) -> Tensor:
    """Mix the guesses anew at b (Bansal et al. 2022, Algorithm 1)."""
    return on_path(s.original, s.remainder, s.b)


@sampler("cold", partner="mixture")
def cold(s: Step) -> Tensor:
    """Take away the guesses mixed at a, add them mixed at b (Bansal et al. 2022, Algorithm 2)."""
    return s.x - on_path(s.original, s.remainder, s.a) + on_path(s.original, s.remainder, s.b)


@sampler("without_error_removal", partner="state")
def without_error_removal(s: Step) -> Tensor:
    """As `naive`, but for the partner rule: the guesses agree with the state instead of the mixture."""
    return on_path(s.original, s.remainder, s.b)


@sampler("with_error_removal", partner="state")
def with_error_removal(s: Step) -> Tensor:
    """The same, less the error with which the guesses re-mix to m, scaled by the step."""
    remixed = on_path(s.original, s.remainder, s.b)
    if s.first:  # a = alpha_0: the error is zero, and so is its divisor
        return remixed
    error = on_path(s.original, s.remainder, s.alpha0) - s.mixture
    return remixed - error * (s.b - s.a) / (s.alpha0 - s.a)


@sampler("resolve", partner="mixture")
def resolve(s: Step) -> Tensor:
    """Solve the state for the original, given the remainder; mix the two anew at b."""
    original = (s.x - s.a * s.remainder) / (1 - s.a)
    return on_path(original, s.remainder, s.b)


@sampler("difference", partner="state")
def difference(s: Step) -> Tensor:
    """Follow the velocity v = r - x_1 of the straight path (an Euler step of flow matching)."""
    return s.x + (s.b - s.a) * (s.remainder - s.original)


# Two names are other samplers in disguise, whatever the network says; a test and chapter 10 prove it.  (One pair more
# for two targets: `cold` is `difference` where the network says the difference, `resolve` where it says the remainder.)
SAME_AS = {"with_error_removal": "one_step", "difference": "without_error_removal"}

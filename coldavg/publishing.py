"""How averages are made and published: all that a publisher may do to hide more.

A form is one word, or several with + between them, from left to right: "noise-0.1+jpeg-50".  What is
published is rounded to 8 bits at the end, but for "float".
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor
from torch.nn.functional import interpolate

from .mixing import check_images, mix
from .support.pixels import from_8_bits, round_to_8_bits, to_8_bits


@dataclass(frozen=True)
class Treatment:
    """One thing that a publisher may do; `amount` in the form stands for a number from `low` to `high`.

    `whole`: only whole numbers.  `before`: it changes the K images (K, C, H, W) before they are averaged;
    else their average (C, H, W).  `undo`, if there is one, is done to the average of images changed so.
    """

    name: str
    low: float
    high: float
    whole: bool
    before: bool
    apply: Callable[[Tensor, float, np.random.Generator], Tensor]
    undo: Callable[[Tensor], Tensor] | None = None

    @property
    def word(self) -> str:
        """How a form says it: its name, and X for an amount."""
        return f"{self.name}-X" if self.high else self.name

    @property
    def does(self) -> str:
        """What it does, in words: the first line of its docstring."""
        return self.apply.__doc__.splitlines()[0]


TREATMENTS: dict[str, Treatment] = {}


def treatment(low: float, high: float, whole: bool = False, before: bool = False, undo=None):
    """Enter a function of an image, an amount and random numbers into TREATMENTS, under its own name."""

    def enter(apply):
        TREATMENTS[apply.__name__] = Treatment(apply.__name__, low, high, whole, before, apply, undo)
        return apply

    return enter


@treatment(1, 32, whole=True, before=True)
def shift(images: Tensor, pixels: float, rng: np.random.Generator) -> Tensor:
    """Each image is moved at random, by up to so many pixels down or up and right or left; edges are repeated."""
    reach, (height, width) = int(pixels), images.shape[-2:]
    moved = []
    for image, (down, right) in zip(images, rng.integers(-reach, reach + 1, (len(images), 2))):
        rows, columns = torch.arange(height) - int(down), torch.arange(width) - int(right)
        moved.append(image[..., rows.clamp(0, height - 1), :][..., columns.clamp(0, width - 1)])
    return torch.stack(moved)


@treatment(1, 100, before=True)
def weights(images: Tensor, most: float, rng: np.random.Generator) -> Tensor:
    """Secret mixing weights, drawn anew for each average: one image counts up to so many times as another."""
    drawn = rng.uniform(1, most, len(images))
    share = torch.from_numpy(drawn / drawn.mean()).to(images)  # the average of the scaled images has these weights
    return images * share.reshape(-1, 1, 1, 1)


def as_srgb(image: Tensor) -> Tensor:
    """Linear light as sRGB's levels, both as images in [-1, 1] (IEC 61966-2-1)."""
    light = ((image + 1) / 2).clamp(0, 1)
    return torch.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055) * 2 - 1


@treatment(0, 0, before=True, undo=as_srgb)
def linear(images: Tensor, _: float, rng: np.random.Generator) -> Tensor:
    """Images are averaged in linear light: sRGB's levels are decoded before, and encoded after."""
    levels = ((images + 1) / 2).clamp(0, 1)
    return torch.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4) * 2 - 1


@treatment(0, 0)
def floor(image: Tensor, _: float, rng: np.random.Generator) -> Tensor:
    """Cut to the next lower of 8 bits, as programs do that store a mean as whole numbers, and not rounded."""
    levels = ((image.clamp(-1, 1) + 1) * 127.5).round(decimals=3)  # less the noise of floats
    return levels.floor() / 127.5 - 1


@treatment(0, 0)
def unknown(image: Tensor, _: float, rng: np.random.Generator) -> Tensor:
    """In a way that no form describes, and that only averages which exist can show: here nothing is done."""
    return image


@treatment(0, 0)
def png(image: Tensor, _: float, rng: np.random.Generator) -> Tensor:
    """Rounded to 8 bits, in between."""
    return round_to_8_bits(image)


@treatment(0.001, 10_000)
def noise(image: Tensor, deviation: float, rng: np.random.Generator) -> Tensor:
    """Gaussian noise of that standard deviation, on the scale of [-1, 1], is added to each value."""
    return image + deviation * torch.from_numpy(rng.standard_normal(image.shape)).to(image)


@treatment(0.1, 100)
def blur(image: Tensor, deviation: float, rng: np.random.Generator) -> Tensor:
    """Gaussian blur of that standard deviation, in pixels."""
    return torch.from_numpy(gaussian_filter(image.numpy(), (0, deviation, deviation), mode="nearest"))


@treatment(2, 64)
def small(image: Tensor, factor: float, rng: np.random.Generator) -> Tensor:
    """Each side is reduced by that factor, squares of pixels being averaged, and enlarged again by repetition."""
    reduced = [max(1, round(side / factor)) for side in image.shape[-2:]]
    return interpolate(interpolate(image[None], reduced, mode="area"), image.shape[-2:], mode="nearest-exact")[0]


@treatment(1.01, 64)
def resized(image: Tensor, factor: float, rng: np.random.Generator) -> Tensor:
    """Each side is reduced by that factor after averaging (bicubic), and enlarged again by whoever looks at it."""
    reduced = [max(1, round(side / factor)) for side in image.shape[-2:]]
    less = interpolate(image[None], reduced, mode="bicubic", antialias=True)
    return interpolate(less, image.shape[-2:], mode="bicubic")[0]


@treatment(1, 8, whole=True)
def bits(image: Tensor, count: float, rng: np.random.Generator) -> Tensor:
    """So many bits a value in place of 8: 2 to the power of that many levels."""
    steps = 2 ** int(count) - 1
    return ((image.clamp(-1, 1) + 1) / 2 * steps).round() / steps * 2 - 1


@treatment(1, 95, whole=True)
def jpeg(image: Tensor, quality: float, rng: np.random.Generator) -> Tensor:
    """Saved as a JPEG file of that quality; colours are not subsampled."""
    return save_as_jpeg(image, int(quality), 0)


@treatment(1, 95, whole=True)
def jpeg420(image: Tensor, quality: float, rng: np.random.Generator) -> Tensor:
    """Saved as a JPEG file of that quality, as cameras and web sites do it: with colours at half the size (4:2:0)."""
    return save_as_jpeg(image, int(quality), 2)


def save_as_jpeg(image: Tensor, quality: int, subsampling: int) -> Tensor:
    """An image (C, H, W) as it reads from a JPEG file; `subsampling` as Pillow numbers it."""
    levels = to_8_bits(image).movedim(0, -1).numpy()
    packed = io.BytesIO()
    Image.fromarray(levels.squeeze(-1) if levels.shape[-1] == 1 else levels).save(
        packed, "JPEG", quality=quality, subsampling=subsampling)
    read = np.array(Image.open(packed)).reshape(levels.shape)
    return from_8_bits(torch.from_numpy(read).movedim(-1, 0)).to(image)


def parse_form(form: str) -> list[tuple[Treatment, float]]:
    """What a form asks for, in order; ValueError, with all that there is, for any other word."""
    asked = []
    for word in form.split("+"):
        name, _, amount = word.partition("-")
        known = TREATMENTS.get(name)
        if form == "float":
            continue
        try:
            value = float(amount or 0)
            if not known.low <= value <= known.high or known.whole and value != int(value):
                raise ValueError
        except (AttributeError, ValueError, OverflowError):
            choices = ", ".join(f"{each.name}-{each.low:g} to -{each.high:g}" if each.high else each.name
                                for each in TREATMENTS.values() if each.name != "png")
            raise ValueError(f"published must be png, float, or one or more of {choices} with + between them, "
                             f"got {word!r}") from None
        asked.append((known, value))
    return asked


def keeps_average(form: str) -> bool:
    """Whether what is published is the plain average, but for its rounding: then every answer must average to it."""
    return all(each.name == "png" for each, _ in parse_form(form))


def generators(seeds: Sequence[int] | None, count: int) -> list[np.random.Generator]:
    """The random numbers of each of `count` averages: they depend on its own seed alone (None: 0, 1, 2, ...).

    They are for measuring, not for hiding: whoever knows or guesses the seed subtracts the noise.
    """
    return [np.random.Generator(np.random.Philox(key=int(seed))) for seed in (range(count) if seeds is None else seeds)]


def publish(mixture: Tensor, form: str = "png", seeds: Sequence[int] | None = None) -> Tensor:
    """Mixtures (..., C, H, W) in [-1, 1] as they read once published in a `form`: "png" (8 bits), "jpeg-75", ...

    "float" leaves them as they are.  `seeds`: see `generators`; their noise is no secret, so it protects nothing that
    is really published.  Raises ValueError for a form that is none, or asks for what must be done before the averaging
    (see `release`).
    """
    asked = parse_form(form)
    if any(each.before for each, _ in asked):
        raise ValueError(f"published {form!r} begins before the averaging; use release with the images")
    if form == "float":
        return mixture
    if asked:
        flat = mixture.reshape(-1, *mixture.shape[-3:])
        flat = torch.stack([treat(image, asked, rng) for image, rng in zip(flat, generators(seeds, len(flat)))])
        mixture = flat.reshape(mixture.shape)
    return round_to_8_bits(mixture)


def treat(image: Tensor, asked: list[tuple[Treatment, float]], rng: np.random.Generator) -> Tensor:
    """One image, or K, after all treatments."""
    for each, amount in asked:
        image = each.apply(image, amount, rng)
    return image


def release(images: Tensor, form: str = "png", weights: Sequence[float] | None = None,
            seeds: Sequence[int] | None = None) -> Tensor:
    """What a publisher makes of tuples (N, K, C, H, W) in [-1, 1]: their averages (N, C, H, W) in that form.

    `weights` are the mixing weights, equal if None; secret ones are part of a form.  Raises ValueError.

    >>> release(torch.zeros(5, 2, 1, 8, 8), "blur-1+jpeg-50").shape
    torch.Size([5, 1, 8, 8])
    """
    asked = parse_form(form)
    before, after = ([pair for pair in asked if pair[0].before == early] for early in (True, False))
    if not before:
        return publish(mix(images, weights), form, seeds)
    check_images(images, dims=5)
    if weights is not None and "weights" in {each.name for each, _ in before}:
        raise ValueError(f"weights can't be both given and secret, got {list(weights)} and {form!r}; leave one out")
    averages = []
    for tuple_, rng in zip(images, generators(seeds, len(images))):
        changed = treat(tuple_, before, rng)
        shares = torch.full((len(changed),), 1 / len(changed)) if weights is None else torch.as_tensor(weights)
        average = torch.einsum("kchw,k->chw", changed, shares.to(changed))
        for each, _ in reversed(before):
            average = each.undo(average) if each.undo else average
        averages.append(treat(average, after, rng))
    return round_to_8_bits(torch.stack(averages))

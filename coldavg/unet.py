"""The one network: a small U-Net that is told where on the path it stands."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .settings import Settings


class Block(nn.Module):
    """A residual block: norm, SiLU, convolve, twice; alpha scales and shifts the middle."""

    def __init__(self, inputs: int, outputs: int, embedding: int):
        super().__init__()
        self.norm1 = nn.GroupNorm(1, inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.norm2 = nn.GroupNorm(1, outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1)
        self.scale_and_shift = nn.Linear(embedding, 2 * outputs)
        self.skip = nn.Conv2d(inputs, outputs, 1) if inputs != outputs else nn.Identity()
        nn.init.zeros_(self.conv2.weight)  # a new block starts as the identity
        nn.init.zeros_(self.conv2.bias)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        scale, shift = self.scale_and_shift(embedding)[:, :, None, None].chunk(2, dim=1)
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.norm2(h) * (1 + scale) + shift
        return self.skip(x) + self.conv2(F.silu(h))


class Attention(nn.Module):
    """Every position looks at every other: the two halves of a picture agree on which image is which."""

    def __init__(self, width: int, heads: int = 4):
        super().__init__()
        self.heads = heads
        self.norm = nn.GroupNorm(1, width)
        self.qkv = nn.Conv2d(width, 3 * width, 1)
        self.out = nn.Conv2d(width, width, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor) -> Tensor:
        b, c, h, w = x.shape
        qkv = self.qkv(self.norm(x)).reshape(b, 3, self.heads, c // self.heads, h * w)
        q, k, v = qkv.transpose(-1, -2).unbind(1)  # (B, heads, HW, c / heads)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return x + self.out(mixed.transpose(-1, -2).reshape(b, c, h, w))


class UNet(nn.Module):
    """A picture and its alpha in, one picture out (path) or K pictures (joint).

    Squares of `patch` pixels a side enter and leave as one place.  Level 0 sees edges and strokes; each
    further level halves the sides, widens the channels and sees larger parts; the last also attends, so
    that distant parts of the picture can agree.  The way back up doubles the sides and joins, at each
    level, what the way down had kept: coarse layout from below, fine detail from the side.

    It is made from its `settings`, whose `seed` draws the first parameters; `size` is the (H, W) of the
    training images, None if any.  With a `patch` of 2 there are a fourth of the places, so the same time
    allows twice the width.  What comes out is added to what went in, for most answers lie near it (a
    "difference" does not): so the network says only the change.  Its attributes are those that `unmix` asks for.

    >>> UNet(Settings(target="joint", widths=(8, 16)))(torch.zeros(5, 1, 28, 28), torch.full((5,), 0.5)).shape
    torch.Size([5, 2, 1, 28, 28])
    """

    ends = ("stem", "last", "embed")  # the parts that the optimiser does not treat as inner matrices

    def __init__(self, settings: Settings, size: tuple[int, int] | None = None):
        super().__init__()
        self.settings, self.size, self.calls, self.looks = settings, size, 1, settings.looks
        self.target, self.k, self.alpha_max = settings.target, settings.k, settings.alpha_max
        self.channels, self.weights, self.exact = settings.channels, settings.weights, settings.exact
        self.outputs = self.k if self.target == "joint" else 1  # images in one answer
        with torch.random.fork_rng(devices=[]):  # the caller's random numbers stay as they were
            torch.manual_seed(settings.seed)
            self.build(settings.channels, settings.widths, settings.patch)

    def build(self, channels: int, widths: tuple[int, ...], patch: int) -> None:
        """Make the layers."""
        self.patch, inputs = patch, channels * (self.k if self.looks else 1)
        e = 4 * widths[0]
        self.embed = nn.Sequential(nn.Linear(e, e), nn.SiLU(), nn.Linear(e, e), nn.SiLU())
        self.stem = nn.Conv2d(inputs * patch**2, widths[0], 3, padding=1)
        self.down, self.up, self.shrink, self.grow = (nn.ModuleList() for _ in range(4))
        for above, width in zip((widths[0], *widths), widths):
            self.down.append(Block(above, width, e))
        for width in widths[:-1]:
            self.shrink.append(nn.Conv2d(width, width, 3, stride=2, padding=1))
        self.middle = nn.ModuleList([Block(widths[-1], widths[-1], e), Attention(widths[-1]),
                                     Block(widths[-1], widths[-1], e)])
        for width, above in zip(widths[:0:-1], widths[-2::-1]):
            self.grow.append(nn.Conv2d(width, above, 3, padding=1))
            self.up.append(Block(2 * above, above, e))
        self.norm = nn.GroupNorm(1, widths[0])
        self.last = nn.Conv2d(widths[0], self.outputs * channels * patch**2, 3, padding=1)
        nn.init.normal_(self.last.weight, std=1e-3)  # not zero: equal answers are a saddle of pit_loss
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor, alpha: Tensor, last: Tensor | None = None) -> Tensor:
        """x (B, C, H, W) in [-1, 1], alpha (B,) -> (B, C, H, W), or (B, K, C, H, W) if `target` is "joint".

        A network with looks sees, beside the mixture x, where the first K - 1 images of its `last` answer depart
        from it (at the first look: nowhere); the one that is left follows from them.
        """
        b, _, height, width = x.shape
        stride = self.patch * 2 ** len(self.shrink)
        last = x[:, None].expand(-1, self.k, -1, -1, -1) if last is None else last
        h = torch.cat([x, (last[:, :-1] - x[:, None]).flatten(1, 2)], 1) if self.looks else x
        h = F.pad(h, (0, -width % stride, 0, -height % stride), mode="replicate")
        h = self.stem(F.pixel_unshuffle(h, self.patch).contiguous(memory_format=torch.channels_last))
        embedding = self.embed(sinusoidal_embedding(alpha, self.embed[0].in_features).to(x.dtype))
        kept = []
        for level, block in enumerate(self.down):
            h = block(h, embedding)
            if level < len(self.shrink):
                kept.append(h)
                h = self.shrink[level](h)
        first, attention, second = self.middle
        h = second(attention(first(h, embedding)), embedding)
        for grow, block in zip(self.grow, self.up):
            h = grow(F.interpolate(h, scale_factor=2, mode="nearest"))
            h = block(torch.cat([h, kept.pop()], dim=1), embedding)
        h = F.pixel_shuffle(self.last(F.silu(self.norm(h))), self.patch)[:, :, :height, :width]
        if self.target == "joint":
            return x[:, None] + h.reshape(b, self.outputs, -1, height, width)
        return h if self.target == "difference" else x + h


def sinusoidal_embedding(alpha: Tensor, count: int) -> Tensor:
    """alpha (B,) as `count` sines and cosines (B, count), of wavelengths from 2 pi down to 2 pi / 1000."""
    frequencies = torch.exp(torch.linspace(0, math.log(1000), count // 2, device=alpha.device))
    angles = alpha[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], dim=1)

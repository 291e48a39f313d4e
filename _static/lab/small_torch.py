"""As much of PyTorch as step functions, and what walks with them, need: MicroPython, on arrays of JavaScript.

`arrays` is made by _static/lab/python.mjs.  Its functions name arrays by keys, "#7", take such keys, numbers, and lists
as texts, "1,-1"; they return a key, a list, or a text that says what is wrong.
"""

import math
import sys

import arrays

ONE = ("abs", "sqrt", "exp", "log", "sin", "cos", "tanh", "sign", "floor", "round", "square", "sigmoid", "neg",
       "isfinite")
TWO = ("add", "sub", "mul", "truediv", "pow", "lt", "le", "gt", "ge", "maximum", "minimum")
OVER = ("mean", "sum", "amax", "amin")


def listed(numbers):
    """A whole number, or several, as a text."""
    return ",".join([str(number) for number in ((numbers,) if isinstance(numbers, int) else numbers)])


def parsed(text):
    return int(text) if text.lstrip("-").isdigit() else float(text)


def make(name, *values, of=arrays.make):
    answer = of(name, *values)
    if answer[0] != "#":
        raise ValueError(answer)
    return Tensor(answer)


def numbers_of(name, key):
    answer = arrays.tell(name, key)
    if answer[0] != "=":
        raise ValueError(answer)
    return [parsed(number) for number in answer[1:].split(",") if number]


def each(name, *values):
    """A function of each value of tensors and numbers, broadcast."""
    for value in values:
        if not isinstance(value, (Tensor, int, float)):
            raise TypeError(f"a tensor or a number is needed here, got {type(value).__name__}")
    return make(name, *[value.key if isinstance(value, Tensor) else float(value) for value in values])


class Tensor:
    """Images (..., C, H, W), or numbers for them; nothing changes one in place."""

    def __init__(self, key):
        self.key = key

    def __getattr__(self, name):
        if name == "shape":
            return tuple(numbers_of("shape", self.key))
        if name == "ndim":
            return len(self.shape)
        known = sorted([one for one in dir(Tensor) if one[0] != "_"] + ["ndim", "shape"])
        raise AttributeError(f"tensors have no {name} in the page; they have {', '.join(known)}")

    def __getitem__(self, index):
        parts = []
        for one in index if isinstance(index, tuple) else (index,):
            if isinstance(one, slice):
                parts.append(":".join(["" if end is None else str(end) for end in (one.start, one.stop, one.step)]))
            elif one is None or one is Ellipsis or isinstance(one, int):
                parts.append("..." if one is Ellipsis else str(one))
            else:
                raise TypeError("in brackets there may be whole numbers, slices, None and ..., and nothing else")
        return make("index", self.key, ",".join(parts))

    def __iter__(self):
        return iter([self[number] for number in range(len(self))])

    def __len__(self):
        return self.shape[0]

    def __bool__(self):
        return self.item() != 0

    def __abs__(self):
        return self.abs()

    def __neg__(self):
        return self.neg()

    def __and__(self, other):
        return each("mul", self, other)

    def __or__(self, other):
        return each("maximum", self, other)

    def __invert__(self):
        return each("sub", 1, self)

    def __repr__(self):
        return f"tensor {self.shape}" if self.ndim else f"tensor({self.item():.4f})"

    def item(self):
        """The number, of a tensor with one."""
        numbers = numbers_of("data", self.key)
        if len(numbers) != 1:
            raise ValueError(f"one number is needed here, got a tensor of the shape {self.shape}")
        return numbers[0]

    def tolist(self):
        """The numbers, of a tensor with at most one dimension."""
        return self.item() if self.ndim == 0 else [one.tolist() for one in self]

    def over(self, name, dim, keepdim):
        return make(name, self.key, "" if dim is None else listed(dim), keepdim)

    def max(self):
        return self.amax()

    def min(self):
        return self.amin()

    def all(self):
        return self.amin() > 0

    def any(self):
        return self.amax() > 0

    def clamp(self, min=None, max=None):
        low = self if min is None else each("maximum", self, min)
        return low if max is None else each("minimum", low, max)

    def lerp(self, end, weight):
        return each("lerp", self, end, weight)

    def roll(self, shifts, dims):
        return make("roll", self.key, listed(shifts), listed(dims))

    def flip(self, *dims):
        return make("flip", self.key, listed(dims if isinstance(dims[0], int) else dims[0]))

    def reshape(self, *shape):
        return make("reshape", self.key, listed(shape if isinstance(shape[0], int) else shape[0]))

    def unsqueeze(self, dim):
        shape = list(self.shape)
        shape.insert(dim + len(shape) + 1 if dim < 0 else dim, 1)
        return self.reshape(shape)

    def unbind(self, dim=0):
        before = [":"] * (dim + self.ndim if dim < 0 else dim)
        return [make("index", self.key, ",".join(before + [str(number)])) for number in range(self.shape[dim])]

    def expand_as(self, other):
        return each("add", self, each("mul", other, 0))

    def to(self, *_, **others):
        return self

    double = float = clone = detach = contiguous = to


class Module:
    """A module that is made here."""

    def __init__(self, name):
        self.name = name

    def __getattr__(self, name):
        raise AttributeError(f"the page has no {self.name}.{name}")


torch = Module("torch")


def give(name, count):
    """A function of so many tensors: in torch, as a method, and of two as an operator."""
    function = (lambda a: each(name, a)) if count == 1 else (lambda a, b: each(name, a, b))
    setattr(Tensor, name, function)
    setattr(torch, name, function)
    if count == 2:
        setattr(Tensor, f"__{name}__", function)
        setattr(Tensor, f"__r{name}__", lambda a, b: each(name, b, a))


def give_over(name):
    function = lambda self, dim=None, keepdim=False: self.over(name, dim, keepdim)  # noqa: E731
    setattr(Tensor, name, function)
    setattr(torch, name, function)


def draws(name, numbers):
    """torch.rand and the like; `numbers` that are no sizes come first."""
    def draw(*shape, generator=None, **others):
        if generator is None:
            raise ValueError(f"torch.{name} needs generator=s.generator: the same seed is to give the same pictures")
        if not shape or isinstance(shape[-1], int):
            shape = shape[:numbers] + (shape[numbers:],)
        bounds = (0,) + shape[:-1] if len(shape) == numbers else shape[:-1]  # torch.randint(high, size)
        return make(name, *bounds, listed(shape[-1]), of=arrays.draw)

    return draw


def cat(tensors, dim=0):
    return make("cat", " ".join([one.key for one in tensors]), dim)


def einsum(pattern, images, weights):
    if pattern != "...kchw,k->...chw":
        raise ValueError(f"the page knows no torch.einsum but '...kchw,k->...chw', got {pattern!r}")
    return (images * weights.reshape(-1, 1, 1, 1)).sum(-4)


for one in ONE:
    give(one, 1)
for one in TWO:
    give(one, 2)
for one in OVER:
    give_over(one)
for one in ("clamp", "roll", "flip", "lerp"):
    setattr(torch, one, getattr(Tensor, one))
torch.Tensor, torch.cat, torch.einsum, torch.pi = Tensor, cat, einsum, math.pi
torch.stack = lambda tensors, dim=0: cat([one.unsqueeze(dim) for one in tensors], dim)
torch.where = lambda condition, one, other: each("where", condition, one, other)
torch.tensor = lambda numbers, **others: make("tensor", listed(numbers))
torch.full = lambda shape, number, **others: make("zeros", listed(shape)) + number
torch.full_like = lambda tensor, number, **others: each("add", each("mul", tensor, 0), number)
torch.zeros_like = lambda tensor, **others: torch.full_like(tensor, 0)
torch.ones_like = lambda tensor, **others: torch.full_like(tensor, 1)
torch.rand, torch.randn, torch.randint = draws("rand", 0), draws("randn", 0), draws("randint", 2)
torch.allclose = lambda one, other, rtol=0, atol=0: ((one - other).abs() <= atol).all().item() == 1
sys.modules["torch"] = torch

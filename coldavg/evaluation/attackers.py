"""Who takes averages apart: a network, code of one's own, or neither."""

import importlib.util
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from tqdm import tqdm

from ..matching import align
from ..networks import load_network, network_file
from ..predictor import Network
from ..samplers import Sampler
from ..unmixing import STEPS, unmix

NO_NETWORK = {"none": "the average itself", "best-pair": "best pair", "closed-eyes": "closed eyes"}  # what they do
Attack = Callable[[Tensor], Tensor]  # from what was published (N, C, H, W) to images (N, K, C, H, W)


def recover(mixture: Tensor, network: Network, sampler: str | Sampler = "cold", steps: int | None = None, k: int = 2,
            weights: Sequence[float] | None = None, batch: int = 100, progress: bool = False) -> tuple[Tensor, int]:
    """`unmix` over many mixtures (N, C, H, W), a batch at a time: images (N, K, C, H, W) and calls for each.

    Of mixtures with more than 64 x 64 pixels a batch takes fewer, for the memory that they need.
    """
    several = max(1, min(batch, batch * 64 * 64 // mixture[0, 0].numel()))
    parts = [unmix(part, network, sampler, steps, k, weights)
             for part in tqdm(mixture.split(several), unit=" batches", disable=not progress)]
    return torch.cat([part.images for part in parts]), parts[0].calls


class FlipEnsemble(nn.Module):
    """A joint network asked twice, for the mixture and its mirror image; the aligned answers are averaged.

    It is for networks that were trained on mirror images too: those for flowers, faces and X-rays, not `digits-joint`.

    >>> from coldavg import load, mix
    >>> unmix(mix(load("digits")[:2]), FlipEnsemble(load_network("digits-joint")), steps=1).calls
    2
    """

    target = "joint"

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network, self.calls = network, 2 * network.calls
        self.k, self.alpha_max, self.channels = network.k, network.alpha_max, network.channels
        self.weights, self.exact, self.looks = network.weights, network.exact, network.looks

    def forward(self, x: Tensor, alpha: Tensor, last: Tensor | None = None) -> Tensor:
        again, mirrored_again = ((last,), (None if last is None else last.flip(-1),)) if self.looks else ((), ())
        answer = self.network(x, alpha, *again)
        mirrored = self.network(x.flip(-1), alpha, *mirrored_again).flip(-1)
        return (answer + align(mirrored, answer)) / 2


def is_code(attacker: str | Attack) -> bool:
    """Whether an attacker is code of one's own: a function, or "file.py:function"."""
    return callable(attacker) or ".py:" in str(attacker)


def name_of(attacker: str | Attack) -> str:
    """What the rows of an attacker call it."""
    if callable(attacker):
        return getattr(attacker, "__name__", type(attacker).__name__)
    return Path(attacker).name.replace(".py:", ":") if is_code(attacker) else Path(attacker).stem


def file_of(attacker: str | Attack) -> Path | None:
    """The file that an attacker is in, if it is in one."""
    if callable(attacker) or attacker in NO_NETWORK:
        return None
    return Path(attacker.rpartition(":")[0]) if is_code(attacker) else network_file(attacker)


def load_attack(attacker: str | Attack) -> Attack:
    """The function that "file.py:function" names; FileNotFoundError or ValueError if there is none."""
    if callable(attacker):
        return attacker
    file, name = file_of(attacker), attacker.rpartition(":")[2]
    if not file.is_file():
        raise FileNotFoundError(f"network {attacker!r}: there is no file {str(file)!r}; name one, as file.py:function")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if not callable(getattr(module, name, None)):
        raise ValueError(f"network {attacker!r}: {str(file)!r} has no function {name!r}; name one, as file.py:function")
    return getattr(module, name)


def take_apart(attacker: str | Attack, mixture: Tensor, sampler: str = "cold", steps: int | None = None, k: int = 2,
               told: Sequence[float] | None = None, progress: bool = False) -> tuple[Tensor, str, int, int | None]:
    """The images (N, K, C, H, W) that a network or one's own code gets from `mixture` (N, C, H, W), all that it sees.

    And what its rows say of it: the sampler (of a joint network "joint" or "flips", of code "its own"), the network
    calls for each mixture (of code 0) and the steps (None where they play no part).  ValueError if code returns
    anything but images.
    """
    if is_code(attacker):
        answer, shape = load_attack(attacker)(mixture.clone()), (len(mixture), k, *mixture.shape[1:])
        if not isinstance(answer, Tensor) or answer.shape != shape or not answer.isfinite().all():
            came = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
            raise ValueError(f"attack {name_of(attacker)!r} must return finite images {shape}, got {came}"
                             f"{' with NaN or infinity' * (came == shape)}")
        return answer.detach().to(mixture), "its own", 0, None
    network = load_network(attacker)
    if network.target != "joint":
        images, calls = recover(mixture, network, sampler, steps, k, told, progress=progress)
        return images, sampler, calls, steps or STEPS
    flips = sampler == "flips"
    images, calls = recover(mixture, FlipEnsemble(network) if flips else network, "cold", steps, k, told,
                            progress=progress)
    return images, "flips" if flips else "joint", calls, steps if network.looks else None

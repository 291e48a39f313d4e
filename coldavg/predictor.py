"""What `unmix` asks: a network, or in small worlds an exact predictor.  All that it must offer, and one call."""

from typing import Protocol

import torch
from torch import Tensor, nn


class Network(Protocol):
    """All that `unmix` asks of a network, be it a UNet or an exact predictor; a subclass inherits the defaults.

    `target` is "original", "remainder", "difference" (path networks) or "joint"; `k` the images in a
    mixture (path: at most); `alpha_max` the largest alpha that it serves.  `channels` of its images (None:
    any); `calls` of the network for one answer (an ensemble makes several).  Of a joint network: `weights`,
    the mixing weights that it was trained on (None: equal); `exact`, whether its answers must re-mix to what
    it is given; and `looks`, how often it is best asked, with its own last answer beside the mixture (0: it
    takes no answer, and is asked once).
    """

    target: str
    k: int
    alpha_max: float
    channels: int | None = None
    calls: int = 1
    weights: tuple[float, ...] | None = None
    exact: bool = True
    looks: int = 0

    def __call__(self, x: Tensor, alpha: Tensor) -> Tensor:
        """x (B, C, H, W) in [-1, 1], alpha (B,) -> (B, C, H, W), or (B, K, C, H, W) if `target` is "joint".

        If `looks` is above 0 a third argument is the last answer (B, K, C, H, W), or None at the first look.
        """
        ...


def check_network(network: Network) -> None:
    """TypeError, naming what is missing, if `network` is not what `Network` says."""
    missing = [name for name in Network.__annotations__ if not hasattr(network, name)]
    if missing or not callable(network):
        raise TypeError(f"network must be a network, as load_network returns, got {type(network).__name__} without "
                        f"{', '.join(missing) or '__call__'}; see coldavg.predictor.Network")


def ask(network: Network, x: Tensor, alpha: float, last: Tensor | None = None) -> Tensor:
    """One call of `network` for a batch x (B, C, H, W), in its own precision and on its device; `last` as it says."""
    parameter = next(network.parameters(), x) if isinstance(network, nn.Module) else x
    alphas = torch.full((len(x),), alpha, dtype=parameter.dtype, device=parameter.device)
    again = (None if last is None else last.to(parameter),) if network.looks else ()
    return network(x.to(parameter), alphas, *again).to(x)

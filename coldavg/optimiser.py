"""The optimiser: Muon for the matrices inside the network, AdamW for all the rest."""

import torch
from torch import Tensor, nn

from .support.device import has_bfloat16
from .unet import UNet


class Muon(torch.optim.Optimizer):
    """Steps that are near-orthogonal matrices (Jordan et al. 2024), as torch.optim.Muon makes them.

    That one always computes in bfloat16, which a processor without it must imitate: 18 times slower, measured.  Here
    it is `dtype`; in bfloat16 the two give the same numbers, and a test holds them together.
    """

    def __init__(self, matrices: list[nn.Parameter], lr: float, weight_decay: float, dtype: torch.dtype):
        super().__init__(matrices, {"lr": lr, "weight_decay": weight_decay})
        self.dtype = dtype

    @torch.no_grad()
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            for matrix in group["params"]:
                momentum = self.state[matrix].setdefault("momentum_buffer", torch.zeros_like(matrix.grad))
                momentum.lerp_(matrix.grad, 0.05)
                update = orthogonalise(matrix.grad.lerp(momentum, 0.95), self.dtype)  # Nesterov
                matrix.mul_(1 - group["lr"] * group["weight_decay"])
                matrix.add_(update, alpha=-group["lr"] * 0.2 * max(matrix.shape) ** 0.5)  # as large as AdamW's steps


def orthogonalise(matrix: Tensor, dtype: torch.dtype) -> Tensor:
    """A matrix near to the nearest orthogonal one: five Newton-Schulz steps of the fifth degree."""
    x = matrix.to(dtype)
    x = x.T if matrix.shape[0] > matrix.shape[1] else x
    x = x / x.norm().clamp(min=1e-7)
    for _ in range(5):
        gram = x @ x.T
        x = torch.addmm(x, torch.addmm(gram, gram, gram, beta=-4.7750, alpha=2.0315), x, beta=3.4445)
    return (x.T if matrix.shape[0] > matrix.shape[1] else x).to(matrix)


class Optimiser:
    """Muon for the weights inside the network, AdamW for its two ends, its biases and the embedding.

    Muon takes matrices only, so a convolution (out, in, H, W) is handed to it as a view (out, H W in) of the
    same memory.
    """

    def __init__(self, network: UNet, learning_rate: float):
        inside = {id(layer.weight) for name, layer in network.named_modules()
                  if isinstance(layer, nn.Conv2d | nn.Linear) and not name.startswith(network.ends)}
        self.matrices = [weight for weight in network.parameters() if id(weight) in inside]
        self.others = [other for other in network.parameters() if id(other) not in inside]
        self.views = [nn.Parameter(matrix(weight)) for weight in self.matrices]
        dtype = torch.bfloat16 if has_bfloat16(self.views[0].device) else torch.float32
        self.parts = (Muon(self.views, learning_rate, 0.01, dtype),
                      torch.optim.AdamW(self.others, lr=learning_rate, weight_decay=0.01, fused=True))

    def step(self, learning_rate: float) -> None:
        """One step at this `learning_rate`; the gradients are used up."""
        for view, weight in zip(self.views, self.matrices):
            view.grad = matrix(weight.grad).contiguous()  # Muon's bits depend on the layout: as after a restart
        for part in self.parts:
            part.param_groups[0]["lr"] = learning_rate
            part.step()
        for parameter in (*self.matrices, *self.others):
            parameter.grad = None

    def state_dict(self) -> dict[str, Tensor]:
        """The moments of all parameters by the names part.parameter.moment, the first two of them numbers."""
        return {f"{which}.{number}.{name}": value for which, part in enumerate(self.parts)
                for number, moments in part.state_dict()["state"].items() for name, value in moments.items()}

    def load_state_dict(self, moments: dict[str, Tensor]) -> None:
        """Take the moments of `state_dict`, each stored as its parameter is: fused AdamW goes by the memory."""
        states: tuple[dict[int, dict], ...] = tuple({} for _ in self.parts)
        for key, value in moments.items():
            which, number, name = key.split(".")
            parameter = self.parts[int(which)].param_groups[0]["params"][int(number)]
            if value.shape == parameter.shape:
                value = torch.empty_like(parameter).copy_(value)
            states[int(which)].setdefault(int(number), {})[name] = value
        for part, state in zip(self.parts, states):
            part.load_state_dict(part.state_dict() | {"state": state})


def matrix(weight: Tensor) -> Tensor:
    """A weight (out, in, H, W) as a matrix (out, H W in): a view where it is stored in channels_last."""
    return weight.detach().permute(0, 2, 3, 1).flatten(1) if weight.ndim == 4 else weight.detach()

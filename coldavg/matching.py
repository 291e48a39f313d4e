"""Which recovered image is which?  The best of all orders, and the loss that counts only that order."""

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor


def assign(gain: Tensor) -> Tensor:
    """The order of the best summed gain: `gain` (B, K, K) of [tuple, truth, recovered], (B, K) the recovered image
    that belongs to each true one.

    An assignment problem, solved exactly (Kuhn 1955; scipy), for any K.
    """
    orders = [linear_sum_assignment(table, maximize=True)[1] for table in gain.detach().cpu().double().numpy()]
    return torch.from_numpy(np.stack(orders)).to(gain.device)


def in_order(images: Tensor, orders: Tensor) -> Tensor:
    """`images` (B, K, C, H, W), each tuple in its order (B, K)."""
    return torch.take_along_dim(images, orders[..., None, None, None], 1)


def align(images: Tensor, reference: Tensor) -> Tensor:
    """`images` (B, K, C, H, W) in the order that fits `reference` best by squared error.

    The sums of squares are the same for every order, so it is the one of the largest inner products.
    """
    inner = torch.einsum("bpd,bid->bpi", reference.flatten(2), images.detach().flatten(2).to(reference))
    return in_order(images, assign(inner))


def squared_errors(images: Tensor, reference: Tensor) -> Tensor:
    """The mean squared error of each entry of a batch: both (B, ...), of one shape, (B,) comes back."""
    return (images - reference).square().flatten(1).mean(1)


def mean_error(errors: Tensor, log: bool = False) -> Tensor:
    """Errors (B,) as one number to be made small: their mean, or the mean of their logarithm.

    The logarithm lets an error that is small already count as much as a large one (+ 1e-4: not without end).
    """
    return (errors + 1e-4).log().mean() if log else errors.mean()


def pit_loss(recovered: Tensor, truth: Tensor, log: bool = False) -> Tensor:
    """The loss of joint networks for equal weights: squared error under the best of the K! orders, tuple by tuple.

    Both (B, K, C, H, W); one number comes back, the mean over tuples, or with `log` that of the logarithm.
    Permutation-invariant training (PIT): Yu, Kolbaek, Tan and Jensen 2017.

    >>> pair = torch.rand(5, 2, 1, 8, 8)
    >>> pit_loss(pair.flip(1), pair).item()
    0.0
    """
    return mean_error(squared_errors(align(recovered, truth), truth), log)

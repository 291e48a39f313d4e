"""A predictor with no sense in it, and images for it: what is true of it is true of any network."""

import torch

from coldavg.predictor import Network

CLOSE = {"rtol": 0, "atol": 1e-12}


class Arbitrary(Network):
    """A bounded predictor with no sense in it: a fixed random convolution, squashed, that looks at alpha too."""

    k, alpha_max = 6, 1.0

    def __init__(self, target, seed):
        self.target, self.asked = target, []
        self.kernel = torch.randn(1, 1, 3, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)

    def __call__(self, x, alpha):
        self.asked.append((x, alpha[0].item()))
        return torch.tanh(torch.conv2d(x, self.kernel, padding=1) + torch.cos(9 * alpha)[:, None, None, None])


def images(k, seed):
    return torch.rand(2, k, 1, 6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 2 - 1

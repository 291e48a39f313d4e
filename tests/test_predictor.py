"""What is asked of a network: what is missing is named, and one call is in its own precision."""

import pytest
import torch

from coldavg import Settings, UNet, mix, unmix
from coldavg.evaluation.attackers import FlipEnsemble
from coldavg.predictor import Network, ask, check_network
from coldavg.teach import Known

from .predictors import Arbitrary, images


class Bare:
    """Says what it is asked for by keyword, and nothing else."""

    def __init__(self, **told):
        self.__dict__.update(told)

    def __call__(self, x, alpha):
        return x


WHOLE = {"target": "original", "k": 2, "alpha_max": 0.9, "channels": None, "calls": 1, "weights": None, "exact": True,
         "looks": 0}


@pytest.mark.parametrize("name", WHOLE)
def test_what_a_network_lacks_is_named(name):
    less = {key: value for key, value in WHOLE.items() if key != name}
    with pytest.raises(TypeError, match=f"got Bare without {name}; see coldavg.predictor.Network") as caught:
        unmix(mix(images(2, 0)), Bare(**less))
    assert "\n" not in str(caught.value)


def test_all_that_is_asked_for_is_what_a_network_says():
    assert set(WHOLE) == set(Network.__annotations__)
    check_network(Bare(**WHOLE))
    for network in (UNet(Settings(widths=(8,))), Known(*images(2, 0)[0]), Arbitrary("original", 0),
                    FlipEnsemble(UNet(Settings(widths=(8,), target="joint")))):
        check_network(network)


def test_no_network_at_all_is_told_all_that_there_must_be():
    with pytest.raises(TypeError, match="as load_network returns, got str without target, k, alpha_max, channels"):
        unmix(mix(images(2, 0)), "digits-original")
    still = type("Still", (), WHOLE)()
    with pytest.raises(TypeError, match="got Still without __call__"):
        check_network(still)


def test_a_subclass_inherits_what_it_does_not_say():
    class Short(Network):
        target, k, alpha_max = "original", 2, 0.9

        def __call__(self, x, alpha):
            return x

    network = Short()
    check_network(network)
    assert (network.channels, network.calls, network.weights, network.exact, network.looks) == (None, 1, None, True, 0)
    assert torch.equal(unmix(mix(images(2, 0)), network, "one_step").images[:, 0], mix(images(2, 0)))


def test_one_call_is_in_the_precision_of_the_network():
    seen = []

    class Single(torch.nn.Module):
        looks = 0

        def __init__(self):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.ones(1))

        def forward(self, x, alpha):
            seen.append((x.dtype, alpha))
            return x * self.scale

    x = images(2, 0)[:, 0]
    assert ask(Single(), x, 0.25).dtype is x.dtype is torch.float64
    (dtype, alpha), = seen
    assert dtype is alpha.dtype is torch.float32 and alpha.tolist() == [0.25, 0.25]

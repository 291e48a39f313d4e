"""The optimiser: Muon moves the weights of the network themselves."""

import torch

from coldavg import Settings, UNet
from coldavg.optimiser import Optimiser


def test_muon_moves_the_weights_of_the_network_themselves():
    network = UNet(Settings(widths=(16, 32))).to(memory_format=torch.channels_last)
    optimiser = Optimiser(network, 0.01)
    before = {name: parameter.detach().clone() for name, parameter in network.named_parameters()}
    for parameter in network.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimiser.step(0.01)
    for name, parameter in network.named_parameters():
        change = parameter.detach() - before[name]
        assert 0 < change.abs().max() < 0.1, name
        if name == "middle.0.conv1.weight":  # near-orthogonal rows, whatever the gradient's scale
            rows = torch.linalg.svdvals(change.flatten(1))
            assert rows.max() < 2.5 * rows.min()

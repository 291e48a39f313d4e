"""The optimiser: Muon moves the weights of the network themselves."""

import torch

from coldavg import Settings, UNet
from coldavg.optimiser import Muon, Optimiser


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


def test_in_bfloat16_our_muon_makes_the_steps_of_torch():
    generator = torch.Generator().manual_seed(0)
    ours = [torch.nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((6, 20), (20, 6), (8, 8))]
    theirs = [torch.nn.Parameter(parameter.detach().clone()) for parameter in ours]
    exact = [torch.nn.Parameter(parameter.detach().clone()) for parameter in ours]
    makers = [(Muon(ours, 0.01, 0.01, torch.bfloat16), ours), (Muon(exact, 0.01, 0.01, torch.float32), exact),
              (torch.optim.Muon(theirs, lr=0.01, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"), theirs)]
    for _ in range(4):
        gradients = [torch.randn(parameter.shape, generator=generator) for parameter in ours]
        for maker, parameters in makers:
            for parameter, gradient in zip(parameters, gradients):
                parameter.grad = gradient.clone()
            maker.step()
    assert all(torch.equal(one, other) for one, other in zip(ours, theirs))
    for one, other in zip(exact, theirs):  # float32 differs by the rounding of bfloat16 alone
        torch.testing.assert_close(one, other, rtol=0, atol=5e-3)

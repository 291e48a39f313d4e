"""The network: any size, grey or colour, 1 to K images out, and alpha matters."""

import pytest
import torch

from coldavg import Settings, UNet


@pytest.mark.parametrize("size", [(28, 28), (64, 64), (7, 13), (1, 1), (30, 17)])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("target, k", [("original", 2), ("difference", 4), ("joint", 2), ("joint", 4)])
def test_what_comes_out_has_the_size_of_what_went_in(size, channels, target, k):
    network = UNet(Settings(channels=channels, target=target, k=k, widths=(8, 16, 24)))
    answer = network(torch.zeros(2, channels, *size), torch.tensor([0.1, 0.5]))
    expected = (2, k, channels, *size) if target == "joint" else (2, channels, *size)
    assert answer.shape == expected and torch.isfinite(answer).all()


def trained(network):
    """All parameters at random: the zeros of a new network would hide what is not connected."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network


def test_alpha_and_every_parameter_matter():
    network, x = trained(UNet(Settings(widths=(8, 16, 24)))), torch.rand(1, 1, 12, 12)
    answers = [network(x, torch.tensor([alpha])) for alpha in (0.3, 0.31)]
    assert not torch.allclose(answers[0], answers[1], rtol=0, atol=1e-6)
    answers[0].square().sum().backward()
    unused = [name for name, parameter in network.named_parameters() if parameter.grad.abs().max() == 0]
    assert unused == []


def test_every_pixel_is_seen_everywhere():
    """Attention: the far corner of a picture decides what is said of this one."""
    network = trained(UNet(Settings(widths=(8, 16, 24))))
    x = torch.zeros(1, 1, 40, 40, requires_grad=True)
    network(x, torch.tensor([0.5]))[0, 0, 0, 0].backward()
    assert x.grad[0, 0, -4:, -4:].abs().max() > 0


def test_pictures_of_a_batch_do_not_touch():
    network, x = trained(UNet(Settings(widths=(8, 16, 24)))), torch.rand(3, 1, 9, 9)
    alpha = torch.tensor([0.2, 0.4, 0.6])
    alone = torch.cat([network(x[i:i + 1], alpha[i:i + 1]) for i in range(3)])
    torch.testing.assert_close(network(x, alpha), alone, rtol=1e-4, atol=1e-5)


def test_settings_make_the_same_network_twice():
    first, second = (UNet(Settings(widths=(8, 16), seed=4)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters()))


def test_the_random_numbers_of_the_caller_stay():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    UNet(Settings(widths=(16, 32)))
    assert torch.equal(torch.rand(3), expected)

"""LPIPS: what torchmetrics gives with the same weights, and a reason in one line where it can't be taken."""

import hashlib
import json

import pytest
import torch
from torch import nn
from torchmetrics.functional.image import lpips as reference

from coldavg.cli import main
from coldavg.evaluation import perceptual


@pytest.fixture
def alexnet(tmp_path, monkeypatch):
    """Weights of AlexNet, drawn at random, in a hub folder of their own: the features, and a layer after them."""
    torch.manual_seed(0)
    shapes = {0: (64, 3, 11), 3: (192, 64, 5), 6: (384, 192, 3), 8: (256, 384, 3), 10: (256, 256, 3)}
    features = nn.Sequential(*(nn.Conv2d(shapes[i][1], shapes[i][0], shapes[i][2], 4 if i == 0 else 1, (2, 2, 1)[
        min(2, i // 3)]) if i in shapes else nn.MaxPool2d(3, 2) if i in (2, 5, 12) else nn.ReLU() for i in range(13)))
    weights = {f"features.{name}": each for name, each in features.state_dict().items()}
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    file = tmp_path / "hub" / "checkpoints" / "drawn.pth"
    file.parent.mkdir(parents=True)
    torch.save(weights | {"classifier.1.weight": torch.zeros(2, 2)}, file)
    monkeypatch.setattr(perceptual, "ALEXNET", f"drawn-{hashlib.sha256(file.read_bytes()).hexdigest()[:8]}.pth")
    file.rename(perceptual.find_alexnet())
    return features


def test_lpips_is_that_of_torchmetrics_with_the_same_weights(alexnet, monkeypatch):
    monkeypatch.setattr(reference, "_get_tv_model_features", lambda net, pretrained: alexnet)
    images, truth = torch.rand(2, 4, 3, 40, 36, generator=torch.Generator().manual_seed(1)) * 2 - 1
    expected = reference._LPIPS(net="alex")(images, truth).flatten()
    found = perceptual.lpips(images, truth)
    assert expected.min() > 0 and torch.allclose(found.float(), expected, rtol=1e-4)
    assert perceptual.lpips(truth, truth).abs().max() == 0
    grey = perceptual.lpips(images[:, :1], truth[:, :1])
    assert torch.equal(grey, perceptual.lpips(images[:, :1].expand(-1, 3, -1, -1), truth[:, :1].expand(-1, 3, -1, -1)))


def test_what_is_missing_is_said_in_one_line_and_nothing_is_fetched(alexnet, monkeypatch):
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", None)  # a call would be an error
    assert perceptual.why_no_lpips(31) == ""
    assert "31 pixels a side, these have 28" in perceptual.why_no_lpips(28)
    file = perceptual.find_alexnet()
    file.write_bytes(file.read_bytes()[:-1])
    assert "is not torchvision's file" in perceptual.why_no_lpips(64)
    file.unlink()
    assert f"no weights of AlexNet at {file}" in perceptual.why_no_lpips(64)


def test_a_row_holds_lpips_where_it_can_be_taken(alexnet, monkeypatch, capsys):
    """Of digits it can, for a network that leaves something of 28 pixels."""
    for smallest, holds in ((31, False), (28, True)):
        monkeypatch.setattr(perceptual, "SMALLEST", smallest)
        monkeypatch.setattr("coldavg.evaluation.measuring.lpips", lambda images, truth: torch.zeros(len(images)))
        assert main("evaluate --network none --count 3".split()) == 0
        said, remarks = capsys.readouterr()
        assert ("lpips" in json.loads(said)) is holds and ("LPIPS is left out" in remarks) is not holds
        if holds:
            assert json.loads(said)["lpips_interval"] == [0, 0]

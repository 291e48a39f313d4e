"""LPIPS (Zhang et al. 2018), a learned distance of pictures, where the weights lie on the disk; none is fetched."""

from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..support.files import fingerprint

ALEXNET = "alexnet-owt-7be5be79.pth"  # torchvision's weights, named by the beginning of their SHA-256
SMALLEST = 31  # pixels a side of which AlexNet leaves anything


def find_alexnet() -> Path:
    """Where PyTorch would keep the file: its hub folder, which TORCH_HOME moves."""
    return Path(torch.hub.get_dir()) / "checkpoints" / ALEXNET


def why_no_lpips(side: int) -> str:
    """Why LPIPS of pictures with so many pixels a side can't be taken here, in one line; or nothing."""
    file = find_alexnet()
    if side < SMALLEST:
        return f"LPIPS is left out: it takes pictures of {SMALLEST} pixels a side, these have {side}"
    if not file.is_file():
        return f"LPIPS is left out: there are no weights of AlexNet at {file}; put torchvision's file there"
    if not fingerprint(file).startswith(ALEXNET.split("-")[-1].removesuffix(".pth")):
        return f"LPIPS is left out: {file} is not torchvision's file of that name; put it there anew"
    return ""


@torch.no_grad()
def lpips(images: Tensor, truth: Tensor) -> Tensor:
    """LPIPS with AlexNet, version 0.1, image by image: 0 where they are equal, less is nearer.

    Both (N, C, H, W) in [-1, 1], grey or in colour, at least SMALLEST pixels a side; (N,) out.
    """
    layers = nn.Sequential(  # the features of AlexNet; what each ReLU gives is compared
        nn.Conv2d(3, 64, 11, 4, 2), nn.ReLU(), nn.MaxPool2d(3, 2), nn.Conv2d(64, 192, 5, 1, 2), nn.ReLU(),
        nn.MaxPool2d(3, 2), nn.Conv2d(192, 384, 3, 1, 1), nn.ReLU(), nn.Conv2d(384, 256, 3, 1, 1), nn.ReLU(),
        nn.Conv2d(256, 256, 3, 1, 1), nn.ReLU())
    weights = torch.load(find_alexnet(), map_location="cpu", weights_only=True)
    layers.load_state_dict({name.removeprefix("features."): each for name, each in weights.items()
                            if name.startswith("features.") and int(name.split(".")[1]) < len(layers)})
    own = Path(find_spec("torchmetrics").origin).parent / "functional" / "image" / "lpips_models" / "alex.pth"
    scales = torch.load(own, map_location="cpu", weights_only=True)
    shift, scale = (torch.tensor(each).reshape(3, 1, 1) for each in ([-0.030, -0.088, -0.188], [0.458, 0.448, 0.450]))
    pair = [(each.float().expand(-1, 3, -1, -1) - shift) / scale for each in (images, truth)]
    distance, compared = torch.zeros(len(images)), 0
    for layer in layers:
        pair = [layer(each) for each in pair]
        if isinstance(layer, nn.ReLU):
            one, other = (F.normalize(each, dim=1, eps=1e-8) for each in pair)
            distance += F.conv2d((one - other).square(), scales[f"lin{compared}.model.1.weight"]).mean((1, 2, 3))
            compared += 1
    return distance.double()

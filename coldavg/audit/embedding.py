"""Averaging embeddings in place of pixels: an autoencoder, trained here."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Autoencoder(nn.Module):
    """Images (B, C, H, W) in [-1, 1] to embeddings (B, D, 1, 1) in [-1, 1], and back.

    An embedding has the shape of an image of one pixel with D channels, so that everything that mixes and
    un-mixes images takes embeddings too.
    """

    def __init__(self, shape: tuple[int, int, int], size: int = 48, width: int = 512):
        super().__init__()
        self.shape, values = shape, shape[0] * shape[1] * shape[2]
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(values, width), nn.SiLU(), nn.Linear(width, width),
                                     nn.SiLU(), nn.Linear(width, size), nn.LayerNorm(size), nn.Tanh())
        self.decoder = nn.Sequential(nn.Linear(size, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU(),
                                     nn.Linear(width, values))

    def encode(self, images: Tensor) -> Tensor:
        """Images (B, C, H, W) as embeddings (B, D, 1, 1)."""
        return self.encoder(images)[..., None, None]

    def decode(self, embeddings: Tensor) -> Tensor:
        """Embeddings (B, D, 1, 1) as images (B, C, H, W)."""
        return self.decoder(embeddings.flatten(1)).unflatten(1, self.shape)


def fit_autoencoder(images: Tensor, steps: int = 3000, batch: int = 128, learning_rate: float = 1e-3,
                    seed: int = 0) -> Autoencoder:
    """An Autoencoder of `images` (N, C, H, W) in [-1, 1], trained to give them back; a function of the seed."""
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = Autoencoder(tuple(images.shape[1:]))
    optimiser = torch.optim.AdamW(network.parameters(), lr=learning_rate)
    falling = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        chosen = images[torch.randint(len(images), (batch,), generator=generator)]
        loss = F.mse_loss(network.decode(network.encode(chosen)), chosen)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        falling.step()
    return network.eval().requires_grad_(False)

"""coldavg: pictures are averaged to hide who or what is in them; what can be got back?"""

from .attack import Averaging
from .audit import Plan, audit
from .data import load, open_images, test_tuples
from .evaluate import evaluate, protocol, recover
from .explore import Player, attempt, explorer, mixing_explorer, sampler_explorer, swipe
from .joint import FlipEnsemble, order_blind_loss
from .metrics import match, psnr, score, ssim
from .mixing import brightest_first, complete, mix, on_path, project, round_to_8_bits
from .oracle import FiniteWorld, GaussianWorld, Known
from .pretrained import load_network, manifest
from .release import epsilon, publish, release
from .samplers import SAME_AS, SAMPLERS, Point, Result, Sampler, Step, sampler, schedule, unmix
from .training import Settings, fit
from .unet import UNet

__version__ = "0.1.0"

__all__ = [
    "SAME_AS", "SAMPLERS", "Averaging", "FiniteWorld", "FlipEnsemble", "GaussianWorld", "Known", "Plan", "Player",
    "Point", "Result", "Sampler", "Settings", "Step", "UNet", "attempt", "audit", "brightest_first", "complete",
    "epsilon", "evaluate", "explorer", "fit", "load", "load_network", "manifest", "match", "mix", "mixing_explorer",
    "on_path", "open_images", "order_blind_loss", "project", "protocol", "psnr", "publish", "recover", "release",
    "round_to_8_bits", "sampler", "sampler_explorer", "schedule", "score", "ssim", "swipe", "test_tuples", "unmix",
]

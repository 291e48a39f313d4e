"""coldavg: pictures are averaged to hide who or what is in them; what can be got back?

The core, in the order in which it is best read:

    mixing, matching       images into a mixture; which recovered image is which
    predictor, samplers    what a network is asked; the step functions
    unmixing, joint        one image after another along the path; all at once
    unet                   the network
    settings, batches, optimiser, training
    metrics                how much came back

Around it: publishing (what is done to averages before they are seen; settings and batches use it), imagesets,
networks (the trained ones), evaluation (the protocol), audit (one's own images), teach (what the chapters share),
cli, and support below all.
"""

from importlib import import_module

__version__ = "0.1.0"

HOMES = {  # each public name, and the module that defines it: imported when it is first asked for
    "mixing": ("mix", "on_path", "complete", "project", "brightest_first"),
    "support.pixels": ("round_to_8_bits",),
    "samplers": ("SAMPLERS", "Sampler", "Step", "sampler"),
    "unmixing": ("Point", "Result", "schedule", "unmix"),
    "unet": ("UNet",),
    "networks": ("load_network",),
    "settings": ("Settings",),
    "training": ("fit",),
    "imagesets.opening": ("load",),
    "metrics": ("psnr", "score", "ssim"),
}
HOME_OF = {name: module for module, names in HOMES.items() for name in names}
FOLDERS = ("audit", "evaluation", "imagesets", "teach")

__all__ = sorted(HOME_OF)


def __getattr__(name: str):
    if name in HOME_OF:
        return getattr(import_module(f".{HOME_OF[name]}", __name__), name)
    if name in FOLDERS:
        return import_module(f".{name}", __name__)
    raise AttributeError(f"coldavg has no {name!r}; it has {', '.join(__all__)}, and the folders {', '.join(FOLDERS)}")


def __dir__() -> list[str]:
    return sorted([*__all__, *FOLDERS, "__version__"])

"""coldavg unmix: recover the images from averages."""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from .. import __version__
from ..evaluation.plausibility import say_plausible
from ..networks import load_network, network_file
from ..predictor import Network
from ..samplers import SAMPLERS
from ..support.figures import show
from ..support.files import fingerprint
from ..support.pixels import from_8_bits, png
from ..unmixing import unmix
from . import numbers

LARGEST = 9_000  # pixels on a side; more is no average of small pictures, and would fill the memory


def add_options(p: argparse.ArgumentParser) -> None:
    """The options of this command."""
    p.add_argument("image", nargs="+", type=Path, help="pictures of averages, grey or RGB")
    p.add_argument("--network", required=True, help="a name, or a file that coldavg train wrote")
    p.add_argument("--sampler", default="cold", help=f"for path networks: {', '.join(SAMPLERS)}")
    p.add_argument("--steps", type=int, help="steps of the sampler (default: 20), or looks of a joint network "
                                            "that looks again (default: its own)")
    p.add_argument("--k", type=int, help="how many images were mixed (default: 2, or those of a joint network)")
    p.add_argument("--weights", type=numbers(float),
                   help="mixing weights, as 0.6,0.4, the first of the image that comes back first, for the networks "
                        "of the package the brighter one; of a pair the other order is tried too (default: equal, or a "
                        "network's own)")
    p.add_argument("--resize", action="store_true", help="crop to the middle and resize to the network's size")
    p.add_argument("--out", type=Path, required=True, help="folder for the results")
    p.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """coldavg unmix: check everything first, write everything last."""
    network = load_network(options.network)
    if network.target != "joint" and options.sampler not in SAMPLERS:
        raise ValueError(f"--sampler must be one of {', '.join(SAMPLERS)}, got {options.sampler!r}")
    stems = [path.stem for path in options.image]
    twice = sorted({stem for stem in stems if stems.count(stem) > 1})
    if twice:
        raise ValueError(f"two pictures have the name {twice[0]!r}: their results would overwrite; rename one")
    mixtures = [read_image(path, network.channels, network.size, options.resize) for path in options.image]
    files = {}
    for path, mixture in zip(options.image, mixtures):
        start = time.perf_counter()
        result = unmix(mixture, network, options.sampler, options.steps, options.k, options.weights,
                       progress=sys.stderr.isatty())
        seconds = time.perf_counter() - start
        k = len(result.images)
        named = {f"{path.stem}-{i}.png": image for i, image in enumerate(result.images, 1)}
        titles = ["the average", *(f"recovered {i}" for i in range(1, k + 1))]
        done = {
            "image": path.name, "network": options.network,
            "network_sha256": fingerprint(network_file(options.network)),
            "k": k, "weights": list(options.weights or (k == network.k and network.weights) or [1 / k] * k),
            "sampler": "joint" if network.target == "joint" else options.sampler, "calls": result.calls,
            "seconds": round(seconds, 3), "resized": options.resize, "recovered": list(named),
            "comparison": f"{path.stem}-comparison.png", "version": __version__,
            "plausible": say_plausible(mixture, network, network_file(options.network), k),
        }
        if done["plausible"]["doubted"]:
            print(f"{path.name}: {done['plausible']['words']}", file=sys.stderr)
        rows = [[mixture, *result.images]]
        if other := other_order(options, network):
            turned = unmix(mixture, network, options.sampler, options.steps, options.k, other).images
            done |= {"other_weights": list(other), "other_recovered": [f"{path.stem}-other-{i}.png"
                                                                       for i in range(1, k + 1)]}
            named |= dict(zip(done["other_recovered"], turned))
            rows.append([mixture, *turned])
        files |= {name: png(image) for name, image in named.items()}
        files[done["comparison"]] = png(show(rows, titles, inches=2), 120)
        files[f"{path.stem}.json"] = (json.dumps(done, indent=2) + "\n").encode()
    given = {path.resolve() for path in options.image}
    for name in files:
        if (options.out / name).resolve() in given or (options.out / name).is_dir():
            raise ValueError(f"--out {str(options.out)!r} holds {name!r}, a picture given or a folder; choose another")
    write_together(options.out, files)
    print(f"{len(files)} files in {options.out}: {', '.join(files)}")


def other_order(options: argparse.Namespace, network: Network) -> tuple[float, ...] | None:
    """The weights of a pair the other way round, if a path network takes them: the picture does not say which it is."""
    weights = options.weights
    if network.target == "joint" or not weights or len(weights) != 2 or weights[0] == weights[1]:
        return None
    return weights[::-1] if weights[0] <= network.alpha_max else None


def read_image(path: Path, channels: int, size: tuple[int, int] | None, resize: bool = False) -> Tensor:
    """A published picture as (C, H, W) in [-1, 1]; ValueError or OSError, naming the file, for what is none.

    It is turned as its EXIF data say.  Palettes, opaque pictures and 16 bits are converted, where nothing is lost.
    """
    if not path.is_file():
        raise ValueError(f"image {str(path)!r} is no file; name a picture")
    try:
        with Image.open(path) as picture:
            if max(picture.size) > LARGEST:
                wide, tall = picture.size
                raise ValueError(f"image {str(path)!r} is {wide} x {tall} pixels, at most {LARGEST} a side; shrink it")
            frames = getattr(picture, "n_frames", 1)
            if frames > 1:
                raise ValueError(f"image {str(path)!r} holds {frames} frames; save the one that was published")
            picture = ImageOps.exif_transpose(picture)
    except UnidentifiedImageError:
        raise ValueError(f"image {str(path)!r} is not a picture that can be read; pass a PNG or JPEG file") from None
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"image {str(path)!r} is broken ({error}); pass a whole PNG or JPEG file") from None
    picture = without_loss(picture, path)
    if channels == 1 and picture.mode == "RGB":
        red, green, blue = picture.split()
        if red.tobytes() != green.tobytes() or green.tobytes() != blue.tobytes():
            raise ValueError(f"image {str(path)!r} is in colour, and the network knows grey images; convert it to grey")
        picture = red
    if channels == 3 and picture.mode == "L":
        picture = picture.convert("RGB")
    if size is not None and picture.size != (size[1], size[0]):
        if not resize:
            raise ValueError(f"image {str(path)!r} is {picture.width} x {picture.height} pixels, the network knows "
                             f"{size[1]} x {size[0]}; pass --resize to crop and resize it")
        picture = ImageOps.fit(picture, (size[1], size[0]), Image.Resampling.BICUBIC)
    levels = torch.from_numpy(np.array(picture).reshape(picture.height, picture.width, -1)).movedim(2, 0)
    return from_8_bits(levels.expand(channels, -1, -1).contiguous())


def without_loss(picture: Image.Image, path: Path) -> Image.Image:
    """The picture as L or RGB, or as F on the scale of 8 bits; ValueError if something would be lost.

    A picture of 16 bits keeps them, as 65,535 / 257 is 255.
    """
    if picture.mode.startswith("I"):
        levels = np.asarray(picture).astype(np.float32)
        if not 4096 <= levels.max() <= 65535 or levels.min() < 0:
            raise ValueError(f"image {str(path)!r} has levels {levels.min():g} to {levels.max():g}, which are not "
                             "those of 16 bits; save it at 8 bits as it was published")
        return Image.fromarray(levels / 257)
    if picture.has_transparency_data:
        shown = picture.convert("RGBA")
        if shown.getextrema()[3] != (255, 255):
            raise ValueError(f"image {str(path)!r} is partly transparent; save it as it was published, without")
        grey = picture.mode in ("L", "LA", "La")
        picture = picture.convert("L") if grey and picture.mode != "L" else picture if grey else shown.convert("RGB")
    if picture.mode in ("1", "P", "L", "RGB"):
        return picture.convert({"1": "L", "P": "RGB"}.get(picture.mode, picture.mode))
    raise ValueError(f"image {str(path)!r} must be grey or RGB, got mode {picture.mode}; convert it to what was "
                     "published")


def write_together(folder: Path, files: dict[str, bytes]) -> None:
    """Write all files, or none: into a new folder inside `folder`, and from there each to its place."""
    if folder.exists() and not folder.is_dir():
        raise ValueError(f"--out {str(folder)!r} is a file, not a folder; choose another")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".part-") as part:
        for name, content in files.items():
            (Path(part) / name).write_bytes(content)
        for name in files:
            (Path(part) / name).replace(folder / name)

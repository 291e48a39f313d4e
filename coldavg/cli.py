"""The command line: coldavg audit, coldavg unmix, coldavg train, coldavg evaluate, coldavg data.

Wrong input ends in one line that says what was wrong and what to do, exit code 2, and nothing half-written.
"""

import argparse
import errno
import io
import json
import math
import os
import shlex
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError
from torch import Tensor

from .audit import Plan, audit
from .checkpoint import CHECKPOINT
from .data import SETS, fingerprint, open_images, told, write_atomically
from .evaluate import NO_NETWORK, evaluate, merge_rows, read_rows
from .figures import pixels, show
from .pretrained import load_network, network_file, save_network
from .recognise import reidentify
from .release import TREATMENTS
from .samplers import SAME_AS, SAMPLERS, find_sampler, unmix
from .training import Progress, Settings, fit

LARGEST = 9_000  # pixels on a side; more is no average of small pictures, and would fill the memory


def main(words: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for wrong input, 130 for ctrl-C."""
    options = parser().parse_args(words)
    options.words = sys.argv[1:] if words is None else words
    try:
        options.run(options)
    except KeyboardInterrupt:
        return say("stopped by ctrl-C", 130)
    except BrokenPipeError:
        return say("the output was closed before the end", 1)
    except OSError as error:
        return say(said_of(error, getattr(options, "out", None)))
    except (ValueError, TypeError) as error:
        return say(str(error))
    return 0


def said_of(error: OSError, out: Path | None) -> str:
    """One line for an error of reading or writing: what, where, and what to do."""
    if not error.errno:  # one of our own, which says it all
        return str(error)
    full = error.errno in (errno.ENOSPC, errno.EROFS)
    ours = out and error.filename and Path(error.filename).resolve().is_relative_to(out.resolve().parent)
    remedy = "choose another --out" if full or ours else "check that it is there and may be read"
    return f"{error.strerror}{f': {error.filename}' if error.filename else ''}; {remedy}"


def say(message: str, code: int = 2) -> int:
    """Print one line to standard error; returns `code`."""
    print("coldavg: " + " ".join(message.split()), file=sys.stderr)
    return code


class Parser(argparse.ArgumentParser):
    """argparse, but an error is one line."""

    def error(self, message: str):
        raise SystemExit(say(f"{message}; see {self.prog} --help"))


def parser() -> Parser:
    """All commands and their options."""
    top = Parser(prog="coldavg", description="Take averaged pictures apart.")
    top.add_argument("--version", action="version", version=version("coldavg"))
    commands = top.add_subparsers(required=True, metavar="audit | unmix | train | evaluate | data")
    plain = argparse.ArgumentDefaultsHelpFormatter

    p = commands.add_parser("audit", help="attack averages of your own images, and report", formatter_class=plain)
    p.add_argument("data", help=f"a folder or zip of images (a sub-folder is an identity), or {', '.join(SETS)}")
    p.add_argument("--k", type=numbers(int), default=(2,), help="images in an average; several numbers, as 2,3,4")
    p.add_argument("--weights", type=numbers(float), help="mixing weights, as 0.6,0.4 (default: equal)")
    p.add_argument("--groups", default="random", help="random, or nearest: the most alike images")
    p.add_argument("--published", default="png", help=f"png, float, {', '.join(f'{name}-X' for name in TREATMENTS)}; "
                                                      "several with + between them")
    p.add_argument("--size", type=int, help="the side to which images are reduced (default: 64, or the network's)")
    p.add_argument("--attacker", default="", help="a network by name or file, or another folder of similar images to "
                                                  "train on (default: trained on a part of the images)")
    p.add_argument("--minutes", type=float, default=10, help="of training; the report names the --steps that they were")
    p.add_argument("--steps", type=int, help="steps of training, in place of minutes")
    p.add_argument("--count", type=int, default=200, help="averages to attack")
    p.add_argument("--seed", type=int, default=0, help="of all random numbers")
    p.add_argument("--out", type=Path, required=True, help="folder for report.html and report.json")
    p.set_defaults(run=run_audit)

    p = commands.add_parser("unmix", help="recover the images from averages", formatter_class=plain)
    p.add_argument("image", nargs="+", type=Path, help="pictures of averages, 8-bit grey or RGB")
    p.add_argument("--network", required=True, help="a name, or a file that coldavg train wrote")
    p.add_argument("--sampler", default="cold", help=f"for path networks: {', '.join(SAMPLERS)}")
    p.add_argument("--steps", type=int, default=20, help="steps of the sampler, for path networks")
    p.add_argument("--k", type=int, help="how many images were mixed (default: 2, or those of a joint network)")
    p.add_argument("--weights", type=numbers(float), help="mixing weights, as 0.6,0.4 (default: equal)")
    p.add_argument("--resize", action="store_true", help="crop to the middle and resize to the network's size")
    p.add_argument("--out", type=Path, required=True, help="folder for the results")
    p.set_defaults(run=run_unmix)

    p = commands.add_parser("train", help="train a network", formatter_class=plain)
    for setting in fields(Settings):
        flag = f"--{setting.name.replace('_', '-')}"
        if setting.name == "flips":
            p.add_argument(flag, action=argparse.BooleanOptionalAction, help="see Settings; None: as the data allow")
        elif setting.name != "channels":  # the images say
            kind = {"widths": numbers(int), "weights": numbers(float)}.get(setting.name, setting.type)
            p.add_argument(flag, type=kind, default=setting.default, help="see Settings")
    p.add_argument("--size", type=int, default=64, help="the side, in pixels, of images from a folder or zip")
    p.add_argument("--start", help="a trained network to start from: what fits of it is copied")
    p.add_argument("--seconds", type=float, default=math.inf, help="stop after so many seconds")
    p.add_argument("--out", type=Path, required=True, help="the network's file, NAME.safetensors")
    p.set_defaults(run=run_train)

    p = commands.add_parser("evaluate", help="score a network by the protocol", formatter_class=plain)
    p.add_argument("--network", default="none", help="a name, a file, none or best-pair")
    p.add_argument("--data", default="digits", help="the image set; its test split is used")
    p.add_argument("--sampler", nargs="+", default=["cold"], help="one or more; all; flips, for joint networks")
    p.add_argument("--steps", nargs="+", type=int, default=[20], help="one or more numbers of steps")
    p.add_argument("--k", type=int, default=2, help="images in a mixture")
    p.add_argument("--count", type=int, default=1000, help="test tuples")
    p.add_argument("--published", default="png", help="in what form: png, float, jpeg-75, noise-0.1, ...")
    p.add_argument("--weights", type=numbers(float), help="mixing weights, as 0.6,0.4 (default: equal)")
    p.add_argument("--told", type=numbers(float), help="the weights that the attacker believes in (default: the true)")
    p.add_argument("--reidentify", action="store_true", help="ask a face recogniser, with other photographs")
    p.add_argument("--out", type=Path, help="a JSON file of rows; a row of the same setting is replaced")
    p.set_defaults(run=run_evaluate)

    p = commands.add_parser("data", help="fetch an image set if need be, and say what it holds", formatter_class=plain)
    p.add_argument("data", help=f"{', '.join(SETS)}, or a folder or zip of images")
    p.set_defaults(run=run_data)
    return top


def numbers(kind: type):
    """A parser of numbers with commas between them."""

    def parse(text: str) -> tuple:
        return tuple(kind(part) for part in text.split(","))

    parse.__name__ = "list of numbers with commas between them"
    return parse


def run_audit(options: argparse.Namespace) -> None:
    """coldavg audit: started again, it goes on where it was."""
    plan = Plan(**{field.name: getattr(options, field.name) for field in fields(Plan)})
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"--out {str(options.out)!r} is a file, not a folder; choose another")
    with after_the_step() as stops:
        found = audit(plan, options.out, stops)
    if stops:
        print(f"{options.out}: stopped; start the same command again to go on")
        raise KeyboardInterrupt
    if found is not None:
        print(f"{found['verdict']['sentence']}\nThe report: {options.out / 'report.html'}")


def run_unmix(options: argparse.Namespace) -> None:
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
        comparison = io.BytesIO()
        show([[mixture, *result.images]], titles, inches=2).savefig(comparison, format="png")
        done = {
            "image": path.name, "network": options.network,
            "network_sha256": fingerprint(network_file(options.network)),
            "k": k, "weights": list(options.weights or [1 / k] * k),
            "sampler": "joint" if network.target == "joint" else options.sampler, "calls": result.calls,
            "seconds": round(seconds, 3), "resized": options.resize, "recovered": list(named),
            "comparison": f"{path.stem}-comparison.png", "version": version("coldavg"),
        }
        files |= {name: png(image) for name, image in named.items()}
        files[done["comparison"]] = comparison.getvalue()
        files[f"{path.stem}.json"] = (json.dumps(done, indent=2) + "\n").encode()
    given = {path.resolve() for path in options.image}
    for name in files:
        if (options.out / name).resolve() in given or (options.out / name).is_dir():
            raise ValueError(f"--out {str(options.out)!r} holds {name!r}, a picture given or a folder; choose another")
    write_together(options.out, files)
    print(f"{len(files)} files in {options.out}: {', '.join(files)}")


def read_image(path: Path, channels: int, size: tuple[int, int] | None, resize: bool = False) -> Tensor:
    """An 8-bit picture as (C, H, W) in [-1, 1]; ValueError or OSError, naming the file, for any other."""
    if not path.is_file():
        raise ValueError(f"image {str(path)!r} is no file; name a picture")
    try:
        with Image.open(path) as picture:
            if max(picture.size) > LARGEST:
                wide, tall = picture.size
                raise ValueError(f"image {str(path)!r} is {wide} x {tall} pixels, at most {LARGEST} a side; shrink it")
            frames = getattr(picture, "n_frames", 1)
            if picture.mode not in ("L", "RGB") or "transparency" in picture.info or frames > 1:
                raise ValueError(f"image {str(path)!r} must be one 8-bit grey or RGB picture, got mode {picture.mode}, "
                                 f"{frames} frame(s), perhaps transparent; convert it to what was published")
            picture.load()
    except UnidentifiedImageError:
        raise ValueError(f"image {str(path)!r} is not a picture that can be read; pass a PNG or JPEG file") from None
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"image {str(path)!r} is broken ({error}); pass a whole PNG or JPEG file") from None
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
    array = np.asarray(picture).reshape(picture.height, picture.width, channels)
    return torch.from_numpy(array.transpose(2, 0, 1).copy()).float() / 127.5 - 1


def png(image: Tensor) -> bytes:
    """An image (C, H, W) in [-1, 1] as the bytes of a PNG file."""
    packed = io.BytesIO()
    Image.fromarray(pixels(image)).save(packed, "PNG")
    return packed.getvalue()


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


def run_train(options: argparse.Namespace) -> None:
    """coldavg train: each minute the network, a checkpoint and a sheet of samples; started again, it goes on."""
    out, folder = options.out, options.out.with_suffix(".run")
    if out.suffix != ".safetensors":
        raise ValueError(f"--out must end in .safetensors, got {out.name!r}")
    if out.exists() and not (folder / CHECKPOINT).exists():
        raise ValueError(f"--out {str(out)!r} exists and has no run to go on with; move it, or choose another")
    start = load_network(options.start) if options.start else None
    images = open_images(options.data, "train", options.size)
    chosen = {setting.name: getattr(options, setting.name) for setting in fields(Settings) if setting.name in options}
    chosen |= {"channels": images.shape[1], "flips": images.flips if options.flips is None else options.flips}
    settings = Settings(**chosen)
    record = {"data_sha256": images.sha256, "start": start and fingerprint(network_file(options.start)),
              "command": shlex.join(["coldavg", *options.words])}
    checks = 0

    def keep(state: Progress) -> bool:
        nonlocal checks
        if len(state.log) > checks:
            checks = len(state.log)
            save_run(state, out, folder, record)
        return bool(stops)

    with after_the_step() as stops:
        state = fit(settings, images, options.seconds, callback=keep, folder=folder, start=start)
    if not state.main:
        return
    save_run(state, out, folder, record)
    seen, seconds, _ = state.losses[-1]
    if state.done < 1:
        print(f"{out}: {seen} images so far; start the same command again to go on")
        raise KeyboardInterrupt
    (folder / CHECKPOINT).unlink(missing_ok=True)
    print(f"{out}: {seen} images in {seconds:.0f} s, {state.log[-1]['waiting']:.1%} of it outside the network")


@contextmanager
def after_the_step() -> Iterator[list[int]]:
    """A list that holds something once ctrl-C was pressed, so that a step is never cut; of many processes, the
    launcher ends all."""
    stops: list[int] = []
    if "WORLD_SIZE" in os.environ:
        yield stops
        return
    before = signal.signal(signal.SIGINT, lambda number, frame: stops.append(number))
    try:
        yield stops
    finally:
        signal.signal(signal.SIGINT, before)


def save_run(state: Progress, out: Path, folder: Path, record: dict) -> None:
    """Write the network as it is now, and the sheet of the last check."""
    images, seconds, loss = state.losses[-1]
    save_network(state.network, state.settings, out, images=images, seconds=round(seconds), loss=round(loss, 5),
                 precision=state.precision, device=state.device, **record)
    if state.sheet is not None:
        titles = ["the average", *(f"recovered {i}" for i in range(1, len(state.sheet[0])))]
        sheet = io.BytesIO()
        show(list(state.sheet), titles).savefig(sheet, format="png")
        write_atomically(folder / f"sheet-{images:09d}.png", sheet.getvalue())


def run_evaluate(options: argparse.Namespace) -> None:
    """coldavg evaluate: one row for each sampler and number of steps."""
    names = [name for name in SAMPLERS if name not in SAME_AS] if options.sampler == ["all"] else options.sampler
    if options.out is not None:
        read_rows(options.out)  # what can't be added to shows now, not at the end
    if options.network in NO_NETWORK:
        settings = [("cold", 1)]  # no sampler
    elif load_network(options.network).target == "joint":
        settings = [(name, 1) for name in dict.fromkeys("flips" if name == "flips" else "joint" for name in names)]
    else:
        pairs = ((find_sampler(name), steps) for name in names for steps in options.steps)
        settings = list(dict.fromkeys((sampler.name, sampler.steps or steps) for sampler, steps in pairs))
    for name, steps in settings:
        if options.reidentify:
            rows = reidentify(options.network, options.data, name, steps, options.count, sys.stderr.isatty())
        else:
            rows = [evaluate(options.network, options.data, name, steps, options.k, options.count, options.published,
                             options.weights, options.told, progress=sys.stderr.isatty())]
        for row in rows:
            print(json.dumps(row))
        if options.out is not None:
            merge_rows(rows, options.out)


def run_data(options: argparse.Namespace) -> None:
    """coldavg data: what an image set holds, and how it is split."""
    images, train, test = (open_images(options.data, split) for split in ("all", "train", "test"))
    _, channels, height, width = images.shape
    smallest, largest = (f"{wide} x {tall}" for wide, tall in images.sizes)
    doubles = len(images) - len(train) - len(test)
    facts = {
        "source": images.source,
        "sha256": images.sha256,
        "images": f"{len(images)} of {len(set(images.identities.tolist()))} identities",
        "sizes": f"{smallest} to {largest}, used at {width} x {height} in {channels} channel(s)",
        "training": len(train),
        "test": f"{len(test)}" + (f"; {doubles} more left out, whose very pixels are in training" if doubles else ""),
        "broken": told(images.broken) if images.broken else "none",
        "terms": SETS[options.data].terms if options.data in SETS else "yours",
    }
    for name, fact in facts.items():
        print(f"{name:<9} {fact}")


if __name__ == "__main__":
    raise SystemExit(main())

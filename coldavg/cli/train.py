"""coldavg train: train a network, and keep it; started again, go on."""

import argparse
import math
import shlex
from dataclasses import fields
from pathlib import Path

from ..audit.attacker import note
from ..imagesets.identities import is_table
from ..imagesets.named import SETS
from ..imagesets.opening import ImageSet, open_images
from ..networks import load_network, network_file, save_network
from ..remixing import fit_to_averages
from ..settings import Settings
from ..support.checkpoint import CHECKPOINT
from ..support.figures import show
from ..support.files import fingerprint, write_atomically
from ..support.pixels import png
from ..training import Progress, fit
from . import numbers
from .data import add_reading_options
from .stopping import after_the_step


def add_options(p: argparse.ArgumentParser) -> None:
    """The options of this command."""
    for setting in fields(Settings):
        flag = f"--{setting.name.replace('_', '-')}"
        if setting.name == "flips":
            p.add_argument(flag, action=argparse.BooleanOptionalAction, help=setting.metadata["help"])
        elif setting.name != "channels":  # the images say
            kind = {"widths": numbers(int), "weights": numbers(float)}.get(setting.name, setting.type)
            p.add_argument(flag, type=kind, default=setting.default, help=setting.metadata["help"])
    p.add_argument("--size", type=int, default=64, help="the side, in pixels, of images from a folder or zip")
    add_reading_options(p)
    p.add_argument("--from-averages", metavar="FOLDER", help="learn from published averages of two alone, all that the "
                                                             "folder or zip holds: first with --k 4, then with --k 2 "
                                                             "and that network as --start")
    p.add_argument("--start", help="a trained network to start from: what fits of it is copied")
    p.add_argument("--seconds", type=float, default=math.inf, help="stop after so many seconds")
    p.add_argument("--out", type=Path, required=True, help="the network's file, NAME.safetensors")
    p.set_defaults(run=run)


def run(options: argparse.Namespace) -> None:
    """coldavg train: each minute the network, a checkpoint and a sheet of samples; started again, it goes on."""
    out, folder = options.out, options.out.with_suffix(".run")
    if out.suffix != ".safetensors":
        raise ValueError(f"--out must end in .safetensors, got {out.name!r}")
    if out.exists() and not (folder / CHECKPOINT).exists():
        raise ValueError(f"--out {str(out)!r} exists and has no run to go on with; move it, or choose another")
    start = load_network(options.start) if options.start else None
    alone = options.from_averages
    if alone and options.data != Settings.data:
        raise ValueError(f"--data {options.data!r} and --from-averages {alone!r}: name one, what is learned from")
    images = open_images(alone or options.data, "all" if alone else "train", options.size, identity=options.identity,
                         fit=options.fit)
    if str(alone or options.data) not in SETS:
        say_read(images)
    chosen = {setting.name: getattr(options, setting.name) for setting in fields(Settings) if setting.name in options}
    chosen |= {"channels": images.shape[1], "flips": images.flips if options.flips is None else options.flips}
    settings = Settings(**chosen | ({"data": alone} if alone else {}))
    record = {"data_sha256": images.sha256, "start": start and fingerprint(network_file(options.start)),
              "command": shlex.join(["coldavg", *without_paths(options)])}
    checks = 0

    def keep(state: Progress) -> bool:
        nonlocal checks
        if len(state.log) > checks:
            checks = len(state.log)
            save_run(state, out, folder, record)
        return bool(stops)

    with after_the_step() as stops:
        state = (fit_to_averages if alone else fit)(settings, images, options.seconds, callback=keep, folder=folder,
                                                    start=start)
    if not state.main:
        return
    save_run(state, out, folder, record)
    seen, seconds, _ = state.losses[-1]
    if state.done < 1:
        print(f"{out}: {seen} mixtures so far; start the same command again to go on")
        raise KeyboardInterrupt
    (folder / CHECKPOINT).unlink(missing_ok=True)
    print(f"{out}: {seen} mixtures in {seconds:.0f} s, {state.log[-1]['waiting']:.1%} of it outside the network")


def without_paths(options: argparse.Namespace) -> list[str]:
    """The words of the command, with the names alone of the files and folders that it names."""
    named = (options.data, options.start, options.out, options.from_averages, options.identity)
    paths = {Path(each) for each in named if each and (each != options.identity or is_table(each))}
    words = []
    for word in options.words:
        flag, equals, value = word.rpartition("=") if word.startswith("--") else ("", "", word)
        words.append(flag + equals + (Path(value).name or value if Path(value) in paths else value))
    return words


def say_read(images: ImageSet) -> None:
    """What of one's own pictures is guessed or skipped, and what looks wrong, on standard error."""
    for name, words in images.inspection.lines().items():
        if name in ("identities", "passed over", "broken") or name.startswith("warning"):
            note(f"{name}: {words}")


def save_run(state: Progress, out: Path, folder: Path, record: dict) -> None:
    """Write the network as it is now, and the sheet of the last check."""
    seen, seconds, loss = state.losses[-1]
    save_network(state.network, out, mixtures_seen=seen, seconds=round(seconds), loss=round(loss, 5),
                 precision=state.precision, device=state.device, **record)
    if state.sheet is not None:
        titles = ["the average", *(f"recovered {i}" for i in range(1, len(state.sheet[0])))]
        write_atomically(folder / f"sheet-{seen:09d}.png", png(show(list(state.sheet), titles), 120))

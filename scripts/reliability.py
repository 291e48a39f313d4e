"""Measure what the tool withstands: python scripts/reliability.py [inputs networks archives kills files fuzz] [--small]

Each part adds its rows to results/reliability.json, in place of its older ones.  `--small` tries a tenth, for a look.
"""

import argparse
import io
import json
import os
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
from PIL import Image

from coldavg.cli import main
from coldavg.evaluation.rows import stamp_of
from coldavg.imagesets.opening import open_images
from coldavg.networks import load_network, manifest, read_network, save_network
from coldavg.support.checkpoint import CHECKPOINT
from coldavg.support.files import write_atomically
from tests.pictures import BROKEN, FILES, GRADIENT, PACKERS, bomb, fill, noise, packed, zipped

FILE = Path(__file__).parent.parent / "results" / "reliability.json"
ENVIRONMENT = os.environ | {"OMP_NUM_THREADS": "1"}


def row(what: str, tried: int, failed: int, **figures) -> dict:
    """A row: what was tried how often, how often it went wrong, and other figures."""
    return {"what": what, "tried": tried, "failed": failed, **figures, "stamp": stamp_of(0)}


def run_quietly(words: list[str]) -> tuple[int, str]:
    """The exit code of a command and what it wrote to standard error; any exception is a failure of the tool."""
    wrong = io.StringIO()
    with redirect_stdout(io.StringIO()), redirect_stderr(wrong):
        try:
            code = main(words)
        except SystemExit as stop:
            code = stop.code
        except Exception as error:
            return -1, f"Traceback: {error!r}"
    return code, wrong.getvalue()


def strange_files() -> dict[str, bytes]:
    """One file of each kind that hospitals, archives, phones and enemies write, by name."""
    many = [Image.fromarray(noise(i, (20, 20))) for i in range(4)]
    exif = Image.Exif()
    exif[0x0112] = 6
    odd = {
        "deep.png": packed(GRADIENT.astype(np.uint16)), "deep.tif": packed(GRADIENT.astype(np.int32), "TIFF"),
        "float.tiff": packed((GRADIENT / 65535).astype(np.float32), "TIFF"), "wide.png": packed(noise(1, (10, 3000))),
        "bits.png": packed(Image.fromarray(noise(0, (30, 30))).convert("1")), "one.png": packed(noise(0, (1, 1))),
        "cmyk.jpg": packed(Image.new("CMYK", (30, 30), (9, 99, 0, 5)), "JPEG"),
        "clear.png": packed(Image.new("RGBA", (30, 30))), "la.png": packed(Image.new("LA", (30, 30), (9, 128))),
        "palette.gif": packed(Image.new("P", (30, 30), 3), "GIF"), "turned.jpg": packed(noise(1), "JPEG", exif=exif),
        "film.gif": packed(many[0], "GIF", save_all=True, append_images=many[1:]),
        "stack.tif": packed(many[0], "TIFF", save_all=True, append_images=many[1:]),
        "array.npy": npy(noise(0, (6, 20, 20))), "objects.npy": npy(np.array([None, {}], dtype=object)),
        "scan.dcm": bytes(128) + b"DICM" + bytes(200), "volume.nii": bytes(400),
        "photo.heic": b"\0\0\0\x18ftypheic" + bytes(99), "Thumbs.db": b"\xd0\xcf\x11\xe0", "notes.txt": b"hello",
        "no-ending": FILES["00.png"], ".hidden.png": packed(noise(9)), "01_mask.png": packed(noise(7)),
        "p1/photo.jpg": packed(noise(10), "JPEG"), "train/p1/a.png": packed(noise(11)),
        "a b/\u00fc \u6f22.png": packed(noise(12)),
    }
    kinds = {f"a.{kind.lower()}": packed(noise(3), kind) for kind in ("WEBP", "AVIF", "BMP", "PPM", "GIF")}
    cut = {f"cut-{share}.jpg": packed(noise(share), "JPEG")[: share * 10] for share in range(0, 200, 20)}
    return BROKEN | odd | kinds | cut


def npy(array: np.ndarray) -> bytes:
    """The bytes of an .npy file."""
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def accounted(source: Path) -> bool:
    """Whether each file of a source is read, passed over or broken, and none is two of these."""
    images = open_images(source, "all")
    found = images.inspection
    counted = sum(each["count"] for why, each in (found.passed | found.broken).items() if not why.endswith("are read)"))
    return found.files == len(set(images.names)) + counted


def try_inputs(folder: Path, share: float) -> Iterator[dict]:
    """Each strange file alone among ten pictures, in a folder, a zip and a tar."""
    strange = list(strange_files().items())
    tried = wrong = silent = 0
    for number, (name, content) in enumerate(strange[:: round(1 / share)]):
        for packer, pack in PACKERS.items():
            source = pack(folder / f"{number}-{packer}", FILES | {name: content})
            code, said = run_quietly(["data", str(source)])
            tried, wrong = tried + 1, wrong + (code not in (0, 2) or "Traceback" in said)
            silent += code == 0 and not accounted(source)
    yield row("strange files: tracebacks", tried, wrong)
    yield row("strange files: lost without a word", tried, silent)


def try_networks(folder: Path, share: float) -> Iterator[dict]:
    """Network files, written as they are written today, cut short, and with one bit changed."""
    for what, harm in (("cut at every 1 %", lambda content, i: content[: i * len(content) // 100]),
                       ("with one bit changed", flip_bit)):
        tried = loaded = 0
        for name in manifest():
            save_network(load_network(name), folder / "n.safetensors")
            content = (folder / "n.safetensors").read_bytes()
            for i in range(0, 100, round(1 / share)):
                tried += 1
                try:
                    read_network(harm(content, i), "harmed")
                    loaded += 1
                except ValueError:
                    pass
        yield row(f"network files {what}: loaded", tried, loaded)


def flip_bit(content: bytes, i: int) -> bytes:
    """The content with one seeded bit changed."""
    harmed, rng = bytearray(content), np.random.RandomState(i)
    harmed[rng.randint(len(harmed))] ^= 1 << rng.randint(8)
    return bytes(harmed)


def try_archives(folder: Path, share: float) -> Iterator[dict]:
    """Archives that climb out, bombs, and pictures of 50,000 pixels a side: none may be read, or leave a trace."""
    evil = {"climbs out": {"../../evil.png": packed(noise(1))}, "is a bomb": {"bomb.png": bomb(50_000)},
            "is a bomb of zeros": {"zeros.png": bytes(300_000_000)}, "is wide": {"wide.png": bomb(50_000)}}
    tried = accepted = 0
    for name, files in evil.items():
        (folder / "deep" / "er").mkdir(parents=True, exist_ok=True)
        source = folder / "deep" / "er" / f"{name}.zip"
        with zipfile.ZipFile(source, "w", zipfile.ZIP_DEFLATED) as archive:
            for each, content in (FILES | files).items():
                archive.writestr(each, content)
        before = {path for path in folder.rglob("*") if "cache" not in path.parts}
        code, _ = run_quietly(["data", str(source)])
        after = {path for path in folder.rglob("*") if "cache" not in path.parts}
        tried += 1
        accepted += code != 0 or len(open_images(source, "all")) != len(FILES) or before != after
    yield row("archives that climb out, bombs, pictures of 50,000 pixels a side: accepted", tried, accepted)


def try_kills(folder: Path, share: float) -> Iterator[dict]:
    """kill -9 at random moments, then the same command to its end: the results must be those of a run left alone.

    Most that are killed go on from a checkpoint (`gone_on`), the others begin anew.
    """
    own = fill(folder / "own", {f"{i:03d}.png": packed(noise(i, (16, 16))) for i in range(160)})
    audit = ["audit", str(own), "--size", "16", "--steps", "60", "--count", "20", "--out"]
    train = ["train", "--data", str(own), "--size", "16", "--target", "joint", "--widths", "8,16", "--batch", "8",
             "--mixtures", "4000", "--out"]
    for what, words, name in (("audit", audit, "report.json"), ("training", train, "n.safetensors")):
        whole = folder / f"{what}-whole"
        seconds = finish([*words, str(whole if what == "audit" else whole / name)], whole)[0]
        different = killed = gone_on = 0
        rng = np.random.RandomState(0)
        for i in range(max(1, round(20 * share))):
            out = folder / f"{what}-{i}"
            _, stopped, kept = finish([*words, str(out if what == "audit" else out / name)], out,
                                      rng.uniform(0.3, 0.95) * seconds)
            killed, gone_on = killed + stopped, gone_on + kept
            different += numbers_in(out / name) != numbers_in(whole / name)
        yield row(f"kill -9 during {what}, gone on with: other results", killed, different, gone_on=gone_on)


# The command line with a clock that runs 30 times as fast: a checkpoint is written every 2 seconds in place of 60
HASTY = """
import sys, time
clock = time.perf_counter
time.perf_counter = lambda: 30 * clock()
from coldavg.cli import main
sys.exit(main(sys.argv[1:]))
"""


def finish(words: list[str], out: Path, kill_after: float = 0) -> tuple[float, int, int]:
    """Seconds of a command, whether it was killed after so many (0: never), and left a checkpoint in `out`.

    In the end it has run to its end.
    """
    command, started, killed, kept = [sys.executable, "-c", HASTY, *words], time.perf_counter(), 0, 0
    if kill_after:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ENVIRONMENT)
        try:
            process.wait(kill_after)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            killed, kept = 1, int(any(out.rglob(CHECKPOINT)))
    if killed or not kill_after:
        subprocess.run(command, check=True, capture_output=True, env=ENVIRONMENT)
    return time.perf_counter() - started, killed, kept


def numbers_in(file: Path) -> object:
    """What must be equal: the results of a report but their seconds, or the tensors of a network."""
    if file.suffix == ".json":
        return [{key: value for key, value in one.items() if key != "seconds"}
                for one in json.loads(file.read_text())["results"]]
    network = read_network(file.read_bytes(), file.name)[0]
    return {name: tensor.tolist() for name, tensor in network.state_dict().items()}


CHILD = """
import resource, sys, time
from coldavg.imagesets.opening import open_images
for _ in range(2):
    started = time.perf_counter()
    images = open_images(sys.argv[1], "all")
    print(len(images), time.perf_counter() - started, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
    from coldavg.imagesets import opening
    opening.open_decoded.cache_clear()
"""


def try_files(folder: Path, share: float) -> Iterator[dict]:
    """Seconds and memory for 1,000, 10,000 and 100,000 small pictures in a zip, at first and once they are decoded."""
    for count in (1_000, 10_000, 100_000):
        several = max(10, round(count * share))
        source = folder / f"{several}.zip"
        with zipfile.ZipFile(source, "w") as archive:
            for i in range(several):
                archive.writestr(f"p{i // 3:05d}/{i:06d}.jpg", packed(noise(i, (48, 48, 3)), "JPEG"))
        done = subprocess.run([sys.executable, "-c", CHILD, str(source)], capture_output=True, text=True,
                              env=ENVIRONMENT)
        (read, first, _), (_, again, memory) = (map(float, line.split()) for line in done.stdout.splitlines())
        yield row(f"{several:,} pictures in a zip: not read", several, several - int(read), seconds=round(first, 1),
                  seconds_again=round(again, 1), memory_mb=round(memory / 1024))


def try_fuzz(folder: Path, share: float) -> Iterator[dict]:
    """Files changed, cut and lengthened at random: whatever is written in them, the list is printed."""
    rng = np.random.RandomState(0)
    seeds = {name: content for name, content in strange_files().items() if 0 < len(content) < 10**6}
    tried = wrong = 0
    for round_ in range(round(300 * share)):
        files = {}
        for name, content in seeds.items():
            harmed = bytearray(content)
            for _ in range(rng.choice((1, 3, 30))):
                harmed[rng.randint(len(harmed))] = rng.randint(256)
            harmed = harmed[: rng.randint(len(harmed))] if rng.rand() < 0.2 else harmed
            files[f"f{round_}/{name}"] = bytes(harmed)
        source = zipped(folder / "fuzz.zip", files | {f"good/{name}": each for name, each in FILES.items()})
        code, said = run_quietly(["data", str(source), "--identity", "none"])
        tried += len(files)
        wrong += code != 0 or "Traceback" in said or not accounted(source)
    yield row("files changed at random: tracebacks or silent losses", tried, wrong)


PARTS: dict[str, Callable[[Path, float], Iterator[dict]]] = {
    "inputs": try_inputs, "networks": try_networks, "archives": try_archives, "kills": try_kills, "files": try_files,
    "fuzz": try_fuzz}


def measure(chosen: list[str], share: float) -> None:
    """Run these parts, and write their rows, each as soon as it is there."""
    for part in chosen:
        with tempfile.TemporaryDirectory() as folder:
            os.environ["COLDAVG_CACHE"] = ENVIRONMENT["COLDAVG_CACHE"] = str(Path(folder) / "cache")
            for one in PARTS[part](Path(folder), share):
                print(json.dumps({"part": part} | one), flush=True)
                if share == 1:
                    keep(part, one)


def keep(part: str, one: dict) -> None:
    """Write the row of a part, in place of that which said the same before."""
    kept = json.loads(FILE.read_text()) if FILE.exists() else []
    kept = [old for old in kept if (old["part"], old["what"]) != (part, one["what"])] + [{"part": part} | one]
    lines = ",\n".join(map(json.dumps, sorted(kept, key=lambda each: list(PARTS).index(each["part"]))))
    write_atomically(FILE, f"[\n{lines}\n]\n".encode())


if __name__ == "__main__":
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("parts", nargs="*", default=list(PARTS), metavar="PART", help=f"of {', '.join(PARTS)}")
    asked.add_argument("--small", action="store_true", help="try a tenth, and write nothing")
    options = asked.parse_args()
    measure(options.parts, 0.1 if options.small else 1)

"""Image sets that have a name: what is known of them, where they lie, and how they are fetched."""

import hashlib
import json
import os
import sys
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from urllib.request import Request, urlopen

import pooch
from tqdm import tqdm

from ..support.files import fingerprint, replacing
from .caching import numbered_copy, writable
from .finding import Listing, list_files
from .identities import by_pattern

BUNDLED = Path(__file__).parent / "digits.npz"
SPLITS = ("train", "test", "all")
DECLARED = "COLDAVG_SETS"  # where it is set, only the named sets that it lists (with commas) open, none is fetched


@dataclass(frozen=True)
class NamedSet:
    """What is known of an image set that has a name.

    `hash` is of the public file, as pooch writes it, or there are a `count` of pictures to be compared; `inside` is the
    folder in there, `identity` the person in a file's name (see `identities.by_pattern`), None where images
    are split one by one.  `flips`: mirrored images may be drawn in training.
    """

    name: str
    terms: str
    address: str | None = None
    hash: str | None = None
    inside: str = ""
    count: int = 0
    size: int = 64
    channels: int = 3
    flips: bool = True
    identity: str | None = None

    @property
    def file(self) -> str:
        """The name of the public file, "" if there is no address."""
        return (self.address or "").rpartition("/")[2]

    @property
    def local(self) -> str:
        """The name of a prepared copy."""
        return self.file if self.size == 28 else f"{self.name}.zip"

    @property
    def cached(self) -> str:
        """The name in the cache: the public file, or if there is none, or it names people, a prepared copy."""
        return self.file if self.address and self.identity is None else self.local


SETS = {row.name: row for row in (
    NamedSet("digits", "MNIST, CC BY-SA 3.0", size=28, channels=1, flips=False),
    # address and MD5: torchvision, datasets/mnist.py
    NamedSet("digits-full", "MNIST, CC BY-SA 3.0",
             "https://ossci-datasets.s3.amazonaws.com/mnist/train-images-idx3-ubyte.gz",
             "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873", size=28, channels=1, flips=False),
    # address and SHA-256: Lux.jl, examples/DDIM/main.jl; address: torchvision, datasets/flowers102.py
    NamedSet("flowers", "Oxford 102 Flowers (Nilsback and Zisserman 2008), for research",
             "https://www.robots.ox.ac.uk/~vgg/data/flowers/102/102flowers.tgz",
             "sha256:2d01ecc807db462958cfe3d92f57a8c252b4abd240eb955770201e45f783b246", inside="jpg/"),
    # address: the page conradsanderson.id.au/lfwcrop, which gives no hash; Name_0001.ppm is the first of a person
    NamedSet("faces", "LFWcrop (Huang et al. 2007, Sanderson 2009), for research; do not name the people",
             "https://conradsanderson.id.au/lfwcrop/lfwcrop_color.zip",
             None, "lfwcrop_color/faces/", 13_233, identity=r"(.+)_\d+\."),
    # its public home is a page with a shared drive: no address that stays
    NamedSet("portraits", "UTKFace (Zhang, Song and Qi 2017), for non-commercial research; do not name the people"),
    # address and MD5: MONAI, monai/apps/datasets.py
    NamedSet("xrays", "MedNIST chest X-rays (B. J. Erickson, Mayo Clinic; from TCIA, RSNA, NIH), CC BY-SA 4.0; "
             "patients are not told apart: one may be in both splits",
             "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/MedNIST.tar.gz",
             "md5:0bc7306e7427e00ad1c5526a6677552d", inside="MedNIST/CXR/", channels=1),
)}


def find_source(data: str | Path, split: str = "test", fetch: bool = False) -> Path:
    """Where an image set lies: a file, or a folder of one's own.  See `open_images` for the places.

    "digits" is part of the package: 12,000 training and 2,000 test images of MNIST.  "digits-full" trains on
    all 60,000; its test images are the bundled 2,000, so that results stay comparable.  Raises ValueError,
    or FileNotFoundError if a named set is not here, and is not fetched (`fetch`) or can't be.
    """
    if split not in SPLITS:
        raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
    known = SETS.get(str(data))
    if known is None:
        if not str(data) or not (Path(data).is_dir() or Path(data).is_file()):  # a device may be read for ever
            raise ValueError(f"data must be one of {', '.join(SETS)}, or a folder or zip that is there, "
                             f"got {str(data)!r}")
        return Path(data)
    if known.name == "digits" or (known.name, split) == ("digits-full", "test"):
        return BUNDLED
    check_declared(known)
    files = [cache_folder() / known.cached]
    if os.environ.get("COLDAVG_DATA"):
        files.insert(0, Path(os.environ["COLDAVG_DATA"]) / known.local)
    for file in files:
        if file.is_file():
            return file
    if fetch and known.address and DECLARED not in os.environ:
        return download(known)
    free = f"unset {DECLARED}, and " if DECLARED in os.environ else ""
    other = f"{free}fetch it with: coldavg data {known.name}" if known.address else \
        f"put it into {str(cache_folder())!r}: it has no public address"
    raise FileNotFoundError(f"data {known.name!r} needs the file {known.local}, not found; set COLDAVG_DATA to the "
                            f"folder that holds it, or {other}")


def check_declared(known: NamedSet) -> None:
    """FileNotFoundError for a named set that COLDAVG_SETS does not list, where that is set: see `DECLARED`."""
    if known.name not in map(str.strip, os.environ.get(DECLARED, known.name).split(",")):
        raise FileNotFoundError(f"data {known.name!r} is not among the sets that {DECLARED} lists, "
                                f"{os.environ[DECLARED]!r}; add it there, or to what the chapter or test says it needs")


def cache_folder() -> Path:
    """Where downloads and decoded images are kept: the folder COLDAVG_CACHE, or the user's cache folder."""
    return Path(os.environ.get("COLDAVG_CACHE") or pooch.os_cache("coldavg"))


def download(known: NamedSet) -> Path:
    """Fetch a named set into the cache, unless its public file was put there; errors say how to do that."""
    file = cache_folder() / known.file
    if not file.is_file():
        print(f"{known.name}: {known.terms}\nfetching {known.address}, {ask_size(known.address)}", file=sys.stderr)
        with writable(file.parent), replacing(file) as half:
            fetch_file(known, half, f"fetch {known.address} by hand and put it into {str(file.parent)!r}, or set "
                                    f"COLDAVG_DATA to a folder that holds {known.local}")
    if known.identity is None:
        return file
    copy = file.with_name(known.cached)
    with writable(file.parent), replacing(copy) as half:
        people = by_pattern(list_files(file, known.inside).pictures, known.identity)
        numbered_copy(file, half, known.size, known.count, known.inside, people)
    file.unlink()
    return copy


def ask_size(address: str) -> str:
    """The size of a public file in words, as its server says it."""
    try:
        with urlopen(Request(address, method="HEAD"), timeout=30) as answer:
            return f"{int(answer.headers['Content-Length']) / 1e6:,.1f} MB"
    except (OSError, HTTPException, ValueError, TypeError):  # that it can't be fetched, if so, is said where it is
        return "of a size that can't be asked"


def fetch_file(known: NamedSet, path: Path, by_hand: str) -> None:
    """Fetch the public file of a named set to `path`; FileNotFoundError, or ValueError if its hash is wrong."""
    try:
        with tqdm(desc=known.file, total=1, unit="B", unit_scale=True, disable=None) as bar:  # pooch sets the total
            pooch.HTTPDownloader(progressbar=bar, chunk_size=2**16)(known.address, str(path), None)
    except OSError as error:
        if error.errno is not None:  # the disk
            raise
        response = getattr(error, "response", None)
        reason = type(error).__name__ if response is None else f"status {response.status_code}"
        raise FileNotFoundError(f"data {known.name!r} can't be fetched ({reason}); {by_hand}") from None
    check_hash(known, path, f"fetch it again, or {by_hand}")


def check_hash(known: NamedSet, file: Path, remedy: str = "delete it") -> None:
    """ValueError if `file` is not the public file of a named set, as far as that is known."""
    kind, _, expected = (known.hash or "").partition(":")
    if expected and pooch.file_hash(file, kind) != expected:
        raise ValueError(f"the file {known.file} for {known.name!r} is not what it was: its hash differs; {remedy}")


def source_key(source: Path, listing: Listing) -> str:
    """What tells one content of a source from another: the SHA-256 of a file; of a folder names, sizes, times."""
    if source.is_dir():
        return hashlib.sha256(json.dumps([listing.pictures, listing.stamp]).encode()).hexdigest()
    return fingerprint(source)

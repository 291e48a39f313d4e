"""What is there: every file of a folder, zip or tar, and why it is passed over if it is no picture."""

import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from PIL import Image

FORMATS = ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "AVIF", "HEIF"]  # none of Pillow's that starts programs
OTHERS = {".heic": "HEIF", ".heif": "HEIF", ".hif": "HEIF", ".npy": "NumPy", ".npz": "NumPy", ".dcm": "DICOM",
          ".dicom": "DICOM", ".ima": "DICOM", ".nii": "NIfTI", ".nii.gz": "NIfTI"}
ENDINGS = {ending: kind for ending, kind in Image.registered_extensions().items() if kind in FORMATS} | OTHERS
MAGIC = (  # at which byte, what, and what it is: for files whose ending says nothing
    (128, b"DICM", "DICOM"),  # first: before it another kind may stand, for readers that know no DICOM
    (0, b"\x89PNG\r\n", "PNG"), (0, b"\xff\xd8\xff", "JPEG"), (0, b"GIF8", "GIF"), (0, b"II*\0", "TIFF"),
    (0, b"MM\0*", "TIFF"), (8, b"WEBPVP8", "WEBP"), (0, b"\x93NUMPY", "NumPy"),
    (4, b"ftypheic", "HEIF"), (4, b"ftypheix", "HEIF"), (4, b"ftypmif1", "HEIF"), (4, b"ftypavif", "AVIF"))
HEAD = 160  # bytes in which they stand
SYSTEM = {  # folders that network disks, phones and computers make by themselves
    "__macosx", "@eadir", "#recycle", "@recycle", "$recycle.bin", "system volume information", "lost+found",
    "thumbnails", "thumbs"}
SYSTEM_FILES = re.compile(r"synophoto_thumb|thumbs\.db$|ehthumbs|desktop\.ini$|.*\.thm$", re.I)
RAW = (".dng .cr2 .cr3 .nef .nrw .arw .srf .orf .rw2 .pef .srw .raf .3fr .iiq .x3f").split()  # of cameras
MASK = r"masks?|seg|segmentations?|labels?|annotations?|groundtruth|gt|matte|trimap"
MASK_NAME, MASK_FOLDER = re.compile(rf"(.+)[_\-. ](?:{MASK})$", re.I), re.compile(rf"(?:.*[_\-. ])?(?:{MASK})$", re.I)


class Found(NamedTuple):
    """A file: its name inside the source, its bytes, when it was changed, how it is read; why it is passed over."""

    name: str
    size: int
    time: int
    read: Callable[[], bytes]
    why: str = ""


@dataclass(frozen=True)
class Listing:
    """What a source holds: the names of its pictures, sorted; by reason the names of what is passed over.

    `stamp` holds sizes and times of the pictures, in the same order.
    """

    source: Path
    pictures: tuple[str, ...] = ()
    passed: tuple[tuple[str, tuple[str, ...]], ...] = ()
    stamp: tuple[tuple[int, int], ...] = ()

    @property
    def files(self) -> int:
        """How many files there are, of every kind."""
        return len(self.pictures) + sum(len(names) for _, names in self.passed)


def list_files(source: Path, inside: str = "") -> Listing:
    """All files of a folder, zip or tar, sorted into pictures and what is passed over; `inside` as in `find_files`.

    A mask is passed over where the picture that it belongs to is there; a name that stands twice counts once.
    Raises ValueError if the file can't be read as any of these.
    """
    pictures, passed = {}, {}
    for found in find_files(source, inside):
        why = found.why or ("a name that stands there twice" if found.name in pictures else "")
        if why:
            passed.setdefault(why, []).append(found.name)
        else:
            pictures[found.name] = (found.size, found.time)
    if masks := find_masks(pictures):
        passed["a mask of a picture"] = sorted(masks)
    names = tuple(sorted(pictures.keys() - masks))
    return Listing(source, names, tuple((why, tuple(each)) for why, each in sorted(passed.items())),
                   tuple(pictures[name] for name in names))


def find_files(source: Path, inside: str = "") -> Iterator[Found]:
    """Every file, in the order in which the source gives them; what is no picture says `why`.

    With `inside`, "folder/": those with that folder in their names, without what stands before its end.  A picture
    is known by its ending, or by its first bytes.  Nothing is extracted.  Of a tar, read each one before the next
    is asked for.
    """
    for found in everything(source):
        path = PurePosixPath(found.name)
        chosen = f"/{path}".partition(f"/{inside}")[2]
        if chosen:
            yield found._replace(name=chosen, why=found.why or reason_against(path, found))


def everything(source: Path) -> Iterator[Found]:
    """All files, with the reason why one can't be read, if that shows before its content."""
    if source.is_dir():
        yield from in_folder(source)
        return
    try:
        if zipfile.is_zipfile(source):
            with zipfile.ZipFile(source) as archive:
                for info in archive.infolist():
                    if not info.is_dir():
                        why = "encrypted" if info.flag_bits & 1 else ""
                        link = stat.S_ISLNK(info.external_attr >> 16)
                        yield in_archive(info.filename, info.file_size, partial(archive.read, info), link, why)
        else:
            with tarfile.open(source, "r|*") as archive:  # a stream, as one can't seek in a gzipped file
                for member in archive:
                    if not member.isdir():
                        read = archive.extractfile(member).read if member.isfile() else bytes
                        yield in_archive(member.name, member.size, once(read), not member.isfile())
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, NotImplementedError) as error:
        raise ValueError(f"{str(source)!r} is no whole zip or tar ({error}); name a folder or zip") from None


def in_folder(source: Path) -> Iterator[Found]:
    """All files of a folder; links are followed, but no folder is read twice."""
    refused, seen = [], {identity_of(source)}
    for folder, inner, files in os.walk(source, onerror=refused.append, followlinks=True):
        here = Path(folder).relative_to(source)
        for name in sorted(inner):
            own = identity_of(Path(folder, name))
            if own in seen:
                inner.remove(name)
                yield Found((here / name).as_posix(), 0, 0, bytes, "a link to a folder that is read already")
            seen.add(own)
        inner.sort()
        for path in (Path(folder, file) for file in sorted(files)):
            try:
                status, why = path.stat(), ""
                why = "" if stat.S_ISREG(status.st_mode) else "no file, but a pipe or device"
            except OSError:
                status, why = None, "a link to nothing"
            yield Found((here / path.name).as_posix(), status.st_size if status else 0,
                        status.st_mtime_ns if status else 0, path.read_bytes, why)
    for error in refused:
        yield Found(Path(error.filename).relative_to(source).as_posix(), 0, 0, bytes, "a folder that may not be read")


def identity_of(folder: Path) -> tuple[int, int] | None:
    """What tells a folder from all others, by whatever way it is reached."""
    try:
        status = folder.stat()
        return status.st_dev, status.st_ino
    except OSError:
        return None


def in_archive(name: str, size: int, read: Callable[[], bytes], link: bool, why: str = "") -> Found:
    """A file of an archive: links and names that lead out of it are none."""
    out = ".." in PurePosixPath(name).parts
    why = why or ("a link in an archive" if link else "a name that leads out of the archive" if out else "")
    return Found(name, size, 0, read, why)


def once(read: Callable[[], bytes]) -> Callable[[], bytes]:
    """`read`, but what was read is kept: a tar is a stream."""
    kept = []

    def again() -> bytes:
        if not kept:
            kept.append(read())
        return kept[0]

    return again


def reason_against(path: PurePosixPath, found: Found) -> str:
    """Why a file is passed over by its name, or its first bytes; "" for a picture."""
    if any(part.lower() in SYSTEM for part in path.parts[:-1]) or SYSTEM_FILES.match(path.name):
        return "made by a system (thumbnails, recycled files)"
    if any(part.startswith(".") for part in path.parts):
        return "hidden"
    if kind_by_name(path.name):
        return ""
    ending = path.suffix.lower() if 1 < len(path.suffix) <= 8 and path.suffix.isascii() else "no ending"
    if ending in RAW:  # its first bytes are those of a TIFF, whose first picture is a thumbnail
        return f"raw data of a camera ({ending})"
    if found.size <= 2**28 and kind_by_content(first_bytes(found)):
        return ""
    return f"of no known kind ({ending})"


def first_bytes(found: Found) -> bytes:
    """The first bytes of a file, none if it can't be read."""
    try:
        if isinstance(found.read, partial):  # of a zip
            archive, (info,) = found.read.func.__self__, found.read.args
            with archive.open(info) as content:
                return content.read(HEAD)
        if isinstance(getattr(found.read, "__self__", None), Path):
            with found.read.__self__.open("rb") as content:
                return content.read(HEAD)
        return found.read()[:HEAD]
    except Exception:  # of a hostile archive anything; it is passed over
        return b""


def kind_by_name(name: str) -> str:
    """The kind of a picture by its ending, "" if that says nothing."""
    lower = name.lower()
    return "NIfTI" if lower.endswith(".nii.gz") else ENDINGS.get(PurePosixPath(lower).suffix, "")


def kind_by_content(head: bytes) -> str:
    """The kind of a picture by its first bytes, "" if they say nothing."""
    return next((kind for at, magic, kind in MAGIC if head[at : at + len(magic)] == magic), "")


def stem_of(name: str) -> str:
    """The name of a file without folders and ending."""
    last = PurePosixPath(name).name
    return last[:-7] if last.lower().endswith(".nii.gz") else PurePosixPath(last).stem


def find_masks(pictures: dict) -> set[str]:
    """Names of masks: those that end so beside a picture of the same name, or lie in a folder of that name.

    Such a folder counts only where another one holds a picture for each of its names.
    """
    beside = {(str(PurePosixPath(name).parent), stem_of(name).lower()) for name in pictures}
    masks, folders = set(), {}
    for name in pictures:
        path = PurePosixPath(name)
        match = MASK_NAME.match(stem_of(name))
        if match and (str(path.parent), match[1].lower()) in beside:
            masks.add(name)
        if any(MASK_FOLDER.fullmatch(part) for part in path.parts[:-1]):
            folders.setdefault(bare(path), []).append(name)
    elsewhere = {bare(PurePosixPath(name)) for name in pictures
                 if not any(MASK_FOLDER.fullmatch(part) for part in PurePosixPath(name).parts[:-1])}
    return masks | {name for key, names in folders.items() if key in elsewhere for name in names}


def bare(path: PurePosixPath) -> str:
    """The stem of a picture, less a word for masks at its end: by that a picture and its mask are one."""
    stem = stem_of(path.name).lower()
    match = MASK_NAME.match(stem)
    return match[1] if match else stem

"""Files that are written whole or not at all, and told apart by their SHA-256."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import file_digest
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed to it at the end: nobody ever sees half a file, whatever fails."""
    half = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield half
        os.replace(half, path)
    finally:
        half.unlink(missing_ok=True)


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write beside `path`, then rename: a reader sees the old file or the new one, never half of one."""
    with replacing(Path(path)) as half:
        half.write_bytes(content)


def fingerprint(file: str | Path) -> str:
    """The SHA-256 of a file, in hexadecimal: rows of results are compared only where it is equal."""
    status = Path(file).stat()
    return fingerprint_at(Path(file), status.st_size, status.st_mtime_ns)


@cache
def fingerprint_at(file: Path, size: int, time: int) -> str:
    """The SHA-256 of a file as it was at that time."""
    with file.open("rb") as content:
        return file_digest(content, "sha256").hexdigest()


def list_changes(before: dict, now: dict) -> str:
    """What `now` says otherwise than `before`, in words; "" if it says nothing otherwise."""
    return "; ".join(f"{name} was {before.get(name)!r}, now {value!r}" for name, value in now.items()
                     if before.get(name) != value)


def list_names(names: tuple[str, ...]) -> str:
    """So many files, and the first names of them, in words."""
    return f"{len(names)} file(s) ({', '.join(ascii(name) for name in names[:5])}{', ...' if len(names) > 5 else ''})"

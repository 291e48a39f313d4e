"""Who is who: the identity of each picture, from folders, from names, from a table, or as its file says it."""

import csv
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np

from .finding import kind_by_name, stem_of

SPLIT = re.compile(r"(train|training|trn|val|valid|validation|dev|test|testing|tst|eval|holdout|gallery|probe|query|"
                   r"(fold|split)[_-]?\d+)([_-]?(set|data|images))?", re.I)  # folders that are called so are no people
CAMERA = re.compile(r"\d{3}(?=[\dA-Z_]*[A-Z_])[\dA-Z_]{5}|(?i:camera([ _-]?roll)?|screenshots?|"
                    r"(whatsapp|telegram) images|bursts?)")  # nor are those that cameras and phones make: 100APPLE
TABLES = (".csv", ".tsv", ".txt")
LABELS = {"patient": "by patient, as the DICOM files say", "label": "by the labels in the arrays",
          "image": "each image of an array is one of its own"}


class Identities(NamedTuple):
    """Who is in each picture (M,), a number from 0; how that was read; names to check it by; what looks wrong."""

    numbers: np.ndarray
    how: str
    examples: tuple[str, ...]
    warnings: tuple[str, ...] = ()


def read_identities(names: Sequence[str], labels: Sequence[tuple[str, int] | None], asked: str = "") -> Identities:
    """The identities of pictures by the `names` of their files (M,), and what the files say of them (`labels`).

    `asked`: "" as the files say it, else by folder; "folder"; "none": each picture is one of its own; a table in a
    file.csv, .tsv or .txt whose rows say file and identity; else a regular expression, whose group 1 (or all that it
    matches) is the identity.  ValueError if that fits no name.
    """
    if asked == "none":
        return Identities(np.arange(len(names)), "each picture is one of its own, as asked", ())
    if asked not in ("", "folder"):
        return by_table(names, Path(asked)) if is_table(asked) else by_pattern(names, asked)
    if not asked:
        labels = lend_patients(names, labels)
    told = [label for label in labels if label is not None] if not asked else []
    rest, passed = below_wrappers(sorted(set(names)), keep=asked == "folder")
    keys, own = [], set()
    for name, label in zip(names, labels):
        folder = rest[name].partition("/")[0] if "/" in rest[name] else ""
        own |= {name} if not folder and (label is None or asked) else set()
        keys.append(("", *map(str, label)) if label is not None and not asked else
                    ("folder", folder) if folder else ("file", name))
    folders = sorted({key[1] for key in keys if key[0] == "folder"})
    kinds = Counter(kind for kind, _ in told)
    how = [LABELS[kind] for kind in kinds] + [f"each sub-folder is one{passed}"] * bool(folders)
    if own and (folders or kinds):
        how.append(f"each of {len(own)} files in no sub-folder is one of its own")
    elif own:
        how.append(f"each file is one of its own: there are no sub-folders{passed}")
    warned = [f"folders named {', '.join(map(repr, map(str, odd)))} are taken for identities"
              for odd in [[name for name in folders if SPLIT.fullmatch(name)]] if odd]
    warned += shared_stems(names) if not folders and not kinds and not asked else []
    shown = () if "patient" in kinds else tuple(folders[:3])  # folders there may be named after patients
    return Identities(number(keys), "; ".join(how), shown, tuple(warned))


def is_table(asked: str) -> bool:
    """Whether identities are asked for by the name of a table."""
    return asked.lower().endswith(TABLES)


def lend_patients(names: Sequence[str], labels: Sequence[tuple[str, int] | None]) -> list[tuple[str, int] | None]:
    """`labels`, but what lies beside or below the files of one patient alone, as photographs do, is that patient's."""
    inside: dict[str, set] = {}
    for name, label in zip(names, labels):
        if label is not None and label[0] == "patient":
            for folder in map(str, PurePosixPath(name).parents):
                inside.setdefault(folder, set()).add(label)

    def owner(name: str) -> tuple[str, int] | None:
        nearest = next((inside[str(folder)] for folder in PurePosixPath(name).parents if str(folder) in inside), ())
        return next(iter(nearest)) if len(nearest) == 1 else None

    return [owner(name) if label is None and inside else label for name, label in zip(names, labels)]


def below_wrappers(names: Sequence[str], keep: bool = False) -> tuple[dict[str, str], str]:
    """Each name without the folders at the top that tell nobody apart, and what these were, in words.

    They are: one that holds all pictures, and folders that are all called like splits, or as cameras call them.
    With `keep` the last folder stays.
    """
    rest, passed = {name: name for name in names}, []
    while True:
        inside = {name: left for name, left in rest.items() if "/" in left}
        tops = sorted({left.partition("/")[0] for left in inside.values()})
        deeper = any(left.count("/") > 1 for left in inside.values())
        loose = len(inside) < len(rest)
        splits = len(tops) > 1 and any(all(kind.fullmatch(top) for top in tops) for kind in (SPLIT, CAMERA))
        if not tops or not (len(tops) == 1 or splits) or (not deeper and (keep or loose)):
            break
        rest |= {name: left.partition("/")[2] for name, left in inside.items()}
        passed.append(", ".join(tops))
    return rest, f" (below {' / '.join(passed)})" if passed else ""


def by_pattern(names: Sequence[str], pattern: str) -> Identities:
    """The identities that a regular expression finds in names; one that it does not fit is one of its own."""
    try:
        found = [re.search(pattern, name) for name in names]
    except re.error as error:
        raise ValueError(f"identity {pattern!r} is no regular expression ({error}); say folder, none, a file.csv, or "
                         r"one such as '^(.+)_\d+'") from None
    if not any(found):
        raise ValueError(f"identity {pattern!r} fits no name, such as {names[0]!r}; choose another pattern")
    people = [match and (match[1] if match.re.groups else match[0]) for match in found]
    return told(names, people, f"by the pattern {pattern}")


def by_table(names: Sequence[str], file: Path) -> Identities:
    """The identities that a table of files and identities says, by whole names, else by names without folders."""
    table = {row[0]: row[1] for row in read_table(file) if len(row) > 1}
    last = Counter(PurePosixPath(name).name for name in set(names))
    people = []
    for name in names:
        short = PurePosixPath(name).name
        keys = [name, *([short, stem_of(name)] if last[short] == 1 else [])]
        people.append(next((table[key] for key in keys if key in table), None))
    if not any(person is not None for person in people):
        raise ValueError(f"identity {str(file)!r} names no picture, such as {names[0]!r}; "
                         "its rows must be file,identity")
    return told(names, people, f"by the table {file.name}")


def read_table(file: Path) -> list[list[str]]:
    """The rows of a table, whatever stands between its cells; ValueError if it is none."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        head = text.partition("\n")[0]
        between = max(",;\t", key=head.count) if set(",;\t") & set(head) else " "
        return [[cell.strip() for cell in row] for row in csv.reader(text.splitlines(), delimiter=between) if row]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ValueError(f"{str(file)!r} can't be read as a table ({reason}); name a file.csv") from None


def told(names: Sequence[str], people: list[str | None], how: str) -> Identities:
    """Identities that a pattern or a table tells; whoever it leaves out is one of its own."""
    keys = [("folder", person) if person is not None else ("file", name) for name, person in zip(names, people)]
    left = sum(person is None for person in people)
    warned = [f"{left} of {len(names)} pictures get no identity {how}: each is one of its own"] * bool(left)
    return Identities(number(keys), how, tuple(sorted({person for person in people if person is not None})[:3]),
                      tuple(warned))


def shared_stems(names: Sequence[str]) -> list[str]:
    """A warning if names without folders share beginnings, as Ann_1 and Ann_2 do: then people stand in both splits."""
    stems = (stem_of(name) if kind_by_name(name) else PurePosixPath(name).name for name in sorted(set(names)))
    found = Counter(re.sub(r"[_\-. ]*\(?\d+\)?$|[_\-.][^_\-.]*$", "", stem) for stem in stems)
    several = [stem for stem, count in found.most_common() if count > 1 and stem]
    together = sum(found[stem] for stem in several)
    if len(several) < 2 or together < 0.5 * len(set(names)):
        return []
    some = ", ".join(f"{stem} ({found[stem]})" for stem in several[:3])
    return [f"{together} names share {len(several)} beginnings: {some}. If these are people or things, say --identity, "
            r"for example --identity '([^/]+)[_\-. ]\w+\.' (group 1 is who it is); each picture is now one of its own"]


def number(keys: list[tuple]) -> np.ndarray:
    """Numbers from 0 in the order of the sorted keys."""
    position = {key: i for i, key in enumerate(sorted(set(keys)))}
    return np.array([position[key] for key in keys], dtype=int)

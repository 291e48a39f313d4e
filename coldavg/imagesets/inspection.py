"""What is there and what is taken of it: one honest list, for `coldavg data`, for a report, and before training."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import PurePosixPath

SHOWN = 3  # names of each kind that are shown
FLAT = 6.0  # levels of 255: pictures whose values lie closer together (standard deviation) are near-black, or blank
CUT = 0.75  # of a picture, as it is cropped: less is warned about


@dataclass(frozen=True)
class Inspection:
    """The fate of every file of a source, and what was read from it.

    `passed` and `broken`: by reason, how many files and some of their names.  `sizes`: the smallest and the largest
    picture (W, H); `used`: width, height and channels.  `levels` of pictures of 8 bits, and by kind the scale of all
    others.  `shape`: mean and least share that cropping keeps.  `frames`: of so many files only the first of so
    many frames is read.  `near_copies` is None where they are not looked for.
    """

    files: int
    images: int
    formats: dict[str, int]
    channels: dict[str, int]
    bits: dict[str, int]
    sizes: Sequence[Sequence[int]]
    used: tuple[int, int, int]
    fit: str
    shape: tuple[float, float]
    levels: tuple[float, float] | None
    scales: dict[str, str]
    contrast: float
    frames: tuple[int, int]
    identities: int
    identities_how: str
    identities_examples: tuple[str, ...]
    copies: int
    near_copies: int | None
    passed: dict[str, dict] = field(default_factory=dict)
    broken: dict[str, dict] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def as_json(self) -> dict:
        """The same as data of JSON's kinds."""
        return asdict(self)

    def lines(self) -> dict[str, str]:
        """The same in words, line by line."""
        lines = {"files": f"{self.files} seen, {self.images} images read from them",
                 "formats": listed(self.formats), "channels": f"{listed(self.channels)}; bits a value: "
                 f"{listed({f'{bits} bits': count for bits, count in self.bits.items()})}",
                 "levels": self.say_levels(), "sizes": self.say_sizes(),
                 "identities": f"{self.identities}: {self.identities_how}{self.say_examples()}",
                 "copies": self.say_copies()}
        if self.frames[0]:
            lines["frames"] = f"{self.frames[0]} files hold {self.frames[1]} frames; the first of each is read"
        lines["passed over"] = listed_names(self.passed) or "nothing"
        lines["broken"] = listed_names(self.broken) or "none"
        if self.notes:
            lines["changed"] = listed(self.notes)
        return lines | {f"warning {i}": warning for i, warning in enumerate(self.warnings, 1)}

    def say_examples(self) -> str:
        """Some identities, to check them by."""
        return f"; such as {', '.join(map(ascii, self.identities_examples))}" if self.identities_examples else ""

    def say_copies(self) -> str:
        """How many copies there are, and what becomes of them."""
        exact = f"{self.copies} of the very pixels of another image"
        if self.near_copies is None:
            return f"{exact}; near-copies are not looked for in sets that have a name"
        kept = "; all of one picture stay on one side of the split, and no two are in one average"
        return f"{exact}, {self.near_copies} near-copies of one{kept * bool(self.copies + self.near_copies)}"

    def say_levels(self) -> str:
        """The range of levels used, and the scale of what has other than 8 bits."""
        said = [f"{self.levels[0]:g} to {self.levels[1]:g} of 0 to 255"] if self.levels else []
        said += [f"{kind}: {scale}" for kind, scale in self.scales.items()]
        return "; ".join(said)

    def say_sizes(self) -> str:
        """How large the pictures are, how large they are used, and what becomes of the rest."""
        smallest, largest = (f"{wide} x {tall}" for wide, tall in self.sizes)
        kept, least = (f"{100 * share:.0f} %" for share in self.shape)
        fate = {"crop": f"cropped to the middle square, which keeps {kept} of a picture (at least {least})",
                "pad": f"padded to a square, of which a picture fills {kept} (at least {least})",
                "stretch": f"stretched to a square: the shorter side was {kept} of the longer (at least {least})"}
        width, height, channels = self.used
        return (f"{smallest} to {largest}, {fate[self.fit]}, used at {width} x {height} in "
                f"{'one channel' if channels == 1 else f'{channels} channels'}")


def listed(counts: dict[str, int]) -> str:
    """Counts in words."""
    return ", ".join(f"{name} {count}" for name, count in counts.items())


def listed_names(reasons: dict[str, dict]) -> str:
    """Files by reason, how many and some of their names, in words."""
    return "; ".join(f"{each['count']} {why} ({', '.join(map(ascii, each['examples']))}"
                     f"{', ...' if each['count'] > len(each['examples']) else ''})" for why, each in reasons.items())


def some_of(names: Sequence[str], patients: bool = False) -> dict:
    """How many names, and the first of them; without their folders, where these may be named after `patients`."""
    shown = [PurePosixPath(name).name if patients else name for name in names[:SHOWN]]
    return {"count": len(names), "examples": shown}


def warnings_of(fact: dict, fit: str, images: int, lost: int) -> list[str]:
    """What in the decoded pictures looks wrong: lost files, strange shapes, no contrast."""
    found = []
    if lost > max(1, 0.1 * (images + lost)):
        found.append(f"{lost} files that ought to be pictures are not read")
    if fit == "crop" and fact["kept"][0] < CUT:
        found.append(f"cropping keeps only {100 * fact['kept'][0]:.0f} % of a picture; --fit pad keeps all of it")
    if fit == "stretch" and fact["kept"][0] < CUT:
        found.append("stretching changes shapes; --fit pad keeps them")
    if fact["contrast"] < FLAT:
        found.append(flat(fact["contrast"]))
    elif fact["flat"] > 0.1 * images:
        found.append(f"{fact['flat']} of {images} images have hardly any contrast: they are near-black or blank")
    return found


def flat(contrast: float) -> str:
    """What is wrong with near-black pictures."""
    return (f"half of the images have hardly any contrast (standard deviation {contrast:.1f} of 255 levels): they are "
            "near-black or blank, perhaps data of 10 or 12 bits that were saved as 8 or in colour; an attack on them "
            "says nothing. Save them at their full range")

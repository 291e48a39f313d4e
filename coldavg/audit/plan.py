"""The plan of an audit: which images, how they are averaged, who attacks, and for how long."""

import json
import math
import shlex
from dataclasses import asdict, dataclass
from pathlib import Path

from ..evaluation.averaging import Averaging
from ..networks import manifest
from ..support.files import list_changes

UNKNOWN = "unknown"  # the form of averages that exist: only these show it
ALONE = "averages"  # the attacker who owns no image; a folder of that name is ./averages


@dataclass(frozen=True)
class Plan:
    """What an audit is to do.  The same plan with the same `steps` gives the same numbers on the same kind of machine.

    `data`: a folder, zip or named set, sub-folders are identities.  `k`: one number of images in an average,
    or several; with `weights`, `groups` and `published` as in `Averaging`.  `size`: the side in pixels to which
    images are reduced (None: 64, or that of the network).  `attacker`: "" trains on a part of the images, the
    training split; "averages" on averages of these alone, each image in one; a network, by name or file, was trained
    before; another folder of similar images is trained on.  `minutes` of training, all K together, are turned into
    steps unless `steps` are given.  `count`: the averages that are attacked.  `identity` and `fit` as in `open_images`.
    `averages`: a folder of averages that were published, of members that the table `members` says; nothing is then
    averaged here.
    """

    data: str
    k: tuple[int, ...] = (2,)
    weights: tuple[float, ...] | None = None
    groups: str = "random"
    published: str = "png"
    size: int | None = None
    attacker: str = ""
    minutes: float = 10
    steps: int | None = None
    count: int = 200
    seed: int = 0
    identity: str = ""
    fit: str = "crop"
    averages: str = ""
    members: str = ""

    def __post_init__(self):
        if not self.k or len(set(self.k)) < len(self.k):
            raise ValueError(f"k must be one or more different numbers, got {self.k}")
        if not 0 < self.minutes < math.inf or (self.steps is not None and self.steps < 1) or self.count < 2:
            raise ValueError("minutes must be above 0, steps at least 1 and count at least 2, got "
                             f"{self.minutes}, {self.steps} and {self.count}")
        if bool(self.averages) != bool(self.members):
            raise ValueError("averages and members go together: a folder of averages, and a file.csv whose rows say an "
                             f"average and its members; got {self.averages!r} and {self.members!r}")
        made = self.weights or self.attacker or (self.groups, self.published) != ("random", "png")
        if self.averages and made:
            raise ValueError("averages that exist say themselves how they were made: leave out weights, groups, "
                             "published and attacker")
        _ = self.averagings  # what can't be shows now
        if self.alone and (self.k != (2,) or self.groups != "random" or not self.averagings[0].plain):
            raise ValueError("attacker 'averages' learns from plain averages of two, grouped at random; got k "
                             f"{self.k}, groups {self.groups!r}, weights {self.weights}, published {self.published!r}")

    @property
    def averagings(self) -> list[Averaging]:
        """One for each K."""
        published = UNKNOWN if self.averages else self.published
        return [Averaging(k, self.weights, self.groups, published) for k in self.k]

    @property
    def given(self) -> bool:
        """Whether the attacker is a network that is there already."""
        return self.attacker in manifest() or self.attacker.endswith(".safetensors")

    @property
    def alone(self) -> bool:
        """Whether the attacker owns no image, only published averages."""
        return self.attacker == ALONE

    def command(self) -> str:
        """The command that gives the same numbers again."""
        words = ["coldavg", "audit", self.data]
        for name, value in asdict(self).items():
            usual = Plan.__dataclass_fields__[name].default
            if name not in ("data", "minutes") and value != usual:
                words += [f"--{name}", ",".join(map(str, value)) if isinstance(value, tuple) else str(value)]
        return shlex.join([*words, "--out", "again"])


def read_plan(plan: Plan, sha256: str, file: Path) -> dict | None:
    """What an audit of these images by this plan, begun before, wrote into `file`; None if there is none.

    `sha256` is that of the images learned from.  ValueError if the file is damaged, or holds another plan.
    """
    asked = describe_plan(plan, sha256)
    try:
        if not file.exists():
            return None
        held = json.loads(file.read_text())
        other = list_changes(held["asked"], asked)
        if not other:
            return {name: held[name] for name in ("steps", "start", "blurs")}
    except (ValueError, LookupError, TypeError, AttributeError):
        raise ValueError(f"{str(file)!r} is damaged; delete it, or choose another --out") from None
    raise ValueError(f"--out {str(file.parent)!r} holds another audit ({other}); choose another folder")


def describe_plan(plan: Plan, sha256: str) -> dict:
    """The plan as JSON gives it back."""
    return json.loads(json.dumps(asdict(plan) | {"sha256": sha256}))

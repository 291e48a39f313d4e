"""The rules of the house, for every module there is: imports run down, files stay small, no name hides another.

A rule is a function of a folder of source code, and returns what breaks it; a planted failure is found by each.
"""

import ast
import doctest
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

import pytest

import coldavg
from coldavg.cli import COMMANDS, main, parser

ROOT = Path(__file__).parent.parent
HOUSE = ROOT / "coldavg"
ROOMS = [  # from the ground up: each is imported by those that stand after it, never the other way
    "support", "mixing", "matching", "metrics", "publishing", "predictor", "samplers", "joint", "unmixing", "settings",
    "unet", "imagesets", "batches", "optimiser", "training", "remixing", "networks", "evaluation", "audit", "teach",
    "cli"]
CORE = ["mixing", "matching", "predictor", "samplers", "unmixing", "joint", "unet", "settings", "batches", "optimiser",
        "training", "metrics"]
BEYOND = {"audit", "teach", "cli", "evaluation", "networks", "imagesets"}  # what the core does without ...
READERS = {"batches", "training"}  # ... but for those that read image sets
ALONE = {  # all that these import of the package
    "mixing": set(), "matching": set(), "predictor": set(), "samplers": {"mixing"}, "unet": {"settings"},
    "joint": {"mixing", "predictor"}, "optimiser": {"support.device", "unet"},
    "metrics": {"matching", "support.pixels"},
    "publishing": {"mixing", "support.pixels"}, "support.pixels": set(), "support.figures": {"support.pixels"},
    "imagesets.finding": set(), "imagesets.pictures": set(), "imagesets.scales": set(), "imagesets.copies": set(),
    "imagesets.inspection": set(), "imagesets.identities": {"imagesets.finding"},
    "imagesets.arrays": {"imagesets.pictures"}, "imagesets.scans": {"imagesets.pictures"},
    "imagesets.reading": {"imagesets.arrays", "imagesets.finding", "imagesets.pictures", "imagesets.scans"},
    "imagesets.tuples": {"imagesets.opening"}, "evaluation.archive": set(), "audit.embedding": set(),
    "audit.privacy": set(), "audit.verdict": set(), "audit.report": {"support.figures", "support.pixels"},
    "audit.measure": {"evaluation.archive", "evaluation.averaging", "evaluation.membership", "imagesets.opening",
                      "metrics", "support.pixels"},
    "teach.oracle": {"mixing", "predictor"}, "teach.exercises": set()}
OVERRIDES = {("nn.Module", "forward"), ("torch.optim.Optimizer", "step")}  # of others, who say what these do
OLD_WORDS = {"marks", "order_blind_loss", "accept_limit", "places", "waves", "added"}


class Module(NamedTuple):
    """A module: its file, its source, whether it is the __init__ of a folder."""

    path: Path
    tree: ast.Module
    folder: bool


def modules(house: Path) -> dict[str, Module]:
    """Every module by its name in the package: "" (the top), "mixing", "cli" (its __init__), "cli.train"."""
    found = {}
    for path in sorted(house.rglob("*.py")):
        *folder, name = path.relative_to(house).with_suffix("").parts
        inside = name == "__init__"
        found[".".join(folder if inside else [*folder, name])] = Module(path, ast.parse(path.read_text()), inside)
    return found


def imports(house: Path) -> dict[str, set[str]]:
    """What each module imports of the package, inside functions too; what it asks the top for begins with a dot."""
    every = modules(house)
    used: dict[str, set[str]] = {name: set() for name in every}
    for name, module in every.items():
        here = name.split(".") if name else []
        here = here if module.folder else here[:-1]
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                asked = [alias.name.split(".") for alias in node.names]
                used[name] |= {".".join(parts[1:]) or "." for parts in asked if parts[0] == house.name}
            elif isinstance(node, ast.ImportFrom):
                source = (node.module or "").split(".") if node.module else []
                if node.level:
                    source = here[: len(here) + 1 - node.level] + source
                elif source[0] == house.name:
                    source = source[1:]
                else:
                    continue
                inner = {alias.name: ".".join([*source, alias.name]) for alias in node.names}
                used[name] |= {path if path in every else ".".join(source) or f".{one}" for one, path in inner.items()}
    return used


def upward(house: Path, rooms: list[str] = ROOMS) -> list[str]:
    """Modules in no room, and imports that do not run down; the top itself imports nothing before it is asked."""
    wrong = []
    for name, used in imports(house).items():
        room = name.split(".")[0]
        height = rooms.index(room) if room in rooms else -1
        if name and height < 0:
            wrong.append(f"{name} stands in no order")
        wrong += [f"{name or 'the top'} imports {target}" for target in used - {".__version__"}
                  if (other := target.split(".")[0]) not in rooms or rooms.index(other) > height]
    return sorted(wrong)


def circles(house: Path) -> list[str]:
    """Modules that import themselves, by way of others."""
    used, wrong = imports(house), []
    for name in used:
        reached, left = set(), {name}
        while left:
            left = set().union(*(used.get(one, set()) for one in left)) - reached
            reached |= left
        wrong += [name] if name in reached else []
    return wrong


def outward(house: Path) -> list[str]:
    """What the core imports of the rest."""
    return [f"{name} imports {target}" for name, used in imports(house).items() if name in CORE for target in used
            if target.split(".")[0] in BEYOND - ({"imagesets"} if name in READERS else set())]


def too_long(house: Path, longest: int = 300, core: int = 1400, samplers: int = 170) -> list[str]:
    """Files of more lines than `longest`; a core, and samplers, that are not under theirs."""
    length = {name: len(module.path.read_text().splitlines()) for name, module in modules(house).items()}
    wrong = [f"{name}: {lines} lines" for name, lines in length.items() if lines > longest]
    together = sum(length.get(name, 0) for name in CORE)
    return (wrong + [f"the core: {together} lines"] * (together >= core)
            + [f"samplers: {length['samplers']} lines"] * (length.get("samplers", 0) >= samplers))


def not_of_samplers(house: Path) -> list[str]:
    """What stands in samplers.py beside Guess, Step, Sampler, the registry and step functions of five lines."""
    wrong = []
    for node in modules(house)["samplers"].tree.body:
        if isinstance(node, ast.FunctionDef) and node.name != "sampler":
            body = node.body[1:] if ast.get_docstring(node) else node.body
            if not node.decorator_list or ast.unparse(node.decorator_list[0]).partition("(")[0] != "sampler":
                wrong.append(f"{node.name} is no step function")
            elif node.end_lineno - body[0].lineno > 4:
                wrong.append(f"{node.name} has more than five lines")
        elif isinstance(node, ast.ClassDef | ast.Assign | ast.AnnAssign):
            name = node.name if isinstance(node, ast.ClassDef) else ast.unparse(next(iter(targets(node))))
            wrong += [] if name in {"Guess", "Step", "Sampler", "SAMPLERS", "SAME_AS"} else [f"{name} stands there"]
        elif not isinstance(node, ast.Import | ast.ImportFrom | ast.FunctionDef) and node is not docstring(node):
            wrong.append(f"line {node.lineno} stands there")
    return wrong


def docstring(node: ast.stmt) -> ast.stmt | None:
    """The node itself if it is a mere text."""
    return node if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) else None


def targets(node: ast.Assign | ast.AnnAssign) -> list[ast.expr]:
    """What is assigned to."""
    return node.targets if isinstance(node, ast.Assign) else [node.target]


def bound(tree: ast.Module) -> set[str]:
    """The names that an __init__ defines, imports or exports; a module that is imported whole hides nothing."""
    names = set()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and node.module):
            names |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            own = {ast.unparse(target) for target in targets(node)}
            told = node.value.values if own == {"HOMES"} else [node.value] if own == {"__all__"} else []
            names |= own | {one.value for part in told for one in ast.walk(part) if isinstance(one, ast.Constant)}
    return names


def hiding(house: Path) -> list[str]:
    """Names of a folder that are also a module in it, and functions anywhere that are called as a top module is."""
    every, wrong = modules(house), []
    for name, module in every.items():
        start = f"{name}." if name else ""
        inside = {other.removeprefix(start).split(".")[0] for other in every if other.startswith(start)} - {""}
        wrong += [f"{name or 'the top'} has a name {one}, and a module"
                  for one in sorted(bound(module.tree) & inside) if module.folder]
    tops = {name.split(".")[0] for name in every} - {""}
    return wrong + [f"{place[:-1]} has a function {node.name}, as a module is called"
                    for place, node in functions(house) if node.name in tops and place.endswith(":")]


def functions(house: Path) -> Iterator[tuple[str, ast.FunctionDef]]:
    """Every public function, and method of a public class, by MODULE:CLASS. or MODULE:."""
    for name, module in modules(house).items():
        for node in module.tree.body:
            yield from [(f"{name}:", node)] * isinstance(node, ast.FunctionDef)
            if isinstance(node, ast.ClassDef):
                yield from [(f"{name}:{node.name}.", one) for one in node.body if isinstance(one, ast.FunctionDef)]


def too_many(house: Path, most: int = 8) -> list[str]:
    """Functions and methods with more parameters, but `unmix`.  Dataclasses are records, and have no list of them."""
    wrong = []
    for place, node in functions(house):
        given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        given = [one for one in given if one.arg not in ("self", "cls")]
        wrong += [place + node.name] if len(given) > most and place + node.name != "unmixing:unmix" else []
    return wrong


def undocumented(house: Path) -> list[str]:
    """Modules, public classes, functions and methods without a docstring, their own or that of what they override."""
    every = modules(house)
    wrong = [name for name, module in every.items() if not ast.get_docstring(module.tree) and "__main__" not in name]
    classes = {node.name: node for module in every.values() for node in module.tree.body
               if isinstance(node, ast.ClassDef)}
    wrong += [name for name, node in classes.items() if not ast.get_docstring(node)]
    for place, node in functions(house):
        owner = classes.get(place.partition(":")[2].rstrip("."))
        above = [ast.unparse(base) for base in owner.bases] if owner else []
        told = [one for base in above if base in classes for one in classes[base].body
                if isinstance(one, ast.FunctionDef) and one.name == node.name and ast.get_docstring(one)]
        told += [base for base in above if (base, node.name) in OVERRIDES]
        if not (node.name.startswith("_") or ast.get_docstring(node) or told):
            wrong.append(place + node.name)
    return wrong


def identifiers(tree: ast.Module) -> Iterator[tuple[str, bool]]:
    """Every name in a source, and whether it is bound there: assigned, a parameter, defined or imported."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id, not isinstance(node.ctx, ast.Load)
        elif isinstance(node, ast.Attribute):
            yield node.attr, False
        elif isinstance(node, ast.arg):
            yield node.arg, True
        elif isinstance(node, ast.keyword):
            yield node.arg or "", False
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name, True
        elif isinstance(node, ast.alias):
            yield node.asname or node.name, True


def wrong_words(folder: Path) -> list[str]:
    """Old words that are names still, and generators that are called `random`."""
    return [f"{name or folder.name}: {word}" for name, module in modules(folder).items()
            for word, binds in identifiers(module.tree) if word in OLD_WORDS or (word == "random" and binds)]


def test_imports_run_down_and_every_module_stands_in_the_order():
    assert upward(HOUSE) == [] and circles(HOUSE) == []
    assert {name.split(".")[0] for name in modules(HOUSE)} == {"", *ROOMS}, "no room is empty"
    assert [room for room in ROOMS if not list((ROOT / "tests").glob(f"test_{room}*.py"))] == [], "each has its tests"


def test_the_core_knows_nothing_of_what_is_built_on_it():
    assert outward(HOUSE) == [] and set(CORE) < set(modules(HOUSE))


def test_imports_run_one_way():
    """These stand on their own, or on no more than that."""
    used = imports(HOUSE)
    assert {name: used[name] - allowed for name, allowed in ALONE.items()} == {name: set() for name in ALONE}


def test_the_package_can_be_read_in_an_hour():
    """The heart of it: the mathematics, the network and its training; the rest is tools around them."""
    assert too_long(HOUSE) == [] and len(modules(HOUSE)) > 50


def test_samplers_are_step_functions_and_nothing_else():
    assert not_of_samplers(HOUSE) == []
    assert all(re.search(rf"^def {name}\(s: Step\)", (HOUSE / "samplers.py").read_text(), re.M)
               for name in coldavg.SAMPLERS), "each by its name"


def test_no_name_hides_a_module():
    assert hiding(HOUSE) == []


def test_nothing_takes_more_than_eight_parameters():
    assert too_many(HOUSE) == [] and too_many(HOUSE, 7) != []


def test_everything_public_has_a_docstring():
    assert undocumented(HOUSE) == []


@pytest.mark.parametrize("folder", [HOUSE, ROOT / "scripts"], ids=lambda folder: folder.name)
def test_old_words_are_gone_and_random_is_no_generator(folder):
    assert wrong_words(folder) == []


@pytest.mark.parametrize("name", [name for name, module in modules(HOUSE).items() if ">>>" in module.path.read_text()])
def test_the_examples_of_docstrings_run(name):
    tried = doctest.testmod(import_module(f"coldavg.{name}"))
    assert tried.attempted > 0 and tried.failed == 0


def test_the_public_names_are_few_and_each_is_what_its_home_says():
    assert coldavg.__all__ == sorted(name for names in coldavg.HOMES.values() for name in names)
    assert 20 <= len(set(coldavg.__all__)) == len(coldavg.__all__) <= 24
    assert set(dir(coldavg)) == {*coldavg.__all__, *coldavg.FOLDERS, "__version__"}
    for name, home in coldavg.HOME_OF.items():
        found = getattr(coldavg, name)
        assert found is getattr(import_module(f"coldavg.{home}"), name)
        if name != "SAMPLERS":
            assert found.__module__ == f"coldavg.{home}", "where it is defined"
            assert (found.__doc__ or "").strip(), name
    assert all(chosen.step.__doc__ for chosen in coldavg.SAMPLERS.values())
    assert all(getattr(coldavg, name) is sys.modules[f"coldavg.{name}"] for name in coldavg.FOLDERS)
    for name in ("anything", "manifest", "order_blind_loss"):
        with pytest.raises(AttributeError, match=f"coldavg has no '{name}'; it has .*SAMPLERS, .*, and the folders"):
            getattr(coldavg, name)


def imported(code: str) -> tuple[set[str], str]:
    """All modules that a new process holds after `code`, and what that wrote."""
    watch = "import sys\nprint('held', *sys.modules)"
    run = subprocess.run([sys.executable, "-c", f"{code}\n{watch}"], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    said, _, held = run.stdout.rpartition("held ")
    return set(held.split()), said


SLOW = {"torch", "numpy", "scipy", "PIL", "matplotlib", "torchmetrics", "accelerate"}


def test_the_import_alone_is_fast():
    held, _ = imported("import coldavg")
    assert not held & SLOW and not [name for name in held if name.startswith("coldavg.")]
    held, _ = imported("import coldavg\ncoldavg.mix")
    assert {"torch", "coldavg.mixing"} <= held, "this test would see it"


@pytest.mark.parametrize("word", ["--help", "--version"])
def test_what_needs_no_network_does_not_wait_for_pytorch(word):
    held, said = imported(f"from coldavg.cli import main\ntry:\n    main(['{word}'])\nexcept SystemExit:\n    pass")
    assert not held & SLOW
    assert coldavg.__version__ in said if word == "--version" else all(command in said for command in COMMANDS)


def test_the_help_of_training_says_what_every_setting_is(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "1000")  # no line is wrapped
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--help"])
    said = capsys.readouterr().out
    for setting in fields(coldavg.Settings):
        text = setting.metadata["help"]
        assert len(text) > 5 and "see settings" not in text.lower(), setting.name
        if setting.name != "channels":  # the images say
            option = re.escape(f"--{setting.name.replace('_', '-')}")
            assert re.search(rf"^  {option}[ ,].*\s+{re.escape(text)}", said, re.M), setting.name


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_every_command_is_explained(command):
    commands, = (action for action in parser([command])._actions if action.choices)
    options = commands.choices[command]._actions
    assert len(options) > 1 and [option.dest for option in options if len(option.help or "") < 6] == []


def build(folder: Path, **files: str) -> Path:
    """A package in a folder, of the source of its modules; `__` stands for a slash, `high` and `house` for __init__."""
    for name, text in {"house": "", **files}.items():
        inside = {"house": "__init__", "high": "high/__init__"}.get(name, name.replace("__", "/"))
        path = folder / "house" / f"{inside}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder / "house"


UPWARD = {
    "an import that runs up": ({"low": "from .high import f"}, "low imports high"),
    "in a function": ({"low": "def f():\n    from .high.one import g"}, "low imports high.one"),
    "of the whole module": ({"low": "from . import high"}, "low imports high"),
    "by the full name": ({"low": "import house.high.one"}, "low imports high.one"),
    "from the full name": ({"low": "from house import high"}, "low imports high"),
    "from inside a folder": ({"middle__one": "from ..high import f"}, "middle.one imports high"),
    "by way of the top": ({"high": "from .. import f"}, "high imports .f"),
    "of the top itself": ({"middle": "import house"}, "middle imports ."),
    "a top that does not wait": ({"house": "from .low import f"}, "the top imports low"),
    "a module in no order": ({"new": ""}, "new stands in no order"),
    "a module of no order inside": ({"new__one": ""}, "new.one stands in no order"),
    "an import of such a one": ({"high__one": "from ..new import f"}, "high.one imports new"),
}


@pytest.mark.parametrize("case", UPWARD)
def test_a_planted_import_is_found(case, tmp_path):
    files, said = UPWARD[case]
    good = {"low": "import json", "middle": "from .low import f",
            "high": "from .. import __version__\nfrom .one import g",
            "high__one": "from .. import low\nfrom ..middle import f", "high__two": "from .one import g"}
    house = build(tmp_path, **good)
    assert upward(house, ["low", "middle", "high"]) == [] == circles(house)
    assert said in upward(build(tmp_path, **files), ["low", "middle", "high"])


@pytest.mark.parametrize("files", [
    {"high": "from .one import f", "high__one": "from . import g"},
    {"high__one": "from .two import f", "high__two": "def f():\n    from .three import g",
     "high__three": "from . import one"},
    {"high__one": "import house.high.one"},
])
def test_a_planted_circle_is_found(files, tmp_path):
    assert circles(build(tmp_path, **files)) != []


def test_a_planted_reach_out_of_the_core_is_found(tmp_path):
    house = build(tmp_path, networks="", imagesets__named="", joint="", mixing="from . import networks",
                  metrics="from .joint import f", batches="from .imagesets.named import f",
                  unet="def f():\n    from .imagesets import named")
    assert outward(house) == ["mixing imports networks", "unet imports imagesets.named"]


def test_planted_lengths_are_found(tmp_path):
    house = build(tmp_path, high__one="\n" * 301, mixing="\n" * 300, samplers="\n" * 169)
    assert too_long(house) == ["high.one: 301 lines"]
    four = dict.fromkeys(("mixing", "matching", "predictor", "unmixing"), "\n" * 290)
    build(tmp_path, high__one="", samplers="\n" * 170, **four)
    assert too_long(house) == ["samplers: 170 lines"]
    build(tmp_path, joint="\n" * 70)
    assert too_long(house) == ["the core: 1400 lines", "samplers: 170 lines"]


STEP = '@sampler("one", partner="state")\ndef one(s):\n    """Words."""\n'


@pytest.mark.parametrize("source, said", [
    (STEP + "    s.x\n" * 5, []), (STEP + "    s.x\n" * 6, ["one has more than five lines"]),
    ("def helper(s):\n    return s.x\n", ["helper is no step function"]),
    ("@cache\ndef helper(s):\n    return s.x\n", ["helper is no step function"]),
    ("class Loop:\n    pass\n", ["Loop stands there"]), ("LIMIT = 3\n", ["LIMIT stands there"]),
    ('"""Words."""\nfrom .mixing import on_path\nclass Step: ...\nSAMPLERS = {}\n', []),
    ("for x in range(3):\n    print(x)\n", ["line 1 stands there"]),
])
def test_what_is_planted_among_samplers_is_found(source, said, tmp_path):
    assert not_of_samplers(build(tmp_path, samplers=source)) == said


@pytest.mark.parametrize("files, said", [
    ({"high": "from .one import one"}, ["high has a name one, and a module"]),
    ({"high": "from .two import f as one"}, ["high has a name one, and a module"]),
    ({"high": "def one():\n    pass"}, ["high has a name one, and a module"]),
    ({"high": "one: int = 3"}, ["high has a name one, and a module"]),
    ({"high": '__all__ = ["two"]\ndef __getattr__(name):\n    pass'}, ["high has a name two, and a module"]),
    ({"house": 'HOMES = {"low": ("f", "high")}'}, ["the top has a name high, and a module"]),
    ({"high__two": "def low():\n    pass"}, ["high.two has a function low, as a module is called"]),
    ({"high": "from . import one\nfrom .two import f", "house": 'HOMES = {"low": ("f",)}'}, []),
    ({"high__two": "class A:\n    def low(self):\n        pass"}, []),
])
def test_a_planted_name_that_hides_a_module_is_found(files, said, tmp_path):
    assert hiding(build(tmp_path, **{"low": "", "high": "", "high__one": "", "high__two": "", **files})) == said


def test_planted_parameters_docstrings_and_words_are_found(tmp_path):
    nine = "a, b, c, d, e, f, *, g, h, i"
    house = build(tmp_path, low=f"def f({nine}):\n    pass\nclass A:\n    def g(self, {nine}):\n        pass\n",
                  unmixing=f'"""."""\ndef unmix({nine}):\n    """."""\ndef _h(self, a, b, c, d, e, f, g):\n    pass\n')
    assert too_many(house) == ["low:f", "low:A.g"]
    assert undocumented(house) == ["", "low", "A", "low:f", "low:A.g"]
    build(tmp_path, house='"""."""', low='"""."""\nclass A:\n    """."""\n    def f(self):\n        """."""\n'
          'class B(A):\n    """."""\n    def f(self):\n        pass\n    def g(self):\n        pass\n')
    assert undocumented(house) == ["low:B.g"], "what is overridden says what it does"
    words = "def f(random, *, marks):\n    return other.places(added=1)\nimport random\nrandom.random()\n'waves'\n"
    assert sorted(wrong_words(build(tmp_path, low=words))) == [
        "low: added", "low: marks", "low: places", "low: random", "low: random"]

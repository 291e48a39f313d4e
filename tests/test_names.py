"""Every code name that a page mentions is there: modules, functions, files, options; and what it shows in code runs."""

import argparse
import re
from importlib import import_module
from pathlib import Path

import nbformat
import pytest

import coldavg as ca
from coldavg.cli import COMMANDS, parser
from scripts.make_map import with_map

ROOT = Path(__file__).parent.parent
PAGES = {str(path.relative_to(ROOT)): path.read_text()
         for path in [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "book").glob("*.md"))]}
CELLS = {str(path.relative_to(ROOT)): nbformat.read(path, 4).cells for path in sorted((ROOT / "notebooks").glob("*"))
         if path.suffix == ".ipynb"}
PAGES |= {path: "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
          for path, cells in CELLS.items()}
CODE = [file.read_text() for folder in ("coldavg", "scripts") for file in (ROOT / folder).rglob("*.py")]
CODE += [cell.source for cells in CELLS.values() for cell in cells if cell.cell_type == "code"]
IDENTIFIERS = set(re.findall(r"[A-Za-z_]\w*", "\n".join(CODE))) | {file.stem for file in (ROOT / "tests").glob("*.py")}
FOLDERS = ("coldavg", "tests", "scripts", "results", "book", "notebooks", "benchmarks")


def resolve(name: str):
    """The object of a dotted name under coldavg, be it a module, or something in one; LookupError if there is none."""
    found = ca
    for number, part in enumerate(parts := name.split(".")[1:], 1):
        try:
            found = getattr(found, part)
        except AttributeError:
            try:
                found = import_module(".".join(["coldavg", *parts[:number]]))
            except ModuleNotFoundError:
                raise LookupError(name) from None
    return found


def dotted_names(text: str) -> set[str]:
    """The names under coldavg that a page mentions, in code, in a role or in a directive."""
    text = re.sub(r"\bca\.(?=\w)", "coldavg.", text)
    text = "\n".join(line for line in text.splitlines() if "coldavg.cli" not in line or "-m " not in line)
    return {name.rstrip(".") for name in re.findall(r"(?<![\w/.-])coldavg(?:\.[A-Za-z_]\w*)+", text)}


def paths(text: str) -> set[str]:
    """The files and folders of the repository that a page mentions in code."""
    return {found for found in re.findall(r"`((?:\w+/)[\w./*-]*)`", text) if found.split("/")[0] in FOLDERS}


def mistakes(text: str) -> list[str]:
    """What a page mentions that is not there."""
    missing = [path for path in paths(text) if not list(ROOT.glob(path.rstrip("/")))]
    missing += set(re.findall(r"`([a-z]+(?:_[a-z]+)+)[`(]", text)) - IDENTIFIERS
    for name in dotted_names(text):
        try:
            resolve(name)
        except LookupError:
            missing.append(name)
    return sorted(missing)


@pytest.mark.parametrize("page", PAGES)
def test_what_a_page_names_is_there(page):
    assert not mistakes(PAGES[page])


def test_a_planted_name_that_is_not_there_is_found():
    wrong = ("see `coldavg.release.TREATMENTS`, {func}`coldavg.unmixx`, `ca.mixx(x)`, `half_diference`, "
             "`coldavg/release.py`; but `ca.mix`, `half_difference` and `coldavg/mixing.py` are there")
    assert mistakes(wrong) == ["coldavg.mixx", "coldavg.release.TREATMENTS", "coldavg.unmixx", "coldavg/release.py",
                               "half_diference"]


def terms() -> set[str]:
    """The words that the glossary explains."""
    glossary = (ROOT / "book" / "glossary.md").read_text().split("```{glossary}")[1].split("```")[0]
    return set(re.findall(r"^(?!  )(\S.*)$", glossary, re.M))


def test_words_of_the_books_own_are_in_the_glossary():
    known = terms()
    assert len(known) > 40 and {"closed eyes", "known setting", "score", "look", "the average itself"} <= known
    marked = {word for text in PAGES.values() for word in re.findall(r"{term}`([^`<]+)`", text)}
    assert {word.lower() for word in marked} <= {word.lower() for word in known}


@pytest.mark.parametrize("page", CELLS)
def test_a_score_is_called_a_score(page):
    """It was a mark once; a marker of a plot and a verb are others."""
    code = "\n".join(cell.source for cell in CELLS[page] if cell.cell_type == "code")
    said = "\n".join(output.get("text", "") for cell in CELLS[page] for output in cell.get("outputs", []))
    assert re.findall(r"\b(?:\w+_)?marks?\b|\bmark_\w+", code + said) == []
    assert re.findall(r"\b(?:the|a|mean|its|full|of) marks?\b|\bmarks of\b", PAGES[page]) == []


def options(command: str) -> set[str]:
    """All options of a command."""
    commands = next(action for action in parser([command])._actions if isinstance(action, argparse._SubParsersAction))
    return {option for action in commands.choices[command]._actions for option in action.option_strings}


@pytest.mark.parametrize("page", PAGES)
def test_the_options_of_a_page_are_options(page):
    known = set().union(*(options(command) for command in COMMANDS))
    known |= {"--only", "--version", "--index-url"}  # of scripts, and of pip
    assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", PAGES[page])) <= known


def blocks(page: str) -> list[str]:
    return re.findall(r"^```python\n(.*?)^```", PAGES[page], re.S | re.M)


def test_the_code_of_the_page_on_adding_your_own_runs():
    pair = ca.load("digits")[:2]
    names = {"ca": ca, "mixture": ca.mix(pair), "network": ca.load_network("digits-original")}
    code = blocks("book/add_your_own.md")
    assert len(code) >= 3
    from coldavg.publishing import TREATMENTS

    samplers, treatments = dict(ca.SAMPLERS), dict(TREATMENTS)
    try:
        for block in code:
            exec(compile(block, "add_your_own.md", "exec"), names)
        assert "heun" in ca.SAMPLERS and "darken" in TREATMENTS
    finally:
        for table, before in ((ca.SAMPLERS, samplers), (TREATMENTS, treatments)):
            table.clear()
            table.update(before)


def test_the_map_of_the_readme_is_that_of_the_chapters():
    readme = (ROOT / "README.md").read_text()
    assert with_map(readme) == readme, "run python scripts/make_map.py"
    tests = re.findall(r"`(test_\w+\*?)`", readme)
    assert len(tests) > 10 and all(list((ROOT / "tests").glob(f"{name}.py")) for name in tests)

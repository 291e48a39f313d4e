"""The repository keeps its promises: versions agree, notation is one, the README's example runs, chapters are whole."""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from dataclasses import fields
from inspect import signature
from pathlib import Path

import nbformat
import numpy as np
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import coldavg
from coldavg.cli import main, parser
from coldavg.evaluation import Averaging, protocol
from coldavg.evaluation.attackers import NO_NETWORK
from coldavg.mixing import TARGETS
from coldavg.networks import manifest
from coldavg.settings import ORDERS, Settings
from coldavg.support.pixels import png
from scripts.ablations import FROM_A_NETWORK, FROM_NOTHING
from scripts.averages import STAGES
from scripts.defences import POINTS
from scripts.results import ROWS
from scripts.run_notebooks import INSTALL, REPOSITORY, asks

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
CHAPTERS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def pins():
    lines = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all(re.fullmatch(r"[\w.-]+==[\w.]+", line) for line in lines), "every version is exact"
    return {canonicalize_name(line.split("==")[0]): line.split("==")[1] for line in lines}


def wanted():
    extras = PROJECT["optional-dependencies"]
    return [Requirement(text) for text in [*PROJECT["dependencies"], *extras["book"], *extras["test"]]]


def test_the_pins_satisfy_the_project():
    versions = pins()
    for requirement in wanted():
        assert requirement.specifier.contains(versions[canonicalize_name(requirement.name)]), requirement


def test_what_is_installed_here_are_the_pins():
    from importlib.metadata import version

    for requirement in wanted():
        assert version(requirement.name).split("+")[0] == pins()[canonicalize_name(requirement.name)], requirement


def test_the_environment_for_binder_equals_the_project():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    plain = [part for part in environment["dependencies"] if isinstance(part, str)]
    pip, = (part["pip"] for part in environment["dependencies"] if isinstance(part, dict))
    assert pip == ["-r requirements.txt", "-e ."], "all the rest is what everybody shares"
    conda = dict(part.split("=") for part in plain if "=" in part)
    assert conda == {"python": conda["python"], "pytorch-cpu": pins()["torch"]}
    assert Requirement("python" + PROJECT["requires-python"]).specifier.contains(conda["python"])
    assert environment["name"] == PROJECT["name"] and environment["channels"] == ["conda-forge"]


NOTATION = (ROOT / "book" / "notation.md").read_text()
MATH = re.compile(r"\$\$(.+?)\$\$|\$(.+?)\$", re.S)
SIGNS = {"approx", "ast", "big", "Big", "cdot", "dots", "exp", "frac", "in", "langle", "le", "left", "leftarrow", "ln",
         "log", "lVert", "max", "mid", "min", "ne", "neq", "pi", "pm", "propto", "qquad", "quad", "rangle", "right",
         "rVert", "sqrt", "square", "sum", "tanh", "tfrac"}  # of LaTeX, and of all mathematics


def letters(text: str) -> set[str]:
    """The letters of the formulas of a text, each with its hat; without indices, words, operators and signs."""
    formulas = " ".join(one or other for one, other in MATH.findall(text))
    formulas = re.sub(r"\\(text|mathrm|begin|end|tag) *({[^}]*}|[dE])", " ", formulas)
    found = re.findall(r"\\(?:hat|tilde) *{?[A-Za-z]|\\[A-Za-z]+|[A-Za-z]", formulas)
    return {name for name in found if name.removeprefix("\\") not in SIGNS}


def symbols() -> list[list[str]]:
    """The rows of the table of symbols: symbol, meaning, code, shape, chapters."""
    lines = [line for line in NOTATION.splitlines() if line.startswith("| $")]
    return [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines]


def test_the_notation_page_is_that_of_the_code():
    known = {name for row in symbols() for name in re.findall(r"`(\w+)`", row[2])}
    names = {field.name for field in fields(coldavg.Step)} | {field.name for field in fields(coldavg.Point)}
    in_code = names | set(signature(coldavg.unmix).parameters) | {"images", "alpha_max", *TARGETS}
    assert known <= in_code, known - in_code
    assert {"x", "a", "b", "original", "remainder", "mixture", "alpha0"} <= known, "the symbol map of samplers.py"
    said = set(re.findall(r"`(\w+)`", NOTATION.split("What a network answers with")[1]))
    assert said == {"target", *TARGETS, "joint", "partner", "state", "mixture"}
    assert "brightest" in ORDERS and "`brightest`" in NOTATION


def test_no_symbol_has_two_rows():
    given = [one for row in symbols() for one in row[0].strip("$").split(", ") if one != r"\dots"]
    assert len(given) > 40 and {one for one in given if given.count(one) > 1} == {"x_1"}, "a source, and the one sought"


@pytest.mark.parametrize("number", [1, 2, 3, 10])
def test_the_symbols_of_a_chapter_are_those_of_the_table(number):
    chapter = nbformat.read(CHAPTERS[number - 1], 4)
    text = "\n".join(cell.source for cell in chapter.cells if cell.cell_type == "markdown")
    known = set().union(*(letters(row[0]) for row in symbols() if row[4] == "all" or str(number) in row[4].split(", ")))
    assert letters(text) - known == set()
    local = set().union(*(letters(row[0]) for row in symbols() if str(number) in row[4].split(", ")))
    assert local <= letters(text), "no row too many"


def test_a_planted_symbol_is_found():
    planted = r"as $\hat q_1 = \sqrt{\zeta}$, of the $\text{size}$ $$\mathrm E\,x \approx 2$$"
    assert letters(planted) == {r"\hat q", r"\zeta", "x"}


def test_the_symbol_map_of_the_samplers_is_that_of_the_step():
    import coldavg.samplers

    mapped = set(re.findall(r"s\.(\w+)", coldavg.samplers.__doc__))
    for name in ("a", "b"):
        assert f"s.{name}" in coldavg.samplers.__doc__
    assert mapped == {"x", "a", "b", "original", "remainder", "mixture", "alpha0"}
    assert mapped <= {field.name for field in fields(coldavg.Step)}


def readme(language):
    return re.search(rf"```{language}\n(import.*?|coldavg.*?)```", (ROOT / "README.md").read_text(), re.S)[1]


def test_the_example_of_the_readme_runs(tmp_path):
    code = readme("python")
    assert len([line for line in code.splitlines() if line]) <= 10
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=tmp_path)
    assert run.returncode == 0, run.stderr
    shape, scores, calls = run.stdout.splitlines()
    looks = coldavg.load_network("digits-joint").looks
    assert shape == f"torch.Size([2, 1, 28, 28]) {looks}" and calls == "20" and scores.startswith("tensor")


def test_the_commands_of_the_readme_run(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    commands = readme("bash").splitlines()
    assert len(commands) == 7
    (tmp_path / "average.png").write_bytes(png(protocol("digits", 2, 1)[1][0]))
    # the network of the example is trained on 20,000 mixtures; twenty show that the command is right
    for command in (line.replace("--mixtures 20000", "--mixtures 20").replace("rows.json", "rows.json --count 20")
                    for line in commands):
        assert main(shlex.split(command)[1:]) == 0, (command, capsys.readouterr().err)
    installed = [str(Path(sys.executable).parent / "coldavg"), *shlex.split(commands[-1])[1:]]
    assert subprocess.run(installed, capture_output=True, text=True).returncode == 0, "as the shell finds it"
    assert (tmp_path / "recovered" / "average-1.png").exists() and (tmp_path / "rows.json").exists()


def test_the_name_of_the_repository_stands_in_one_place():
    inside = subprocess.run(["git", "grep", "-l", REPOSITORY.removeprefix("https://"), "--", ":!notebooks"], cwd=ROOT,
                            capture_output=True, text=True).stdout.split()
    assert inside == ["_config.yml"]


def test_the_api_page_names_all_that_is_public():
    page = (ROOT / "book" / "api.md").read_text()
    named = set(re.findall(r"^\.\. auto(?:function|class):: (\w+)$", page, re.M))
    assert named | {"SAMPLERS"} == set(coldavg.__all__)
    assert "`SAMPLERS`" in page and "SAME_AS`" in page


def test_there_are_chapters_and_all_are_in_the_table_of_contents():
    listed = re.findall(r"file: (notebooks/\S+)", (ROOT / "_toc.yml").read_text())
    assert len(CHAPTERS) >= 3 and listed == [f"notebooks/{path.stem}" for path in CHAPTERS]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_chapter_is_committed_whole(path):
    book = nbformat.read(path, 4)
    nbformat.validate(book)
    code = [cell for cell in book.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1)), "run in order, from the start"
    assert not [o for cell in code for o in cell.outputs if o.output_type == "error"]
    tags = [tag for cell in code for tag in cell.metadata.get("tags", [])]
    assert tags.count("parameters") == 1
    assert [cell.source for cell in code if "install" in cell.metadata.tags] == [INSTALL] == [code[0].source]
    assert "remove-cell" in code[0].metadata.tags, "what Colab needs is nothing to read"
    text = "\n".join(cell.source for cell in book.cells)
    for needed in ("You will be able to", "Time", "You need", "## Where this fails", "## References"):
        assert needed in text, needed
    outputs = "".join(o.get("text", "") for cell in code for o in cell.outputs)
    headings = re.findall(r"^###? .*★", text, re.M)
    counts = {"stubs": text.count("raise NotImplementedError"), "stubs that fail": outputs.count("Not yet"),
              "solutions that pass": outputs.count("Right."), "hints": text.count("{dropdown} Hint"),
              "folded solutions": sum("\nattempt(" in one.source for one in code if "hide-cell" in one.metadata.tags)}
    assert 3 <= len(headings) <= 6 and set(counts.values()) == {len(headings)}, counts
    assert "Check yourself" in text, "questions with answers that need no kernel"
    assert [cell.id for cell in book.cells] == [f"cell-{number:03d}" for number in range(1, len(book.cells) + 1)]
    assert "widgets" not in book.metadata and not re.search(r"/(home|root|work|tmp)/", json.dumps(book)), "no own paths"


STUBS = 'Each stub below prints "Not yet" until you replace its body; then run the cell again.'
OPENS = "## Check yourself\n\nOpen an answer to see whether it is right, and why.\n"


def off_template(text: str) -> list[str]:
    """What in the text of a chapter is laid out unlike all other chapters: its beginning, questions and exercises."""
    found, counted = [], lambda numbers: [*map(int, numbers)] == [*range(1, len(numbers) + 1)]
    head = re.match(r"# .+?```{admonition} In this chapter\n\*\*You will be able to\*\*\n\n- .+?\n\n\*\*Time:\*\* "
                    r".+?\n\n\*\*You need\*\*\n\n\| what \| why \|\n\|---\|---\|\n((?:\| .+ \|\n)+)```", text, re.S)
    needed = re.findall(r"^\| (?:\[Chapter (\d+)\])?", head[1], re.M) if head else ["?"]
    chapters = [int(number) for number in needed if number.isdigit()]
    if not head or chapters != sorted(chapters) or "" in needed[: len(chapters)]:
        found.append("You need: a table of chapters in their order, then of all else")
    asked = text.split("```{admonition} Predict first\n")[1:]
    if len(asked) != text.count("::::{dropdown} "):
        found.append("Predict first: as many as there are answers")
    for question in asked:
        options = re.findall(r"^(\d)\. ", question.split("\n```")[0], re.M)
        answer = re.search(r"^::::{dropdown} (.*)\n\*\*(\d)", question, re.M)
        if not question.startswith(":class: tip\n") or not options or not counted(options):
            found.append("Predict first: a tip with numbered options")
        if not answer or answer[1] != "Answer" or answer[2] not in options:
            found.append("Predict first: followed by a dropdown Answer that begins with the right number in bold")
    questions = re.findall(r"{admonition} Question (\d)\n:class: tip\n", text)
    if OPENS not in text or not questions or not counted(questions) or "{admonition} Check yourself" in text:
        found.append("Check yourself: a heading, and questions that are counted")
    exercises = re.findall(r"^#+ Exercise (.*)", text, re.M)
    numbers = [one[1] for one in (re.fullmatch(r"(\d) ★{1,3}: .+", each) for each in exercises) if one]
    if f"## Exercises\n\n{STUBS}" not in text or len(numbers) < len(exercises) or not counted(numbers):
        found.append("Exercises: counted, with stars and a name, below what is said of stubs")
    return found


def text_of(path: Path) -> str:
    """The text cells of a chapter."""
    return "\n".join(cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "markdown")


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_all_chapters_are_laid_out_alike(path):
    assert off_template(text_of(path)) == []


@pytest.mark.parametrize("good, bad", [
    ("**You need**", "**You need:**"), ("**Time:**", "Time:"), ("{admonition} Predict first", "{tip} Predict first"),
    ("1. ", "a. "), ("{dropdown} Answer\n", "{dropdown} The answer\n"), ("Answer\n**", "Answer\n"),
    ("{admonition} Question 1", "{admonition} Check yourself"), ("## Check yourself", "## Questions"),
    ("### Exercise 1 ★: ", "### Exercise 1: "), ("### Exercise 2 ", "### Exercise 3 "), (STUBS, ""),
])
def test_a_planted_layout_is_found(good, bad):
    text = text_of(CHAPTERS[1])
    assert good in text and off_template(text) == []
    assert len(off_template(text.replace(good, bad))) >= 1


def spoiled(cells) -> list[str]:
    """Code cells right after a question whose output, or an assertion, a reader sees without opening anything."""
    found, asked = [], False
    for cell in cells:
        if cell.cell_type == "markdown":
            asked = asks(cell.source)
        elif asked and "hide-cell" not in cell.metadata.tags and (
                "assert" in cell.source
                or cell.outputs and not {"hide-output", "remove-output"} & set(cell.metadata.tags)):
            found.append(cell.id)
    return found


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_output_stands_between_a_question_and_its_answer(path):
    assert spoiled(nbformat.read(path, 4).cells) == []


def test_a_planted_spoiler_is_found():
    question = nbformat.v4.new_markdown_cell("```{admonition} Predict first\nHow many?\n```")
    answer = nbformat.v4.new_markdown_cell("::::{dropdown} Answer\nTwo.\n::::")
    shown = nbformat.v4.new_code_cell("print(2)", outputs=[nbformat.v4.new_output("stream", text="2")], id="it")
    for tags, cells in (([], ["it"]), (["hide-input"], ["it"]), (["hide-cell"], []), (["hide-output"], [])):
        shown.metadata.tags = tags
        assert spoiled([question, shown, answer]) == cells
    shown.metadata.tags = ["hide-output"]
    shown.source = "assert found == 2"
    assert spoiled([question, shown, answer]) == ["it"], "the code says it"
    shown.metadata.tags = []
    assert spoiled([shown, question, answer, shown]) == []


def test_training_and_timing_cells_are_followed_by_a_tolerance():
    for path in CHAPTERS:
        open_cell = None  # one whose outputs are not compared, and no assertion yet
        for cell in nbformat.read(path, 4).cells:
            if "nbval-ignore-output" in cell.metadata.get("tags", []):
                open_cell = cell
            elif cell.cell_type == "code" and open_cell:
                assert "assert" in cell.source, (path.name, open_cell.source[:80])
                open_cell = None


def test_the_tree_speaks_of_no_machine():
    files = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert files or not os.path.isdir(ROOT / ".git")
    for name in files:
        if name.endswith((".py", ".md", ".yml", ".toml", ".json", ".txt", ".ipynb")) and "test_repository" not in name:
            text = (ROOT / name).read_text()
            assert not re.search(r"/(work|root)/|file://", text), name


def test_all_settings_that_are_compared_can_be_trained():
    for start, trials in ((2e-3, FROM_A_NETWORK), (4e-3, FROM_NOTHING)):
        for changes in trials:
            usual = {"target": "joint", "order": "random", "loss": "log", "looks": 3, "learning_rate": start}
            assert Settings(**usual | changes)


def test_the_rows_of_averages_alone_hold_what_their_chapter_reads():
    rows = json.loads((ROOT / "results" / "averages.json").read_text())
    for row in rows:
        assert row["averages"] >= 300 and set(row["mixtures_seen"]) == set(STAGES) and row["stamp"]["commit"]
        low, high = row["interval"]
        assert low < row["two"] < high and row["average"] < row["two"]


def test_quoted_figures_say_where_they_were_read():
    for row in json.loads((ROOT / "results" / "quoted.json").read_text()):
        assert row["source"] and row["differs"] and row["method"] and 5 < row["psnr"] < 60


def test_the_commands_of_the_results_can_be_run():
    for name, lines in ROWS.items():
        for line in lines:
            words = f"evaluate --data x {line.format(data=name)} --out r.json".split()
            assert parser(words).parse_args(words).network in (*NO_NETWORK, *manifest())


def test_the_rows_of_defences_can_be_made_again_and_have_their_pictures():
    rows = json.loads((ROOT / "results" / "defences.json").read_text())
    pictures = np.load(ROOT / "results" / "defences.npz")
    for row in rows:
        point = f"{row['k']} {row['groups']} {row['published']}"
        assert row["published"] == "embedding" or point in POINTS[row["data"]]
        begun = manifest()[f"{row['data']}-joint"]["sha256"]
        assert row["stamp"]["network_sha256"] == begun, "its attacker began from an earlier network"
        Averaging(row["k"], None, row["groups"], row["published"].replace("embedding", "png"))  # or it raises
        shown = pictures[" ".join(str(row[word]) for word in ("data", "k", "groups", "published", "attacker"))]
        assert shown.shape[1] == 2 * row["k"] + 1 and shown.dtype == np.uint8
        assert row["psnr_interval"][0] <= row["psnr"] <= row["psnr_interval"][1] and row["stamp"]["commit"][-1] != "+"
    assert {row["data"] for row in rows} == set(POINTS) and len(rows) > 30

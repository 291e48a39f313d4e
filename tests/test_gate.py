"""The gate can fail: what is planted here must make the commands of `make test` fail.

A chapter with a failing cell, an exception inside a widget, a missing output, a changed number, an image set that
it does not declare; a page that leads nowhere; and a chapter without its data, which must be skipped by name.
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import nbformat
import psutil
import pytest
import torch
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook, new_output

from coldavg.support.pixels import png
from scripts.run_notebooks import normalise

ROOT = Path(__file__).parent.parent


def run_notebooks(*words, **environment):
    return subprocess.run([sys.executable, "scripts/run_notebooks.py", *map(str, words)], cwd=ROOT, capture_output=True,
                          text=True, env={**os.environ, **environment})


def write(folder, *sources, environment=None, **metadata):
    """A small chapter, executed and normalised as the real ones are."""
    folder.mkdir(exist_ok=True)
    book = new_notebook(cells=[new_markdown_cell("# Planted"), *map(new_code_cell, sources)], metadata=metadata)
    (folder / "draft").mkdir(exist_ok=True)
    nbformat.write(book, folder / "draft" / "planted.ipynb")
    made = run_notebooks(folder, folder / "draft" / "planted.ipynb", **environment or {})
    shutil.rmtree(folder / "draft")
    if made.returncode == 0:
        book = nbformat.read(folder / "planted.ipynb", 4)
    nbformat.write(normalise(book), folder / "planted.ipynb")
    return made


def plant(file, *cells, **metadata):
    """A small chapter as if it had been executed: each of `cells` a source and what it printed."""
    file.parent.mkdir(exist_ok=True)
    made = [new_code_cell(source, execution_count=1, outputs=[new_output("stream", text=text)] if text else [])
            for source, text in cells]
    nbformat.write(normalise(new_notebook(cells=made, metadata=metadata)), file)


def gate(folder, *words, **environment):
    """The very command of `make test`, on a folder of planted chapters."""
    words = [sys.executable, "-m", "pytest", "-c", "tests/notebooks.ini", "--rootdir", ".", *words, str(folder)]
    return subprocess.run(words, cwd=ROOT, capture_output=True, text=True, env={**os.environ, **environment})


def test_a_good_chapter_passes(tmp_path):
    made = write(tmp_path / "n", "print(1 + 1)", "import ipywidgets\nipywidgets.IntSlider(value=3)")
    assert made.returncode == 0, made.stderr
    passed = gate(tmp_path / "n")
    assert passed.returncode == 0 and "2 passed" in passed.stdout, passed.stdout


def test_a_failing_cell_fails(tmp_path):
    made = write(tmp_path / "n", "print(1)", "1 / 0")
    assert made.returncode != 0, "make book stops"
    assert "ZeroDivisionError" in made.stderr
    failed = gate(tmp_path / "n")
    assert failed.returncode == 1 and "1 failed" in failed.stdout, failed.stdout


WIDGET = """import ipywidgets
def redraw(value):
    {body}
ipywidgets.interactive_output(redraw, dict(value=ipywidgets.IntSlider()))"""


def test_an_exception_inside_a_widget_fails(tmp_path):
    """ipywidgets swallows it: the cell seems to run.  The committed chapter was good; then the callback broke."""
    made = write(tmp_path / "n", WIDGET.format(body="pass"))
    assert made.returncode == 0, made.stderr
    book = nbformat.read(tmp_path / "n" / "planted.ipynb", 4)
    book.cells[1].source = WIDGET.format(body="1 / 0")
    nbformat.write(normalise(book), tmp_path / "n" / "spoilt.ipynb")
    compared = gate(tmp_path / "n")
    assert compared.returncode == 1 and "1 failed, 1 passed" in compared.stdout, compared.stdout
    assert "ZeroDivisionError" in compared.stdout, compared.stdout


def test_an_output_that_is_missing_or_other_fails(tmp_path):
    for name, printed in (("good", "14.9 dB\n"), ("missing", ""), ("other", "14.8 dB\n")):
        plant(tmp_path / "n" / f"{name}.ipynb", ("print('14.9 dB')", printed))
    failed = gate(tmp_path / "n")
    assert failed.returncode == 1 and "2 failed, 1 passed" in failed.stdout, failed.stdout
    assert "FAILED good" not in failed.stdout and "FAILED missing" in failed.stdout, failed.stdout


def test_a_chapter_without_its_data_is_skipped_by_name(tmp_path):
    plant(tmp_path / "n" / "planted.ipynb", ("1 / 0  # would fail, if it ran", ""), coldavg={"needs": ["digits-full"]})
    plant(tmp_path / "n" / "other.ipynb", ("print(2)", "2\n"))
    nothing = {"COLDAVG_DATA": str(tmp_path), "COLDAVG_CACHE": str(tmp_path / "cache")}
    skipped = gate(tmp_path / "n", **nothing)
    assert skipped.returncode == 0 and "planted.ipynb: skipped" in skipped.stdout, skipped.stdout
    made = run_notebooks(tmp_path / "out", tmp_path / "n" / "planted.ipynb", **nothing)
    assert made.returncode == 0 and "planted.ipynb: not run" in made.stdout
    assert (tmp_path / "out" / "planted.ipynb").read_bytes() == (tmp_path / "n" / "planted.ipynb").read_bytes()


def test_an_image_set_that_is_not_declared_is_not_opened_though_it_is_there(tmp_path):
    with zipfile.ZipFile(tmp_path / "flowers.zip", "w") as copy:
        for number in range(4):
            copy.writestr(f"flowers/{number}.png", png(torch.full((3, 8, 8), number / 4)))
    here = {"COLDAVG_DATA": str(tmp_path), "COLDAVG_CACHE": str(tmp_path / "cache")}
    opens = "import coldavg\nprint(len(coldavg.load('flowers', 'all')))"
    declared = write(tmp_path / "n", opens, environment=here, coldavg={"needs": ["flowers"]})
    assert declared.returncode == 0, declared.stderr
    book = nbformat.read(tmp_path / "n" / "planted.ipynb", 4)
    book.metadata["coldavg"] = {"needs": []}
    nbformat.write(book, tmp_path / "n" / "silent.ipynb")
    failed = gate(tmp_path / "n", **here)
    assert failed.returncode == 1 and "1 failed, 1 passed" in failed.stdout, failed.stdout
    assert "FAILED silent" in failed.stdout and "COLDAVG_SETS" in failed.stdout, failed.stdout
    made = run_notebooks(tmp_path / "out", tmp_path / "n" / "silent.ipynb", **here)
    assert made.returncode != 0 and "COLDAVG_SETS" in made.stderr, made.stderr


def test_no_kernel_is_the_first_to_list_the_fonts(tmp_path):
    """It says so in an output, where that takes long."""
    listed = "import os, pathlib\nprint(len(list(pathlib.Path(os.environ['MPLCONFIGDIR']).glob('fontlist*'))))"
    made = write(tmp_path / "n", listed, environment={"MPLCONFIGDIR": str(tmp_path / "first")})
    assert made.returncode == 0, made.stderr
    assert nbformat.read(tmp_path / "n" / "planted.ipynb", 4).cells[1].outputs[0].text == "1\n"
    compared = gate(tmp_path / "n", MPLCONFIGDIR=str(tmp_path / "second"))
    assert compared.returncode == 0, compared.stdout


def test_the_chapters_that_train_are_found_in_their_code(tmp_path):
    plant(tmp_path / "n" / "training.ipynb", ("fit = print\nfit('trained')", "trained\n"))
    plant(tmp_path / "n" / "planted.ipynb", ("profit = print\nprofit('made')", "made\n"))
    taken = gate(tmp_path / "n", "--training", "-v")
    assert taken.returncode == 0 and "training.ipynb" in taken.stdout, taken.stdout
    assert "planted" not in taken.stdout, taken.stdout


LOOPS = """import json, psutil, sys
print(json.dumps([process.pid for process in psutil.Process().parent().children()]))
sys.exit(3)"""


def test_a_command_under_load_ends_as_it_does_and_the_load_with_it():
    run = subprocess.run([sys.executable, "scripts/under_load.py", sys.executable, "-c", LOOPS], cwd=ROOT,
                         capture_output=True, text=True)
    processes = json.loads(run.stdout)
    assert run.returncode == 3 and len(processes) == 1 + os.cpu_count()
    assert not any(psutil.pid_exists(process) for process in processes)


def test_the_load_ends_even_if_it_is_left_alone():
    words = [sys.executable, "scripts/under_load.py", sys.executable, "-c", "print(flush=True)\ninput()"]
    with subprocess.Popen(words, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as run:
        run.stdout.readline()
        processes = psutil.Process(run.pid).children()
        run.kill()
        run.stdin.close()
    assert not psutil.wait_procs(processes, 60)[1]


@pytest.mark.parametrize("page, good", [("# Page\n\n## Part\n\nText.", True), ("# Page\n\n[](nowhere.md)", False),
                                        ("# Page\n\n{footcite}`nobody1900`", False)])
def test_a_page_that_leads_nowhere_fails_the_build(tmp_path, page, good):
    shutil.copy(ROOT / "_config.yml", tmp_path / "_config.yml")
    (tmp_path / "_extra").mkdir()
    (tmp_path / "book").mkdir()
    for name in ("references.bib", "extension.py", "mark.svg"):
        shutil.copy(ROOT / "book" / name, tmp_path / "book")
    (tmp_path / "_toc.yml").write_text("format: jb-book\nroot: book/start\n")
    (tmp_path / "book" / "start.md").write_text(page)
    words = next(line for line in (ROOT / "Makefile").read_text().splitlines() if "jupyter-book build" in line).split()
    options = words[words.index("build"):words.index("--path-output")]
    built = subprocess.run([str(Path(sys.executable).parent / "jupyter-book"), *options, "--path-output",
                            str(tmp_path / "out"), str(tmp_path)], capture_output=True, text=True)
    assert (built.returncode == 0) == good, built.stdout + built.stderr


def test_parameters_reach_a_chapter(tmp_path):
    cells = [new_code_cell("size = 1", metadata={"tags": ["parameters"]}), new_code_cell("print(size)")]
    nbformat.write(new_notebook(cells=cells), tmp_path / "planted.ipynb")
    made = run_notebooks(tmp_path / "out", tmp_path / "planted.ipynb", "-p", "size", "7")
    assert made.returncode == 0, made.stderr
    assert nbformat.read(tmp_path / "out" / "planted.ipynb", 4).cells[-1].outputs[0].text == "7\n"

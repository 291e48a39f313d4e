"""Run notebooks headless, in fresh kernels, and write them with nothing in them that changes by itself.

    python scripts/run_notebooks.py OUT notebooks/*.ipynb [-p name value ...]

OUT is a folder; the folder `notebooks` itself renews the committed outputs.  For each it prints the
seconds and the largest memory that its kernel had.  A chapter can open the image sets that it declares,
no others, and fetches none.
"""

import argparse
import json
import os
import re
import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from unittest.mock import patch

import matplotlib.font_manager  # noqa: F401  lists the fonts once: a kernel that has to says so in its outputs
import nbformat
import papermill
import psutil
import yaml

REPOSITORY = yaml.safe_load((Path(__file__).parent.parent / "_config.yml").read_text())["repository"]["url"]
INSTALL = f"""import sys

if "google.colab" in sys.modules:  # elsewhere the package is there
    %pip install -q git+{REPOSITORY}"""

PROMPTS = {"hide-cell": "Show the answer", "hide-output": "Show the answer", "hide-input": "Show the code"}
START = 300  # seconds that a kernel may take to start, on a slow and busy machine


def told(path: Path) -> dict:
    """What a chapter says of itself: {"needs": [image sets]}, or nothing."""
    return json.loads(path.read_text())["metadata"].get("coldavg", {})


def only(names: Iterable[str]) -> patch.dict:
    """A context in which, here and in kernels started there, these named image sets may be opened and none fetched."""
    return patch.dict(os.environ, COLDAVG_SETS=",".join(names))


def absent(names: Iterable[str]) -> str:
    """Why one of these image sets can't be opened here, or nothing."""
    for name in names:
        from coldavg.imagesets.named import find_source  # brings PyTorch: seconds, not needed without names

        try:
            find_source(name, "train")
        except FileNotFoundError as error:
            return str(error)
    return ""


def why_not(path: Path) -> str:
    """Why a chapter is not run here, or nothing: an image set is absent."""
    needs = told(path).get("needs", [])
    with only(needs):
        return absent(needs)


def trains(path: Path) -> bool:
    """Whether a chapter trains while it runs: its code calls `fit`, or audits."""
    return any(cell["cell_type"] == "code" and re.search(r"\b(fit|run_audit)\(", "".join(cell["source"]))
               for cell in json.loads(path.read_text())["cells"])


def asks(text: str) -> bool:
    """Whether a text ends with a question open: neither an answer nor another matter comes after it."""
    return text.rfind("{admonition} Predict first") > max(map(text.rfind, ("{dropdown}", "\n## ", "\n### ")))


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Cell ids in order, no times, no widget state, streams in one piece, widget models named by their place.

    A cell with the tag `install` gets the line that Colab needs, with the repository's name of _config.yml.
    """
    notebook.metadata = nbformat.from_dict({
        "kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        **{key: notebook.metadata[key] for key in ("coldavg",) if key in notebook.metadata},
    })
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    asked = False  # whether a question is open
    for number, cell in enumerate(notebook.cells, 1):
        cell.id = f"cell-{number:03d}"
        if cell.cell_type == "markdown":
            asked = asks(cell.source)
        tags = cell.metadata.get("tags", [])
        if "install" in tags:
            cell.source = INSTALL
        for tag in PROMPTS.keys() & tags:  # what the page says in place of what it folds away
            prompt = PROMPTS[tag] if asked or tag == "hide-input" else "Show the cell"
            prompt = "Show the check" if "\ndef check" in f"\n{cell.source}" else prompt
            prompt = "Show the table" if tag != "hide-input" and "\nTable(" in cell.source else prompt
            prompt = "Show the solution" if tag == "hide-cell" and "\nattempt(" in cell.source else prompt
            cell.metadata.setdefault("mystnb", {})["code_prompt_show"] = prompt
        for key in ("papermill", "execution"):
            cell.metadata.pop(key, None)
        outputs = []
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and outputs and outputs[-1].get("name") == output.name:
                outputs[-1].text += output.text
            else:
                outputs.append(output)
        for output in outputs:
            if output.output_type == "stream":  # a progress bar leaves its last state
                output.text = re.sub(r"[^\n]*\r(?=[^\n])", "", output.text)
            view = output.get("data", {}).get("application/vnd.jupyter.widget-view+json")
            if view:
                view["model_id"] = f"widget-{number:03d}"
        if "outputs" in cell:
            cell.outputs = outputs
    return notebook


class Memory(threading.Thread):
    """Watches the processes that this one starts: `peak` is the most memory that they had together, in bytes."""

    def __init__(self):
        super().__init__(daemon=True)
        self.peak, self.over = 0, threading.Event()

    def __enter__(self) -> "Memory":
        self.start()
        return self

    def __exit__(self, *_) -> None:
        self.over.set()

    def run(self) -> None:
        while not self.over.wait(0.1):
            self.peak = max(self.peak, sum(map(held, psutil.Process().children(recursive=True))))


def held(process: psutil.Process) -> int:
    """The memory of a process in bytes, none if it has just ended."""
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("notebooks", nargs="+", type=Path)
    parser.add_argument("-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"))
    options = parser.parse_args()
    parameters = {name: json.loads(value) for name, value in options.parameter}
    options.out.mkdir(parents=True, exist_ok=True)
    for path in options.notebooks:
        start = time.perf_counter()
        if reason := why_not(path):
            (options.out / path.name).write_bytes(path.read_bytes())
            print(f"{path.name}: not run, its outputs stay as committed ({reason})", flush=True)
            continue
        with tempfile.TemporaryDirectory() as folder, Memory() as memory, only(told(path).get("needs", [])):
            part = Path(folder) / path.name
            papermill.execute_notebook(path, part, parameters, kernel_name="python3", language="python",
                                       progress_bar=False, cwd=path.parent, start_timeout=START)
            notebook = normalise(nbformat.read(part, 4))
        nbformat.write(notebook, options.out / path.name)
        print(f"{path.name}: {time.perf_counter() - start:.0f} s, {memory.peak / 1e9:.1f} GB", flush=True)


if __name__ == "__main__":
    main()

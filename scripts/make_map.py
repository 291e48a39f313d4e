"""Write into README.md which modules each chapter uses, and which tests prove them: python scripts/make_map.py

The modules are read off the code of the chapters; those that no earlier chapter uses are bold, and for these the
tests are named: the files that begin with the name of the module.
"""

import ast
import re
from pathlib import Path

import nbformat

from coldavg import HOME_OF

ROOT = Path(__file__).parent.parent
START, END = "<!-- map -->\n", "<!-- end of map -->"


def modules(code: str) -> set[str]:
    """The modules and folders of the package that a chapter's code uses, less `support`."""
    tree = ast.parse(re.sub(r"^(\s*)%.*", r"\1pass", code, flags=re.M))  # magics
    names = {HOME_OF[node.attr] for node in ast.walk(tree) if isinstance(node, ast.Attribute)
             and isinstance(node.value, ast.Name) and node.value.id == "ca" and node.attr in HOME_OF}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("coldavg."):
            names.add(node.module.removeprefix("coldavg."))
    return {name.split(".")[0] for name in names} - {"support"}


def table() -> str:
    """The map, as it stands in README.md."""
    rows, known = ["| chapter | modules it uses, **new ones** first | tests of the new ones |", "|---|---|---|"], set()
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        cells = nbformat.read(path, 4).cells
        title = next(cell.source for cell in cells if cell.source.startswith("# ")).splitlines()[0].removeprefix("# ")
        used = modules("\n".join(cell.source for cell in cells if cell.cell_type == "code"))
        new = sorted(used - known)
        shown = [f"**`{name}`**" for name in new] + [f"`{name}`" for name in sorted(used & known)]
        tests = [f"`test_{name}{'*' * (len(list((ROOT / 'tests').glob(f'test_{name}*.py'))) > 1)}`" for name in new]
        rows.append(f"| {int(path.name[:2])}. {title} | {', '.join(shown)} | {', '.join(tests) or '–'} |")
        known |= used
    return "\n".join(rows) + "\n"


def with_map(readme: str) -> str:
    """The text of README.md with the map as it is now."""
    return re.sub(f"(?<={re.escape(START)}).*(?={re.escape(END)})", lambda _: table(), readme, flags=re.S)


if __name__ == "__main__":
    (ROOT / "README.md").write_text(with_map((ROOT / "README.md").read_text()))

"""A chapter whose data are absent is skipped by name; loaded by notebooks.ini."""

from scripts.run_notebooks import why_not

skipped = []


def pytest_ignore_collect(collection_path):
    if collection_path.suffix == ".ipynb" and (reason := why_not(collection_path, True)):
        skipped.append(f"{collection_path.name}: skipped, its outputs stay as committed ({reason})")
        return True


def pytest_terminal_summary(terminalreporter):
    for line in skipped:
        terminalreporter.write_line(line)

"""A chapter whose data are absent is skipped by name; loaded by notebooks.ini."""

from scripts.run_notebooks import missing_data

skipped = []


def pytest_ignore_collect(collection_path):
    if collection_path.suffix == ".ipynb" and (reason := missing_data(collection_path)):
        skipped.append(f"{collection_path.name}: skipped, its outputs stay as committed ({reason})")
        return True


def pytest_terminal_summary(terminalreporter):
    for line in skipped:
        terminalreporter.write_line(line)

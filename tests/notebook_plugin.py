"""A chapter whose data are absent is skipped by name, and can open no image set but those that it declares.

Loaded by notebooks.ini.  With --training only the chapters that train while they run are taken.  Several
processes take turns at the files; each kernel then keeps to one thread.
"""

import os

import pytest

from scripts.run_notebooks import told, trains, why_not

skipped = []


def pytest_addoption(parser):
    parser.addoption("--training", action="store_true", help="only the notebooks whose code calls fit, or audits")


def pytest_ignore_collect(collection_path, config):
    if collection_path.suffix != ".ipynb":
        return None
    if config.getoption("training") and not trains(collection_path):
        return True
    if reason := why_not(collection_path):
        skipped.append(f"{collection_path.name}: skipped, its outputs stay as committed ({reason})")
        return True


@pytest.hookimpl(tryfirst=True)  # before nbval starts the kernel, which inherits this
def pytest_runtest_setup(item):
    if item.path.suffix == ".ipynb":
        os.environ["COLDAVG_SETS"] = ",".join(told(item.path).get("needs", []))


def pytest_configure():
    if "PYTEST_XDIST_WORKER" in os.environ:
        os.environ["OMP_NUM_THREADS"] = "1"  # kernels inherit it


def pytest_sessionfinish(session):
    if hasattr(session.config, "workeroutput"):  # one of two processes: the first one reports
        session.config.workeroutput["skipped"] = skipped


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
    skipped.extend(set(node.workeroutput.get("skipped", [])) - set(skipped))


def pytest_terminal_summary(terminalreporter):
    for line in skipped:
        terminalreporter.write_line(line)

"""Hypothesis without a clock: nothing here is timed.  And no named image set but those that a test declares."""

import os

import pytest
from hypothesis import settings

from scripts.run_notebooks import absent

settings.register_profile("coldavg", deadline=None, max_examples=60)
settings.load_profile("coldavg")
os.environ["COLDAVG_SETS"] = ""  # while tests are collected, too
if "PYTEST_XDIST_WORKER" in os.environ:  # PyTorch comes later; two processes with two threads each hinder each other
    os.environ["OMP_NUM_THREADS"] = "1"


def pytest_configure(config):
    config.addinivalue_line("markers", "needs(*names): the image sets that a test opens; skipped where one is absent")


@pytest.hookimpl(tryfirst=True)  # before its fixtures
def pytest_runtest_setup(item):
    names = [name for mark in item.iter_markers("needs") for name in mark.args]
    os.environ["COLDAVG_SETS"] = ",".join(names)
    if reason := absent(names):
        pytest.skip(reason)

"""Hypothesis without a clock: nothing here is timed."""

from hypothesis import settings

settings.register_profile("coldavg", deadline=None, max_examples=60)
settings.load_profile("coldavg")

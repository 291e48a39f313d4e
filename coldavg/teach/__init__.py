"""What the chapters share: players, widgets, exercises, exact predictors, the sampler workshop.

    player   a slider that needs no kernel    oracle     exact predictors for small worlds
    widgets  controls that need one           workshop   what a step function does, in words
    tiles    pictures side by side, ranks     exercises  an answer is tried
    table    a table, in a page and in text   cards      verdicts, their evidence folded
"""

from .cards import Cards
from .exercises import attempt
from .oracle import FiniteWorld, GaussianWorld, Known
from .player import Player, swipe
from .table import Table
from .tiles import half_difference, rank_correlation, tile
from .widgets import explorer, mixing_explorer, sampler_explorer

__all__ = ["Cards", "FiniteWorld", "GaussianWorld", "Known", "Player", "Table", "attempt", "explorer",
           "half_difference", "mixing_explorer", "rank_correlation", "sampler_explorer", "swipe", "tile"]

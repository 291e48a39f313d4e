"""The protocol: how averages are made, attacked and scored, and how rows of results are stamped and kept."""

from .attackers import recover
from .averaging import PAIRS, Averaging
from .measuring import evaluate, protocol
from .reidentification import reidentify

__all__ = ["PAIRS", "Averaging", "evaluate", "protocol", "recover", "reidentify"]

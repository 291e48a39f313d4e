"""The protocol: how averages are made, attacked and scored, and how rows of results are stamped and kept.

    averaging   how averages are made        measuring         the protocol, and one row of results
    attackers   who takes them apart         rows              stamps; rows in a file
    archive     the search without network   reidentification  with its recognisers: are people found?
    membership  who is in a crowd?           perceptual        LPIPS, where its weights are
"""

from .attackers import recover
from .averaging import PAIRS, Averaging
from .measuring import evaluate, protocol
from .reidentification import reidentify

__all__ = ["PAIRS", "Averaging", "evaluate", "protocol", "recover", "reidentify"]

"""Cards of a chapter: what is claimed and the verdict in sight, the evidence folded under it."""

import textwrap
from collections.abc import Sequence
from html import escape

from .table import CAPTION, WIDEST

GRID = "display: grid; grid-template-columns: repeat(auto-fill, minmax(min(18em, 100%), 1fr)); gap: 0.6em; " \
       "align-items: start; margin: 0.6em 0"
CARD = "border: 1px solid currentColor; border-radius: 0.4em; padding: 0.5em 0.8em; margin: 0; overflow-wrap: anywhere"
LINES = "white-space: pre-line; font-size: 0.85em"


class Cards:
    """Cards, each of three texts: what is judged, the verdict, the evidence; under a `caption`.

    In a page the evidence opens at a click, with no kernel; in plain text it stands in the line.
    ValueError where a card has more texts or fewer.
    """

    def __init__(self, caption: str, cards: Sequence[tuple[str, str, str]]):
        for card in cards:
            if len(card) != 3:
                raise ValueError(f"each card must have 3 texts (what is judged, verdict, evidence), got {len(card)}")
        self.caption, self.cards = caption, list(cards)

    def __repr__(self) -> str:
        texts = [" | ".join(card).replace("\n", "; ") for card in self.cards]
        return "\n".join(textwrap.fill(text, WIDEST, subsequent_indent="    " * (number > 0))
                         for number, text in enumerate([self.caption, *texts]))

    def _repr_html_(self) -> str:
        cards = "".join(
            f'<details style="{CARD}"><summary><b>{escape(judged)}</b> '
            f'<span style="display: block; {LINES}">{escape(verdict)}</span></summary>'
            f'<p style="{LINES}; margin: 0.5em 0 0">{escape(evidence)}</p></details>'
            for judged, verdict, evidence in self.cards)
        return f'<p style="{CAPTION}">{escape(self.caption)}</p><div class="coldavg-cards" style="{GRID}">{cards}</div>'

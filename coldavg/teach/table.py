"""A table of a chapter: HTML in a page, plain text for whoever has none."""

import re
import textwrap
from collections.abc import Sequence
from html import escape

CELL = "vertical-align: top; white-space: pre-line; padding: 0.3em 0.6em; font-size: 0.85em"
CAPTION = "caption-side: top; text-align: left; color: inherit"
NUMBER = re.compile(r"[-+–]?\d[\d,.]*( ?(dB|%|s|ms|MB))?|–|")  # these stand at the right of their column
WIDEST = 80  # columns of plain text


class Table:
    """A table of texts: `head` (C names), `rows` of C texts each, a `caption`.

    `widths` are the least widths of the columns in a page, in em.  ValueError where a row is not as long as the head.
    """

    def __init__(self, caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[float] = ()):
        for row in rows:
            if len(row) != len(head):
                raise ValueError(f"each row must have {len(head)} cells, as the head has, got {len(row)}: {row}")
        self.caption, self.head, self.rows = caption, list(head), [list(row) for row in rows]
        self.widths = [*widths, *[0] * (len(head) - len(widths))]
        self.right = [all(NUMBER.fullmatch(cell) for cell in column) for column in zip(*rows, strict=True)]
        self.right = self.right or [False] * len(head)

    def __repr__(self) -> str:
        lines = [self.head, *self.rows]
        wide = [max(map(len, column)) for column in zip(*lines, strict=True)]
        if sum(wide) + 2 * len(wide) <= WIDEST and not any("\n" in cell for line in lines for cell in line):
            texts = ["  ".join(cell.rjust(most) if right else cell.ljust(most)
                               for cell, most, right in zip(line, wide, self.right, strict=True)).rstrip()
                     for line in lines]
        else:
            texts = [textwrap.fill(" | ".join(line).replace("\n", "; "), WIDEST, subsequent_indent="    ")
                     for line in lines]
        return "\n".join([textwrap.fill(self.caption, WIDEST), *texts])

    def _repr_html_(self) -> str:
        styles = [f"text-align: {'right' if right else 'left'}; {CELL}; min-width: {width}em"
                  for right, width in zip(self.right, self.widths, strict=True)]

        def line(cells: Sequence[str], name: str) -> str:
            return "".join(f'<{name} style="{style}">{escape(cell)}</{name.split()[0]}>'
                           for cell, style in zip(cells, styles, strict=True))

        body = "".join(f"<tr>{line(row, 'td')}</tr>" for row in self.rows)
        return (f'<div style="overflow-x: auto" tabindex="0" role="region" aria-label="{escape(self.caption)}">'
                f'<table class="dataframe"><caption style="{CAPTION}">{escape(self.caption)}</caption>'
                f'<thead><tr>{line(self.head, "th scope=col")}</tr></thead><tbody>{body}</tbody></table></div>')

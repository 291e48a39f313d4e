"""Image sets: those that have a name, and folders or archives of one's own; how they are read, split, and grouped.

    named     the sets that have a name, where they lie, how they are fetched
    reading   files in a folder, zip or tar; one picture as 8-bit pixels
    decoding  all of them into one array in the cache
    opening   an ImageSet, and its splits           tuples    which images go together
"""

from .named import SETS
from .opening import ImageSet, load, open_images
from .tuples import draw_tuples

__all__ = ["SETS", "ImageSet", "draw_tuples", "load", "open_images"]

"""Image sets: those that have a name, and folders or archives of one's own; how they are read, split, and grouped.

    finding     what is there: every file of a folder, zip or tar, with its fate
    reading     one file as pictures, with arrays (NumPy) and scans (DICOM, NIfTI); pictures: how one becomes a square
    scales      one scale for the whole set         copies      copies and near-copies
    identities  who is in each picture              inspection  the honest list of all this
    decoding    all pictures into one array         caching     in the cache
    named       the sets that have a name           opening     an ImageSet, and its splits
    tuples      which images go together
"""

from .named import SETS
from .opening import ImageSet, load, open_images
from .tuples import draw_tuples

__all__ = ["SETS", "ImageSet", "draw_tuples", "load", "open_images"]

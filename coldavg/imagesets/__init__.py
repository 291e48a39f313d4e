"""Image sets: those that have a name, and folders or archives of one's own; how they are read, split, and grouped."""

from .named import SETS
from .opening import ImageSet, load, open_images
from .tuples import draw_tuples

__all__ = ["SETS", "ImageSet", "draw_tuples", "load", "open_images"]

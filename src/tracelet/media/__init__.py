"""Payloads made into what a tracker shows: pictures, sounds, films, plots, and counts in bins.

    sizes      how large something is as it is shown, and whether that is too large
    arrays     an array, where it lies
    pictures   8 bits a channel, in a grid, with boxes
    films      animated GIF
    sounds     WAV
    plots      a page of a plotly figure, a picture of a table
    counts     a histogram

Used where runs are delivered. NumPy and Pillow are loaded by whoever calls a function that makes
something, and come with the trackers' clients. Memory is bounded: arrays are mapped and read in
blocks, and only the 8 bits of each channel of a picture are ever whole.
"""

from tracelet.media.arrays import save
from tracelet.media.counts import BINS, BINS_MOST, Counted, counted
from tracelet.media.files import ending, write
from tracelet.media.pictures import SMALL, encoded, picture, thumbnail
from tracelet.media.sizes import COLUMNS, SETTING, extent, is_scaled, most

__all__ = [
    "BINS",
    "BINS_MOST",
    "COLUMNS",
    "SETTING",
    "SMALL",
    "Counted",
    "counted",
    "encoded",
    "ending",
    "extent",
    "is_scaled",
    "most",
    "picture",
    "save",
    "thumbnail",
    "write",
]

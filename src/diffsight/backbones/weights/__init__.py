"""From what a user calls a network to files on this disk: ``places`` is the table, ``resolver`` the rules."""

from .digests import Held, check
from .found import Attempt, Search, Weights
from .places import BUNDLED, NETWORKS, File, Network, Place
from .resolver import expand, look, network_of, resolve, search

__all__ = [
    "BUNDLED",
    "NETWORKS",
    "Attempt",
    "File",
    "Held",
    "Network",
    "Place",
    "Search",
    "Weights",
    "check",
    "expand",
    "look",
    "network_of",
    "resolve",
    "search",
]

"""How much visitors may ask of the machine."""

MAX_BYTES = 20 * 1024**2
"""Of one upload."""

MAX_PIXELS = 20_000_000
"""Of one photo."""

MAX_POINTS = 50
"""Of one pair of photos."""

MAX_NAMES = 12
"""That the parts of one photo may be called."""

MAX_VISITORS = 20
"""Whose photos are held at once; the one who was away longest starts anew."""

MAX_WAITING = 40
"""Clicks and uploads that may wait for their turn; one is worked on at a time."""

KEPT = 3600
"""Seconds after which what a visitor left is forgotten."""

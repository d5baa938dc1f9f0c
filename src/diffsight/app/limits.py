"""How much visitors may ask of the machine."""

MAX_BYTES = 20 * 1024**2
"""Of one upload."""

MAX_PIXELS = 20_000_000
"""Of one photo."""

MAX_CLIP_BYTES = 100 * 1024**2
"""Of one clip, or of all its photos together."""

MAX_FRAMES = 200
"""Of one clip."""

MAX_FRAME_PIXELS = 4_000_000
"""Of one frame of a clip."""

MAX_MARKS = 100
"""Of the first frame of a clip."""

MAX_STROKE = 2000
"""Places that one mark goes through: half a minute of drawing."""

MAX_OBJECTS = 8
"""That one draws with the brush; boxes and a mask may hold more."""

FRAMES_AT_ONCE = 1
"""Of a clip, before the clicks of others have their turn."""

MAX_POINTS = 50
"""That are clicked in one photo and looked for in others."""

MAX_KEYPOINTS = 100
"""That are named to be carried from one photo to others."""

MAX_NAME = 60
"""Characters of a name that a visitor gives."""

MAX_PHOTOS = 100
"""That one visitor has labelled at once."""

MAX_TARGETS = 8
"""Photos that are searched at once for the points of another."""

MAX_NAMES = 12
"""That the parts of one photo may be called."""

MAX_VISITORS = 20
"""Whose photos are held at once; the one who was away longest starts anew."""

MAX_WAITING = 40
"""Clicks and uploads that may wait for their turn; one is worked on at a time."""

TOLD = 1
"""Seconds after which all who wait are told their place again; not after each event, as there may be many a second."""

KEPT = 3600
"""Seconds after which what a visitor left is forgotten."""

"""Finding points of one photo in another."""

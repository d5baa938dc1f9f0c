"""Following labels through a video."""

"""Features of many photos kept on disk, and the same point found in all of them."""

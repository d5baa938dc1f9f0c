"""Frozen networks behind one protocol: encode a photo, add noise, embed a prompt, read a pass."""

"""The web page: what the library does, by clicking; no maths."""

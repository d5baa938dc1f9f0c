"""Scores: metrics, baselines and the runs that print them."""

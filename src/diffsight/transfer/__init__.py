"""Annotate a few photos, label the rest."""

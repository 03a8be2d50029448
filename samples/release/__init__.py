"""Releases of the formulas other than the one that is installed: one that is wrong, and one that is newer."""

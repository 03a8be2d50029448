"""Rows keyed by their capture: beside those of other captures, read through views (docs/merging.md)."""

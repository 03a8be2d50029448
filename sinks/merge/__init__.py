"""Rows that several captures, and ingestion, write together: history, baseline, fold (docs/merging.md)."""

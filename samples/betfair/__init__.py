"""Betfair's sample data."""

"""Betfair's formulas: pure."""

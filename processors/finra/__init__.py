"""FINRA's formulas: pure."""

"""FINRA's sample data."""

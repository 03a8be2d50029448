"""Real sample data, synthetic data."""

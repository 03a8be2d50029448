"""racing's sample data."""

"""What is true of Betfair's data."""

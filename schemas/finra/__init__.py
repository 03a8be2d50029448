"""What is true of FINRA's data."""

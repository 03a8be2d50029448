"""What is true of racing's data."""

"""What the program has for Betfair alone: commands, reports, checks."""

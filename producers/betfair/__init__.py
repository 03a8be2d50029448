"""Where Betfair's payloads are read from."""

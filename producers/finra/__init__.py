"""Where FINRA's payloads are read from."""

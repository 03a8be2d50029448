"""Where racing's payloads are read from."""

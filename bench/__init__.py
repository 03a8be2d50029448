"""The same work done by rederive and by its peers."""

"""The doctor: what a deployment needs to be well, looked at piece by piece, and what mends it. It changes nothing."""

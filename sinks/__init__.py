"""Rows to Postgres: staging, merge, history, notes; knows table specs, no domain."""

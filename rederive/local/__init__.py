"""Embedded Kafka and Postgres: real ones, without root rights or containers, under one home folder."""

from rederive.local.services import (
    Status,
    endpoints,
    has_database,
    running_database,
    running_kafka,
    start,
    start_kafka,
    start_postgres,
    status,
    stop,
)

__all__ = [
    "Status",
    "endpoints",
    "has_database",
    "running_database",
    "running_kafka",
    "start",
    "start_kafka",
    "start_postgres",
    "status",
    "stop",
]

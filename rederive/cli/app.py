"""The root of the command line, and how a command ends."""

import cyclopts

app = cyclopts.App(
    name="rederive",
    help="""Replay stored raw payloads through Kafka, recompute the rows derived from them, merge them into Postgres.

    Data goes to stdout, logs to stderr. Exit: 0 done, 1 finished with errors, 2 wrong usage, 130 interrupted and
    safe to start again.
    """,
    version_flags=["--version"],
)

"""What Postgres's planner goes by, whatever a role, a database or an address sets: a merge must not hang on it."""

import sys

from psycopg import Connection

# Costs, methods, limits and plan caching; ways to plan are more with each version of the server.
_SHIPPED = """
    SELECT set_config(name, boot_val, %s) FROM pg_settings
    WHERE category LIKE 'Query Tuning%%' AND context = 'user' AND setting IS DISTINCT FROM boot_val"""

# Joins of a small stage with big tables must go by index; the planner guesses otherwise while the tables are young.
_BY_INDEX = """
    SET enable_hashjoin = off; SET enable_mergejoin = off; SET enable_seqscan = off; SET jit = off;
    SET plan_cache_mode = force_custom_plan"""

# A piece of a big table must be found by index; joining pieces is the planner's.
_BY_PIECES = """
    SET enable_seqscan = off; SET jit = off; SET work_mem = '64MB'; SET plan_cache_mode = force_custom_plan"""


def as_shipped(connection: Connection, *, local: bool = False) -> None:
    """Plan as Postgres is shipped: for this session, or with `local` until the transaction ends."""
    connection.execute(_SHIPPED, [local])


def by_index(connection: Connection) -> None:
    """Plan joins by index only, for this session, which keeps no plan: one of when tables were empty would last.

    What asks to be prepared is parsed once and planned each time; without parameters it would keep a plan after all.
    """
    connection.prepare_threshold = sys.maxsize
    as_shipped(connection)
    connection.execute(_BY_INDEX)


def by_pieces(connection: Connection) -> None:
    """Find pieces of big tables by index, and join them as Postgres would, for this session, which keeps no plan."""
    connection.prepare_threshold = sys.maxsize
    as_shipped(connection)
    connection.execute(_BY_PIECES)

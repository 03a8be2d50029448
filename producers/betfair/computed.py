"""What the current formulas have computed: which snapshots they would find nothing for again, and which not yet.

Known from what is stored: a history entry of a capture of this derivation version, in whose scope are all columns that
are still NULL and asked for, and that has no value there either; or, for rows that said nothing at all and so have no
entry, the applied unit that read them. Captures that are rolled back and dry runs prove nothing. Nor does one that
merged before the snapshot's row was last written: its payload may be another one now.
"""

from collections.abc import Sequence
from datetime import date

from psycopg import Connection

from schemas.betfair.tables import BETFAIR, METRICS, METRICS_TABLE, readable
from store.versions import any_before, of_some_columns

_HISTORY = f"rederive.{METRICS_TABLE.name}_history"


def gather(connection: Connection, columns: Sequence[str]) -> bool:
    """Look which captures prove something of these columns, for `found_nothing`; whether any does.

    Makes temporary tables: a handful of captures, and the rows without an entry. Of units only those are read in which
    a row has changed nothing.
    """
    connection.execute("DROP TABLE IF EXISTS pg_temp.trusted_captures, pg_temp.said_nothing")
    scopes = ", ".join(f"'{name}' = ANY(columns) AS {name}" for name in columns)
    trusted = connection.execute(
        f"""CREATE TEMPORARY TABLE trusted_captures AS
            SELECT capture_id, {scopes} FROM rederive.captures
            WHERE domain = '{BETFAIR.name}' AND derivation_version = {BETFAIR.derivation_version} AND NOT dry_run
              AND state NOT IN ('rolling-back', 'rolled-back') AND columns && ARRAY[{_texts(columns)}]"""
    ).rowcount
    connection.execute(
        f"""CREATE TEMPORARY TABLE said_nothing AS
            SELECT id::int8 AS snapshot_id, u.capture_id, u.xmin AS written
            FROM trusted_captures JOIN rederive.units u USING (capture_id),
                 jsonb_array_elements_text(u.locator -> 'ids') AS ids(id)
            WHERE u.state = 'applied' AND u.unchanged > 0
              AND NOT EXISTS (SELECT FROM {_HISTORY} h
                              WHERE h.snapshot_id = id::int8 AND h.capture_id = u.capture_id)
              AND NOT EXISTS (SELECT FROM rederive.problems p
                              WHERE (p.capture_id, p.unit) = (u.capture_id, u.unit)
                                AND p.key = jsonb_build_array(id::int8))"""
    )
    connection.execute("CREATE INDEX ON said_nothing (snapshot_id)")
    connection.execute("ANALYZE trusted_captures, said_nothing")
    return trusted > 0


def found_nothing(columns: Sequence[str]) -> str:
    """The condition, on a snapshot `s` and its derived row `d`, if any; `gather` comes before."""
    entry = " AND ".join(f"(d.{name} IS NOT NULL OR c.{name} AND h.{name} IS NULL)" for name in columns)
    silent = " AND ".join(f"(d.{name} IS NOT NULL OR c.{name})" for name in columns)
    return f"""(EXISTS (SELECT FROM {_HISTORY} h JOIN trusted_captures c USING (capture_id)
                        WHERE h.snapshot_id = s.snapshot_id AND age(h.xmin) <= age(s.xmin) AND {entry})
             OR EXISTS (SELECT FROM said_nothing n JOIN trusted_captures c USING (capture_id)
                        WHERE n.snapshot_id = s.snapshot_id AND age(n.written) <= age(s.xmin) AND {silent}))"""


def outdated(connection: Connection, markets: Sequence[str] = ()) -> list[tuple[date, int]]:
    """By UTC day, how many snapshots of these markets, or of all, have a derived row that older versions computed.

    What this version has skipped, or has found nothing in, is no longer its. The snapshots are those that are stored.
    """
    version = BETFAIR.derivation_version
    if not any_before(connection, BETFAIR.name, version):
        return []
    partial = of_some_columns(connection, BETFAIR.name, version, METRICS)
    return connection.execute(
        f"""WITH old AS (
                SELECT snapshot_id FROM {_HISTORY} WHERE source >= 0 AND arrival IS NOT NULL GROUP BY snapshot_id
                HAVING bool_and(derivation_version < %(version)s OR capture_id = ANY(%(partial)s))
                   AND bool_or(derivation_version < %(version)s)),
            looked_at AS (
                SELECT DISTINCT id::int8 AS snapshot_id
                FROM rederive.captures c JOIN rederive.units u USING (capture_id),
                     jsonb_array_elements_text(u.locator -> 'ids') AS ids(id)
                WHERE c.domain = '{BETFAIR.name}' AND c.derivation_version >= %(version)s AND NOT c.dry_run
                  AND c.state NOT IN ('rolling-back', 'rolled-back') AND c.mode = 'supersede'
                  AND NOT c.capture_id = ANY(%(partial)s) AND u.state = 'applied')
            SELECT (s.snapshot_at AT TIME ZONE 'UTC')::date, count(*)
            FROM old JOIN market_book_snapshots s USING (snapshot_id)
                 JOIN {METRICS_TABLE.name} d USING (snapshot_id)
            WHERE {readable("s")} AND (s.market_id = ANY(%(markets)s) OR %(markets)s = '{{}}')
              AND NOT EXISTS (SELECT FROM looked_at l WHERE l.snapshot_id = s.snapshot_id)
            GROUP BY 1 ORDER BY 1""",
        {"version": version, "partial": partial, "markets": list(markets)},
    ).fetchall()


def _texts(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)

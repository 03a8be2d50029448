"""What the current formulas have computed: which snapshots they would find nothing for again, and which not yet.

Known from what is stored: a history entry of captures of their formulas, in whose scope are all columns that are still
NULL and asked for, and that has no value there either; or, for rows that said nothing at all and so have no
entry, the applied unit that read them. Captures that are rolled back and dry runs prove nothing. Nor does one that
merged before the snapshot's row was last written: its payload may be another one now.
"""

from collections.abc import Sequence

from psycopg import Connection

from schemas.betfair.tables import BETFAIR, METRICS_TABLE

_HISTORY = f"rederive.{METRICS_TABLE.name}_history"


def gather(connection: Connection, columns: Sequence[str]) -> bool:
    """Look which captures prove something of these columns, for `found_nothing`; whether any does.

    Makes temporary tables: a handful of captures, and the rows without an entry. Of units only those are read in which
    a row has changed nothing.
    """
    connection.execute("DROP TABLE IF EXISTS pg_temp.trusted_captures, pg_temp.said_nothing")
    since = {name: version for version, names in BETFAIR.formulas(METRICS_TABLE).items() for name in names}
    scopes = ", ".join(f"'{name}' = ANY(columns) AND derivation_version >= {since[name]} AS {name}" for name in columns)
    trusted = connection.execute(
        f"""CREATE TEMPORARY TABLE trusted_captures AS
            SELECT capture_id, {scopes} FROM rederive.captures
            WHERE domain = '{BETFAIR.name}' AND NOT dry_run
              AND derivation_version BETWEEN {min(since[name] for name in columns)} AND {BETFAIR.derivation_version}
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


def _texts(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)

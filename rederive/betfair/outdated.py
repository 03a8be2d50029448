"""Which snapshots have a derived row that shows what older formulas computed."""

from collections.abc import Sequence
from datetime import date

from psycopg import Connection

from schemas.betfair.tables import BETFAIR, METRICS_TABLE, readable
from sinks.merge.outdated import old


def outdated(connection: Connection, markets: Sequence[str] = ()) -> list[tuple[date, int, tuple[str, ...]]]:
    """By UTC day, how many snapshots of these markets, or of all, and which columns (none: all).

    What newer formulas have skipped, or have found nothing in, is no longer outdated. The snapshots are those that are
    stored.
    """
    found = old(connection, BETFAIR, METRICS_TABLE)
    if found is None:
        return []
    looked_at = " UNION ALL ".join(
        f"""SELECT id::int8 AS snapshot_id, {at} AS part
            FROM rederive.captures c JOIN rederive.units u USING (capture_id),
                 jsonb_array_elements_text(u.locator -> 'ids') AS ids(id)
            WHERE c.domain = '{BETFAIR.name}' AND c.derivation_version >= %(version_{at})s AND NOT c.dry_run
              AND c.state NOT IN ('rolling-back', 'rolled-back') AND c.mode = 'supersede'
              AND NOT c.capture_id = ANY(%(partial_{at})s) AND u.state = 'applied'"""
        for at in range(len(found.parts))
    )
    still = [
        f"""{flag} AND NOT EXISTS (
                SELECT FROM looked_at l WHERE l.snapshot_id = k.snapshot_id AND l.part = {at}) AS {flag}"""
        for at, flag in enumerate(found.flags)
    ]
    rows = connection.execute(
        f"""WITH looked_at AS MATERIALIZED ({looked_at}),
                 still AS (SELECT snapshot_id, {", ".join(still)} FROM ({found.keys}) k)
            SELECT (s.snapshot_at AT TIME ZONE 'UTC')::date, count(*),
                   {", ".join(f"bool_or({flag})" for flag in found.flags)}
            FROM still JOIN market_book_snapshots s USING (snapshot_id)
                 JOIN {METRICS_TABLE.name} d USING (snapshot_id)
            WHERE {readable("s")} AND (s.market_id = ANY(%(markets)s) OR %(markets)s = '{{}}')
              AND ({" OR ".join(found.flags)})
            GROUP BY 1 ORDER BY 1""",
        {**found.parameters, "markets": list(markets)},
    )
    return [(day, count, found.columns(flags)) for day, count, *flags in rows]

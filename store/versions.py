"""What captures of earlier derivation versions have left."""

from collections.abc import Sequence

from psycopg import Connection

from store.rows import value, values


def any_before(connection: Connection, domain: str, version: int) -> bool:
    """Whether there is a capture of the domain, no dry run, of a version before this one."""
    return bool(
        value(
            connection,
            """SELECT EXISTS (SELECT FROM rederive.captures
                              WHERE domain = %s AND NOT dry_run AND derivation_version < %s)""",
            [domain, version],
        )
    )


def of_some_columns(connection: Connection, domain: str, version: int, columns: Sequence[str]) -> list[str]:
    """The captures since a version that have not computed all these columns: their rows are not wholly of it."""
    return values(
        connection,
        """SELECT capture_id FROM rederive.captures
           WHERE domain = %s AND NOT dry_run AND derivation_version >= %s AND columns <> '{}'
             AND NOT columns @> %s::text[]""",
        [domain, version, list(columns)],
    )


def of_none_of(connection: Connection, domain: str, version: int, columns: Sequence[str]) -> list[str]:
    """The captures before a version that have computed none of these columns."""
    return values(
        connection,
        """SELECT capture_id FROM rederive.captures
           WHERE domain = %s AND NOT dry_run AND derivation_version < %s AND columns <> '{}'
             AND NOT columns && %s::text[]""",
        [domain, version, list(columns)],
    )


def filling(connection: Connection, domain: str, version: int) -> list[str]:
    """The captures since a version that only fill: what was computed before stays above theirs."""
    return values(
        connection,
        """SELECT capture_id FROM rederive.captures
           WHERE domain = %s AND NOT dry_run AND derivation_version >= %s AND mode = 'fill'""",
        [domain, version],
    )


def written_before(connection: Connection, domain: str, version: int) -> list[str]:
    """What stands in `capture_id` of rows that runs of versions before this one have inserted and that are there."""
    return values(
        connection,
        """SELECT DISTINCT CASE WHEN w.writes IS NULL THEN u.capture_id ELSE w.writes END
           FROM rederive.captures c JOIN rederive.units u USING (capture_id)
           LEFT JOIN LATERAL unnest(u.writes) AS w(writes) ON true
           WHERE c.domain = %s AND NOT c.dry_run AND c.derivation_version < %s AND u.state = 'applied'""",
        [domain, version],
    )

"""Which keys of a merged table have been computed by older derivation versions only: its history says so.

The stored row doesn't: its version is that of the last merge that changed it, and a newer one may have found the same.
"""

from psycopg import Connection

from schemas.domain import Domain
from schemas.table import Table
from sinks.merge.companions import Companions
from sinks.policy import Outdated
from store.versions import any_before, of_some_columns


def outdated_keys(table: Table) -> str:
    """SQL for keys, sources, and when the newest payload was observed. version, partial: captures of some columns.

    A source that has an entry of this version for a key is up to date, its older payloads too: they are below it.
    """
    sql = Companions(table)
    return f"""SELECT {sql.keys}, source, max(observed) AS observed FROM {sql.history} h
        WHERE source >= 0 AND arrival IS NOT NULL
        GROUP BY {sql.keys}, source
        HAVING bool_and(derivation_version < %(version)s OR capture_id = ANY(%(partial)s::text[]))
           AND bool_or(derivation_version < %(version)s)"""


def parameters(connection: Connection, domain: Domain, table: Table) -> dict[str, object] | None:
    """What the statement needs; None where nothing can be outdated."""
    version = domain.derivation_version
    if not any_before(connection, domain.name, version):
        return None
    columns = [column.name for column in table.values]
    return {"version": version, "partial": of_some_columns(connection, domain.name, version, columns)}


def outdated(connection: Connection, domain: Domain, table: Table) -> list[Outdated]:
    """How many stored rows are, by the UTC day of the newest observation."""
    needed = parameters(connection, domain, table)
    if needed is None:
        return []
    sql = Companions(table)
    rows = connection.execute(
        f"""SELECT (observed AT TIME ZONE 'UTC')::date, '', count(DISTINCT ({sql.keys}))
            FROM ({outdated_keys(table)}) k WHERE EXISTS (SELECT FROM {sql.serving} s WHERE {sql.on("s", "k")})
            GROUP BY 1 ORDER BY 1""",
        needed,
    )
    return [Outdated(*row) for row in rows]

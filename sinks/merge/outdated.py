"""Which keys of a merged table show what older formulas have computed: its history says so.

The stored row doesn't: its version is that of the last merge that changed it, and a newer one may have found the same.
Columns whose formulas changed last in one version are looked at together; each of these is a *part* here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from psycopg import Connection

from schemas.domain import Domain
from schemas.table import Table
from sinks.merge.companions import Companions
from sinks.policy import Outdated
from store.versions import any_before, filling, of_none_of, of_some_columns


@dataclass(frozen=True, slots=True)
class Old:
    """What of a table may be outdated: by part, its columns (none: all), as flags `part_0`, `part_1` … of `keys`.

    `keys` is SQL for keys, sources, when the newest payload was observed, and the flags; `parameters` are its own.
    """

    parts: tuple[tuple[str, ...], ...]
    keys: str
    parameters: Mapping[str, object]

    @property
    def flags(self) -> list[str]:
        """The names of the flags."""
        return [f"part_{at}" for at in range(len(self.parts))]

    def columns(self, flags: Sequence[bool]) -> tuple[str, ...]:
        """The columns of the parts whose flags are set; none where that is all of them."""
        whole = all(flags) and not any(len(part) == 0 for part in self.parts) and self.complete
        return () if whole else tuple(name for part, old in zip(self.parts, flags, strict=True) if old for name in part)

    @property
    def complete(self) -> bool:
        """Whether the parts together are all columns that the table has."""
        return bool(self.parameters["complete"])


def old(connection: Connection, domain: Domain, table: Table) -> Old | None:
    """What the history has of older formulas; None where nothing can be outdated.

    A source of a key is up to date in a part when an entry of newer formulas, which supersedes, has computed all of it:
    the older ones are below it. One that only fills does it where they had said nothing. Who never computed the part
    has nothing outdated, nor has a source that none of its columns belongs to.
    """
    sql = Companions(table)
    owners = {column.name: column.owners for column in table.values}
    parts: list[tuple[str, ...]] = []
    parameters: dict[str, object] = {}
    conditions: list[str] = []
    for version, columns in sorted(domain.formulas(table).items()):
        if not any_before(connection, domain.name, version):
            continue
        at = len(parts)
        parts.append(columns)
        parameters |= {
            f"version_{at}": version,
            f"partial_{at}": of_some_columns(connection, domain.name, version, columns),
            f"others_{at}": of_none_of(connection, domain.name, version, columns) if columns else [],
            f"filling_{at}": filling(connection, domain.name, version),
            f"owners_{at}": sorted({owner for name in columns for owner in owners[name]})
            or list(range(len(table.sources))),
        }
        said = f"num_nonnulls({sql.of('h', columns)}) > 0" if columns else "true"
        before = f"derivation_version < %(version_{at})s AND NOT capture_id = ANY(%(others_{at})s::text[])"
        since = f"derivation_version >= %(version_{at})s AND NOT capture_id = ANY(%(partial_{at})s::text[])"
        fills = f"capture_id = ANY(%(filling_{at})s::text[])"
        conditions.append(
            f"""(source = ANY(%(owners_{at})s) AND bool_or({before}) AND NOT bool_or({since} AND NOT {fills})
                 AND NOT (bool_or({since}) AND NOT bool_or({before} AND {said})))"""
        )
    if not parts:
        return None
    flags = ", ".join(f"{condition} AS part_{at}" for at, condition in enumerate(conditions))
    any_part = " OR ".join(f"part_{at}" for at in range(len(parts)))
    keys = f"""SELECT * FROM (
            SELECT {sql.keys}, source, max(observed) AS observed, {flags} FROM {sql.history} h
            WHERE source >= 0 AND arrival IS NOT NULL GROUP BY {sql.keys}, source) k WHERE {any_part}"""
    parameters["complete"] = sum(map(len, parts)) == len(table.values)
    return Old(tuple(parts), keys, parameters)


def outdated(connection: Connection, domain: Domain, table: Table) -> list[Outdated]:
    """How many stored rows are, by the UTC day of the newest observation, and in which columns."""
    found = old(connection, domain, table)
    if found is None:
        return []
    sql = Companions(table)
    flags = ", ".join(f"bool_or({flag})" for flag in found.flags)
    rows = connection.execute(
        f"""SELECT (observed AT TIME ZONE 'UTC')::date, count(DISTINCT ({sql.keys})), {flags}
            FROM ({found.keys}) k WHERE EXISTS (SELECT FROM {sql.serving} s WHERE {sql.on("s", "k")})
            GROUP BY 1 ORDER BY 1""",
        found.parameters,
    )
    return [Outdated(day, "", count, found.columns(said)) for day, count, *said in rows]

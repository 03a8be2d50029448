"""How many stored values a replay that clears may take out: at most those that stand in the columns in its scope."""

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta

from psycopg import Connection

from producers.source import Request
from rederive import domains
from schemas.domain import LOG
from schemas.plan import PlanHead
from schemas.table import Mode, Table
from schemas.words import counted
from store.rows import value


def at_most(connection: Connection, head: PlanHead) -> dict[str, int]:
    """By table, the values that stand in columns in scope; reads only.

    Of a range of days only rows of these, where the table says of which day a row is. A log's range is of when records
    were sent, which rows don't say.
    """
    domain = domains.find(head.domain)
    scope = domain.in_scope(head.columns)
    ends = {} if head.source == LOG else _ends(head.request)
    found = {}
    for table in domain.tables:
        names = [column.name for column in table.values if column.name in scope]
        if names and table.policy is not Mode.INSERT:
            where = " AND ".join(_within(table, ends)) or "true"
            query = f"SELECT coalesce(sum(num_nonnulls({', '.join(names)})), 0)::int8 FROM {table.name} WHERE {where}"
            found[table.name] = int(value(connection, query, ends))
    return {name: count for name, count in found.items() if count}


def head_of(request: Request, source: str) -> PlanHead:
    """What a plan of the request would say of itself, as far as it matters here, before there is one."""
    return PlanHead(
        domain=request.domain,
        source=source,
        mode=request.mode,
        derivation_version=domains.find(request.domain).derivation_version,
        columns=request.columns,
        request=request.describe(),
    )


def note(connection: Connection, head: PlanHead) -> str:
    """What a person should read of it before: how many values may go, of how many columns of which tables."""
    found = at_most(connection, head)
    columns = counted(len(domains.find(head.domain).in_scope(head.columns)), "column")
    tables = f" ({', '.join(f'{count:,} of {name}' for name, count in found.items())})" if len(found) > 1 else ""
    values = counted(sum(found.values()), "stored value")
    return f"--clear: where NULL is computed, a stored value goes; at most {values} of {columns}{tables}"


def _ends(request: Mapping[str, object]) -> dict[str, datetime]:
    return {name: datetime.fromisoformat(str(end)) for name in ("start", "end") if (end := request.get(name))}


def _within(table: Table, ends: dict[str, datetime]) -> Iterator[str]:
    dated = table.dated
    if dated is None:
        return
    for name, end in ends.items():
        if dated.type != "date":
            yield f"{dated.name} {'>=' if name == 'start' else '<'} %({name})s"
        elif name == "start":
            yield f"{dated.name} >= '{end.date()}'"
        else:
            yield f"{dated.name} <= '{(end - timedelta(microseconds=1)).date()}'"

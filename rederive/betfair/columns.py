"""Which metric columns a report is about: scopes, column names, or a metric's name for all three roles."""

import difflib
from collections.abc import Sequence

from psycopg import sql

from schemas.betfair.tables import METRICS, ROLES, SCOPES
from schemas.errors import UsageError

_SHORT: dict[str, tuple[str, ...]] = {
    name.removeprefix("home_"): tuple(f"{role}_{name.removeprefix('home_')}" for role in ROLES)
    for name in METRICS
    if name.startswith("home_")
}


def select(words: str) -> tuple[str, ...]:
    """The columns of a comma-separated list, each once, in the order given.

    A word is a scope ("tier-a"), a column ("home_risk") or a metric of every role ("risk"). UsageError with the valid
    words when one is none of these, or when there is none.
    """
    found: dict[str, None] = {}
    for word in filter(None, (part.strip() for part in words.split(","))):
        columns = SCOPES.get(word) or _SHORT.get(word) or ((word,) if word in METRICS else ())
        if not columns:
            raise _unknown(word)
        found.update(dict.fromkeys(columns))
    if not found:
        raise UsageError("no column is named", mend=_valid())
    return tuple(found)


def headings(columns: Sequence[str]) -> list[str]:
    """Column headings: Home, Away, Draw when `columns` are one metric of the three roles, else their names."""
    if any(tuple(columns) == trio for trio in _SHORT.values()):
        return [role.capitalize() for role in ROLES]
    return list(columns)


def any_null(columns: Sequence[str], alias: str) -> sql.Composed:
    """The condition that any of `columns` of the table `alias` is NULL."""
    tests = (sql.SQL("{} IS NULL").format(sql.Identifier(alias, column)) for column in columns)
    return sql.SQL("({})").format(sql.SQL(" OR ").join(tests))


def listed(columns: Sequence[str], alias: str) -> sql.Composed:
    """`columns` of the table `alias` as a select list."""
    return sql.SQL(", ").join(sql.Identifier(alias, column) for column in columns)


def _unknown(word: str) -> UsageError:
    near = difflib.get_close_matches(word, [*SCOPES, *_SHORT, *METRICS], n=3)
    return UsageError(
        f"unknown column or scope {word!r}", why=f"did you mean {', '.join(near)}?" if near else "", mend=_valid()
    )


def _valid() -> str:
    return (
        f"name scopes ({', '.join(SCOPES)}); metrics, for every role ({', '.join(_SHORT)}); "
        f"or columns: a metric after {', '.join(f'{role}_' for role in ROLES)}, and total_volume"
    )

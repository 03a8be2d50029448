"""What a capture says that another one doesn't, or that isn't served: rows, columns, days, examples; reads only."""

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from psycopg import Connection

from rederive import captures as ledger
from rederive import domains
from schemas.capture import Capture, CaptureState
from schemas.domain import Domain
from schemas.errors import Failed, UsageError
from schemas.table import Column, Mode, Table
from sinks.comparing import Compared, compare
from sinks.distances import Tolerance
from sinks.policies import policy_of
from sinks.policy import Compares
from store import lineage

EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Comparison:
    """A capture, and the one that it is held against; without one what is served.

    `left_out` are the columns that not both have in their scope. With `undone` what is served of the capture's rows is
    held against what would be served without it.
    """

    domain: Domain
    one: Compares
    other: Compares | None
    columns: tuple[str, ...]
    left_out: tuple[str, ...]
    tables: tuple[Table, ...]
    tolerance: Tolerance | None = None
    undone: bool = False

    @classmethod
    def changes(cls, connection: Connection, capture: str) -> "Comparison":
        """What a capture has changed, or in shadow what it would. Errors as of `of`."""
        found = cls.of(connection, capture)
        return found if found.one.shadow else replace(found, undone=True)

    @classmethod
    def of(
        cls,
        connection: Connection,
        one: str,
        other: str | None = None,
        tables: Sequence[str] = (),
        columns: Sequence[str] = (),
        tolerance: Tolerance | None = None,
    ) -> "Comparison":
        """Of captures by their ids, runs' or partitions'. UsageError when they can't be compared, Failed as `find`.

        With `columns`, scopes or names, only these are, of the tables that have any.
        """
        first, own = side(connection, one)
        domain = domains.of_capture(first.domain)
        every = {column.name for table in domain.tables for column in table.values}
        scope = _scope(domain, first, every)
        against = None
        if other is not None:
            second, against = side(connection, other)
            if second.domain != first.domain:
                raise UsageError(
                    f"{one} and {other} can't be compared",
                    why=f"one is of {first.domain}, the other of {second.domain}",
                )
            scope &= _scope(domain, second, every)
        known = {table.name: table for table in domain.tables}
        if strange := [name for name in tables if name not in known]:
            raise UsageError(f"{domain.name} has no table {strange[0]}", why=f"it has {', '.join(known)}")
        if shown := [(name, shows.table.name) for name in tables if (shows := known[name].shows)]:
            named, others = shown[0]
            raise UsageError(
                f"{named} has no rows of its own", why=f"it shows those of {others}", mend=f"say --table {others}"
            )
        chosen = [known[name] for name in tables or known]
        if not tables:
            chosen = [table for table in chosen if not (table.audit or table.shows)]
        if columns:
            wanted = _named(domain, columns)
            chosen = [table for table in chosen if any(column.name in wanted for column in table.own_values)]
            if lacking := [name for name in columns if name in wanted - scope]:
                raise UsageError(f"{lacking[0]} can't be compared", why="not both have computed it")
            scope &= wanted
            every = wanted
        names = [column.name for table in chosen for column in table.values if column.name in every]
        return cls(
            domain,
            own,
            against,
            tuple(dict.fromkeys(name for name in names if name in scope)),
            tuple(dict.fromkeys(name for name in names if name not in scope)),
            tuple(chosen),
            tolerance,
        )

    def run(self, connection: Connection, examples: int = EXAMPLES) -> Iterator[Compared]:
        """Each table's differences."""
        for table in self.tables:
            policy = policy_of(table)
            sides = (
                policy.undone(connection, table, self.one)
                if self.undone
                else policy.sides(connection, table, self.one, self.other)
            )
            yield compare(connection, table, sides, self._compared(table), examples, self.tolerance)

    def _compared(self, table: Table) -> list[Column]:
        return [column for column in table.own_values if column.name in self.columns]


def tolerance_of(words: Sequence[str]) -> Tolerance | None:
    """What `0.001` (absolute) and `0.1%` (relative) mean together; None of no words. UsageError of others."""
    said = {"absolute": Decimal(0), "relative": Decimal(0)}
    for word in words:
        if not re.fullmatch(r"\d+(\.\d+)?(e-?\d+)?%?", word, re.ASCII | re.IGNORECASE):
            raise UsageError(
                f"{word!r} is no tolerance",
                mend="write an absolute one as 0.001, or one relative to the larger as 0.1%",
            )
        number = Decimal(word.removesuffix("%"))
        said.update({"relative": number / 100} if word.endswith("%") else {"absolute": number})
    return Tolerance(**said) if words else None


def _named(domain: Domain, words: Sequence[str]) -> set[str]:
    """The value columns that scopes and names mean. UsageError for an unknown one."""
    known = {column.name for table in domain.tables for column in table.own_values}
    for word in words:
        if word not in domain.scopes and word not in known:
            near = difflib.get_close_matches(word, [*domain.scopes, *known], 3) or sorted(domain.scopes)
            raise UsageError(f"{domain.name} has no column {word!r}", mend=f"say {', '.join(near)}")
    return domain.meant(words) & known


def side(connection: Connection, named: str) -> tuple[Capture, Compares]:
    """The run that a person's word names, and what it compares. Failed when it has kept no rows, or they are gone."""
    id_ = ledger.named(connection, named)
    partition = ledger.is_partition(connection, id_)
    run = (lineage.run_of(connection, id_) or id_) if partition else id_
    capture = ledger.find(connection, run)
    if capture.dry_run:
        raise Failed(f"{id_} can't be looked at", why="it is a dry run: it has kept no row")
    if capture.state in (CaptureState.ROLLED_BACK, CaptureState.ROLLING_BACK):
        raise Failed(f"{id_} can't be looked at", why=f"it is {capture.state}: its rows are gone")
    own = (id_,) if partition else tuple(lineage.captures_of_run(connection, run))
    return capture, Compares(run, own, capture.mode is Mode.SHADOW)


def _scope(domain: Domain, capture: Capture, every: set[str]) -> set[str]:
    """The value columns that it has computed: where it names none, all that there are."""
    return set(domain.in_scope(capture.columns)) if capture.columns else every

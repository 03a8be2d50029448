"""Whether what is stored is as what is kept of its making says: proofs that only read, and may run beside live.

A capture's counts, problems and origins are held against each other, rows against their histories (Policy.verify), a
live day against its log and against what had arrived.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import orjson
import psycopg
from psycopg import Connection

from producers.topics import watermarks
from rederive import captures as ledger
from rederive import coverage, domains
from rederive.checks import Check
from rederive.replayer import Replayer
from schemas.capture import CaptureState
from schemas.domain import Domain
from schemas.errors import UsageError
from schemas.lane import Lane, LaneName
from schemas.table import Table
from schemas.words import counted
from sinks import rollback
from sinks.policies import policy_of
from sinks.policy import Scope, Verified
from store import evidence, lineage
from store.evidence import Looked

_GONE = 2**63 - 1
"""The first offset kept in a partition that isn't there."""


@dataclass(slots=True)
class Verification:
    """The checks of one capture, a run's or a partition's, or of everything; iterate over them.

    `after` is a table and the key in it that rows are looked at behind: a verification that was stopped goes on so,
    with nothing but these. `place` is where this one stands.
    """

    replayer: Replayer
    capture: str | None = None
    after: tuple[str, tuple[str, ...]] | None = None
    place: tuple[str, tuple[str, ...]] | None = None

    def __iter__(self) -> Iterator[Check]:
        with self.replayer.connected("verification") as connection:
            connection.execute("SET default_transaction_read_only = on")
            for domain, looked in self._asked(connection):
                one = _OfDomain(self, connection, domain, looked)
                if self.after is None:
                    yield from one.evidence()
                if self.after is None or self.after[0] in {table.name for table in domain.tables}:
                    yield from one.rows()

    def _asked(self, connection: Connection) -> Iterator[tuple[Domain, list[Looked]]]:
        """Each domain with its captures that are asked for. Failed when a domain isn't there to say what must hold."""
        run = None
        if self.capture is not None:
            is_partition = ledger.is_partition(connection, self.capture)
            run = lineage.run_of(connection, self.capture) if is_partition else self.capture
        found = evidence.captures(connection, run)
        for name in dict.fromkeys(one.domain for one in found):
            yield domains.of_capture(name), [one for one in found if one.domain == name]


@dataclass
class _OfDomain:
    """What is verified of one domain."""

    verification: Verification
    connection: Connection
    domain: Domain
    captures: Sequence[Looked]

    @cached_property
    def scope(self) -> Scope | None:
        """What is asked for; None for all."""
        capture = self.verification.capture
        if capture is None:
            return None
        if capture == self.captures[0].capture_id:
            return Scope(self.domain, frozenset(lineage.units_of(self.connection, capture)), capture)
        return Scope(self.domain, frozenset(lineage.writers(self.connection, capture)))

    def evidence(self) -> Iterator[Check]:
        """The checks of captures."""
        yield self._states()
        yield self._counts()
        yield self._problems()
        yield self._origins()
        if any(one.inserts for one in self.captures):
            yield self._writes()
        if live := [one for one in self.captures if one.live]:
            yield from coverage.checks(self.verification.replayer, self.connection, self.domain, live)

    def _named(self, what: str) -> Check:
        return Check(f"{self.domain.name}: {what}", counted(len(self.captures), "capture"))

    def _states(self) -> Check:
        """Every unit of a capture that goes on or is complete has an outcome; nothing is left of one taken back."""
        check = self._named("units")
        working = ledger.at_work(self.connection)
        for one in self.captures:
            id_, stand = one.capture_id, evidence.standing(self.connection, one.capture_id)
            if stand.open and id_ in working:
                check.apart.append(f"{id_}: {counted(stand.open, 'unit')} on their way, it is being run")
            elif stand.open and one.state in (CaptureState.RUNNING, CaptureState.COMPLETE):
                why = f"{counted(stand.open, 'unit')} of {stand.units:,} without an outcome"
                check.blame(f"rederive captures resume {id_}", stand.open, capture=id_, why=why)
            if stand.cancelled:
                given_up = f"{counted(stand.cancelled, 'unit')} given up when it was cancelled"
                check.apart.append(f"{id_}: {given_up} (rederive captures resume {id_})")
            if stand.dead:
                check.apart.append(
                    f"{id_}: {counted(stand.dead, 'unit')} dead, for what `rederive captures show` says "
                    f"(rederive captures retry {id_})"
                )
            if stand.unexplained:
                why = f"{counted(stand.unexplained, 'unit')} dead without a reason"
                check.blame(f"rederive captures retry {id_}", stand.unexplained, capture=id_, why=why)
            if one.state is CaptureState.PROMOTING:
                check.apart.append(f"{id_}: it is half promoted ({ledger.way_on(id_, one.state)})")
            if one.state is CaptureState.ROLLING_BACK:
                check.blame(ledger.rollback_again(id_), capture=id_, why="it is half rolled back")
            elif one.state is CaptureState.ROLLED_BACK:
                for table, left in rollback.remaining(self.connection, self.domain, id_).items():
                    why = f"it is rolled back, and {table} has {counted(left, 'row')} of its history left"
                    check.blame(f"delete them from rederive.{table}_history", left, capture=id_, why=why)
        return check

    def _counts(self) -> Check:
        check = self._named("counts")
        for one in self.captures:
            for unit in evidence.miscounted(self.connection, one.capture_id):
                why = (
                    f"{unit.rows:,} rows, but {unit.updated:,} updated, {unit.unchanged:,} unchanged, "
                    f"{unit.skipped:,} skipped, {unit.errors:,} errors"
                )
                check.blame(self._anew(one), capture=one.capture_id, unit=unit.unit, range=unit.key_range, why=why)
        return check

    def _problems(self) -> Check:
        check = self._named("problems")
        for one in self.captures:
            for unit in evidence.misexplained(self.connection, one.capture_id):
                why = f"{unit.skipped:,} skipped and {unit.errors:,} errors, but {counted(unit.problems, 'problem')}"
                check.blame(self._anew(one), capture=one.capture_id, unit=unit.unit, range=unit.key_range, why=why)
            for place in evidence.unexplained(self.connection, one.capture_id) if one.live else ():
                mend = f"rederive replay-topic {self.domain.name}"
                check.blame(mend, capture=one.capture_id, record=place, why="it is dead, and no problem says why")
        return check

    def _anew(self, one: Looked) -> str:
        """What makes evidence anew that was changed by hand: the same work under another capture."""
        if one.live:
            return f"rederive replay-topic {self.domain.name}"
        return f"rederive replay {self.domain.name}, over the same range"

    def _origins(self) -> Check:
        """What has an outcome stands on its topic at an offset that is noted."""
        check = self._named("origins")
        prefix = self.verification.replayer.settings.topic_prefix
        topics = {lane: Lane(self.domain.name, lane, prefix).raw for lane in LaneName}
        kept: dict[str, dict[int, int]] = {}
        for one in self.captures:
            unnoted = [] if one.live else evidence.unnoted(self.connection, one.capture_id, topics)
            gone = 0
            for unit in unnoted:
                topic = topics[LaneName(unit.lane)]
                if topic not in kept:
                    kafka = self.verification.replayer.settings.kafka_config()
                    kept[topic] = {partition: low for partition, (low, _) in watermarks(kafka, topic).items()}
                if kept[topic].get(unit.partition, _GONE) > unit.record_offset:
                    gone += 1
                    continue
                record = f"{topic}[{unit.partition}]@{unit.record_offset}"
                why = "its unit has an outcome, and nothing notes the record"
                check.blame(self._anew(one), capture=one.capture_id, unit=unit.unit, record=record, why=why)
            if gone:
                check.apart.append(
                    f"{one.capture_id}: {counted(gone, 'record')} that nothing notes, dropped by retention since"
                )
        return check

    def _writes(self) -> Check:
        """What units count as written under captures of partitions is there."""
        check = self._named("written captures")
        for one in self.captures:
            if not one.inserts or one.dry_run or one.state is CaptureState.ROLLED_BACK:
                continue
            writing = evidence.writing(self.connection, one.capture_id)
            held: dict[str, dict[str, int]] = {}
            for table in self.domain.tables:
                wanted = sorted({capture for unit in writing for capture in unit.writes})
                held[table.name] = policy_of(table).held(self.connection, table, wanted)
            for unit in writing:
                tables = self.domain.stages.get(unit.stage) or tuple(held)
                if not any(held[table].get(capture, 0) for table in tables for capture in unit.writes):
                    why = f"{counted(unit.updated, 'row')} written, and none is there"
                    check.blame(self._anew(one), capture=one.capture_id, unit=unit.unit, range=unit.key_range, why=why)
            rows, there = sum(unit.updated for unit in writing), sum(sum(one.values()) for one in held.values())
            if there < rows:
                check.apart.append(f"{one.capture_id}: {rows:,} rows written, {there:,} there: others were deleted")
        return check

    def rows(self) -> Iterator[Check]:
        """The checks of tables, in the order of the domain; what others have written or deleted is said apart."""
        verification = self.verification
        for table in self.domain.tables:
            after: tuple[str, ...] = ()
            if verification.after is not None:
                if verification.after[0] != table.name:
                    continue
                after, verification.after = verification.after[1], None
            if self.scope is not None and not policy_of(table).concerns(table, self.scope):
                continue
            verification.place = (table.name, after)
            found = Verified()
            if after:
                _checked(self.connection, table, after)
            for done in policy_of(table).verify(self.connection, table, self.scope, after):
                found += done
                if done.place is not None:
                    verification.place = (table.name, done.place)
            yield self._of_rows(table, found)
        verification.place = None

    def _of_rows(self, table: Table, found: Verified) -> Check:
        check = Check(f"{self.domain.name}: {table.name}", counted(found.rows, "row"))
        check.wrong = found.wrong
        check.faults = [fault._asdict() for fault in found.faults]
        if found.wrong:
            check.mends.append(
                f"see who has written there by hand; `rederive replay {self.domain.name}` with --all-rows or another "
                "capture computes rows anew, a rollback folds them again from what is kept"
            )
        for count, keys, what in (
            (found.written_outside, found.outside, "written from outside since"),
            (found.deleted_outside, found.deleted, "deleted from outside, a replay of their keys brings them back"),
        ):
            if count:
                first = " ".join(",".join(key) for key in keys)
                check.apart.append(f"{counted(count, 'row')} {what}: {first}{' …' if count > len(keys) else ''}")
        return check


def parsed(words: str) -> tuple[str, tuple[str, ...]]:
    """A table and a key as `said` writes them. UsageError for other words."""
    table, equals, key = words.partition("=")
    try:
        parts = orjson.loads(key)
    except orjson.JSONDecodeError:
        parts = None
    if not equals or not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
        raise UsageError(f"--after {words!r} is no place", mend='say it as it was printed: TABLE=["KEY"]')
    return table, tuple(parts)


def _checked(connection: Connection, table: Table, after: tuple[str, ...]) -> None:
    """UsageError when the parts are no key of the table."""
    types = [column.type for column in table.key[: len(after)]]
    try:
        connection.execute(f"SELECT {', '.join(f'%s::text::{one}' for one in types)}", after[: len(types)])
    except psycopg.DataError as error:
        why = str(error.diag.message_primary)
        raise UsageError(f"--after names no key of {table.name}", why=why, mend="say it as it was printed") from None


def said(place: tuple[str, tuple[str, ...]]) -> str:
    """A table and a key as one word."""
    return f"{place[0]}={orjson.dumps(list(place[1])).decode()}"

"""Apply the results of one capture in one transaction: notes, staging, merge, units."""

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import orjson
import psycopg
from psycopg import Connection

from schemas.capture import CaptureState
from schemas.outcome import Outcome
from schemas.table import Domain, Mode, Table
from schemas.unit import Origin
from sinks import notes
from sinks.gone import without_gone
from sinks.insertion import Blocks, insert, would_insert
from sinks.merge import Writer, merge
from sinks.staging import Staged


@dataclass(frozen=True, slots=True)
class Result:
    """A unit's whole outcome as it came from the derived topic; `unit` is None when no plan numbered it."""

    origin: Origin
    capture_id: str
    unit: int | None
    outcome: Outcome


@dataclass(slots=True)
class Applied:
    """What became of a batch of results. `refused` are those that the database would not take, with its reason."""

    applied: int = 0
    repeated: int = 0
    discarded: int = 0
    refused: list[tuple[Result, str]] = field(default_factory=list)

    def __iadd__(self, other: "Applied") -> "Applied":
        self.applied += other.applied
        self.repeated += other.repeated
        self.discarded += other.discarded
        self.refused += other.refused
        return self


def apply(connection: Connection, domain: Domain, capture_id: str, results: Sequence[Result]) -> Applied:
    """Apply results of one capture; a unit that the database refuses is found by halving and made dead, whole.

    A row whose source row isn't there (any more) is a skip of its own and no reason to refuse its unit.
    psycopg.Error other than of SQLSTATE classes 22 and 23 passes through with nothing written.
    """
    try:
        return _apply_together(connection, domain, capture_id, results)
    except (psycopg.DataError, psycopg.IntegrityError, _UnreadableError) as error:
        # More may go before the next try: each has fewer rows than the last.
        if isinstance(error, psycopg.errors.ForeignKeyViolation) and (
            left := _without_gone(connection, domain, results)
        ):
            return apply(connection, domain, capture_id, left)
        if len(results) > 1:
            middle = len(results) // 2
            done = apply(connection, domain, capture_id, results[:middle])
            done += apply(connection, domain, capture_id, results[middle:])
            return done
        (refused,) = results
        reason = str(error) if isinstance(error, _UnreadableError) else f"{type(error).__name__}: {error}".strip()
        given_up = Result(refused.origin, capture_id, refused.unit, Outcome(read=refused.outcome.read, dead=reason))
        done = _apply_together(connection, domain, capture_id, [given_up])
        done.refused.append((refused, reason))
        return done


def _without_gone(connection: Connection, domain: Domain, results: Sequence[Result]) -> list[Result] | None:
    left = without_gone(connection, domain, [result.outcome for result in results])
    if left is None:
        return None
    return [replace(result, outcome=outcome) for result, outcome in zip(results, left, strict=True)]


# What staging and COPY raise for values that don't fit their columns, before Postgres has seen them.
_UNFIT = (ValueError, KeyError, TypeError, OverflowError, struct.error)


class _UnreadableError(Exception):
    """An outcome whose rows don't fit the table spec."""


def _apply_together(connection: Connection, domain: Domain, capture_id: str, results: Sequence[Result]) -> Applied:
    with connection.transaction():
        writer = _writer(connection, capture_id)
        if writer is None:
            # The records of a run that is cancelled or rolled back end here; resuming sends their units again.
            return _discard(connection, capture_id, results)
        if writer.dry_run:
            # What is only counted meets no foreign key.
            results = _without_gone(connection, domain, results) or results
        known = notes.lock(connection, capture_id, [result.origin for result in results])
        fresh = _first_of_each_unit(connection, capture_id, [r for r in results if r.origin not in known])
        alive = [result for result in fresh if result.outcome.dead is None]
        inserts = writer.mode is Mode.INSERT
        changed: Counter[int] = Counter()
        for table in domain.tables:
            blocks = [
                (number, block)
                for number, result in enumerate(alive)
                for block in result.outcome.tables
                if block.table == table.name
            ]
            try:
                written = _write(connection, table, blocks, writer)
            except _UNFIT as error:
                raise _UnreadableError(f"{type(error).__name__}: {error}") from error
            if not inserts or (table.policy is Mode.INSERT and not table.audit):
                changed += written
        dead = {result.origin for result in results if result.outcome.dead is not None}
        notes.add(connection, capture_id, [r.origin for r in results if r.origin not in dead], dead)
        _settle(connection, capture_id, [(r, changed[n]) for n, r in enumerate(alive)], inserts=inserts)
        _settle(connection, capture_id, [(r, 0) for r in fresh if r.outcome.dead is not None], inserts=inserts)
        return Applied(applied=len(fresh), repeated=len(results) - len(fresh))


def _write(connection: Connection, table: Table, blocks: Blocks, writer: Writer) -> Counter[int]:
    """Write rows as their table wants it; return how many changed, per unit number. A dry run only counts them.

    In a capture that inserts, the tables that don't keep to their own policy.
    """
    if table.policy is Mode.INSERT:
        return (would_insert if writer.dry_run else insert)(connection, table, blocks)
    staged = Staged(table)
    for number, block in blocks:
        staged.add(number, block.whole())
    return merge(connection, staged, replace(writer, mode=table.policy) if writer.mode is Mode.INSERT else writer)


def _writer(connection: Connection, capture_id: str) -> Writer | None:
    row = connection.execute(
        """SELECT number, mode, derivation_version, dry_run, state FROM rederive.captures
           WHERE capture_id = %s FOR SHARE""",
        [capture_id],
    ).fetchone()
    if row is None or row[4] != CaptureState.RUNNING:
        return None
    return Writer(capture_id, row[0], Mode(row[1]), row[2], row[3])


def _discard(connection: Connection, capture_id: str, results: Sequence[Result]) -> Applied:
    if connection.execute("SELECT 1 FROM rederive.captures WHERE capture_id = %s", [capture_id]).fetchone():
        origins = [result.origin for result in results]
        known = notes.lock(connection, capture_id, origins)
        notes.add(connection, capture_id, [], [origin for origin in origins if origin not in known])
    return Applied(discarded=len(results))


def _first_of_each_unit(connection: Connection, capture_id: str, results: list[Result]) -> list[Result]:
    """Leave out results of units that have been applied by another record, or come twice in this batch."""
    numbers = [result.unit for result in results if result.unit is not None]
    seen = {
        row[0]
        for row in connection.execute(
            "SELECT unit FROM rederive.units WHERE capture_id = %s AND unit = ANY(%s) AND state = 'applied'",
            [capture_id, numbers],
        )
    }
    first = []
    for result in sorted(results, key=lambda result: result.outcome.dead is not None):
        if result.unit is None:
            first.append(result)
        elif result.unit not in seen:
            seen.add(result.unit)
            first.append(result)
    return first


def _settle(connection: Connection, capture_id: str, settled: Sequence[tuple[Result, int]], *, inserts: bool) -> None:
    """Write units' outcomes and their rows' problems.

    Of a capture that inserts, `updated` are the new rows, however many were read for them, and none is `unchanged`.
    """
    planned = [(r, updated) for r, updated in settled if r.unit is not None]
    if not planned:
        return
    units = []
    problems = []
    for result, changed in planned:
        outcome = result.outcome
        dead = outcome.dead is not None
        skipped, errors = (0, 0) if dead else (len(outcome.skips), len(outcome.errors))
        answered = 0 if dead else max(outcome.read - skipped - errors, 0)
        # Where a source row gives several rows it counts once.
        updated = changed if inserts else min(changed, answered)
        units.append(
            {
                "unit": result.unit,
                "state": "dead" if dead else "applied",
                "partition": result.origin.partition,
                "record_offset": result.origin.offset,
                "read": outcome.read,
                "updated": updated,
                "unchanged": 0 if inserts else answered - updated,
                "skipped": skipped,
                "errors": errors,
                "failure": outcome.dead,
            }
        )
        problems += [
            {"unit": result.unit, "ordinal": n, "key": p.key, "reason": p.reason, "message": p.text.replace("\0", "")}
            for n, p in enumerate([] if dead else [*outcome.skips, *outcome.errors])
        ]
    numbers = [result.unit for result, _ in planned]
    connection.execute("DELETE FROM rederive.problems WHERE capture_id = %s AND unit = ANY(%s)", [capture_id, numbers])
    # A dead unit's rows are all errors, however many of them could be read. Of a log's record nobody knew the rows.
    connection.execute(
        """UPDATE rederive.units u SET state = v.state, partition = v.partition, record_offset = v.record_offset,
               updated = v.updated, skipped = v.skipped,
               rows = CASE WHEN u.rows = 0 THEN v.read ELSE u.rows END,
               errors = CASE WHEN v.state = 'dead' THEN greatest(u.rows, v.read, 1) ELSE v.errors END,
               unchanged = v.unchanged, failure = v.failure
           FROM jsonb_to_recordset(%s::jsonb) AS v(unit int, state text, partition int, record_offset int8, read int,
               updated int, unchanged int, skipped int, errors int, failure text)
           WHERE u.capture_id = %s AND u.unit = v.unit AND u.state <> 'applied'""",
        [orjson.dumps(units).decode(), capture_id],
    )
    if problems:
        connection.execute(
            """INSERT INTO rederive.problems (capture_id, unit, ordinal, key, reason, message)
               SELECT %s, v.* FROM jsonb_to_recordset(%s::jsonb)
                   AS v(unit int, ordinal int, key jsonb, reason text, message text)""",
            [capture_id, orjson.dumps(problems).decode()],
        )

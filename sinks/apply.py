"""Apply the results of one capture in one transaction: notes, staging, merge, units."""

import struct
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import psycopg
from psycopg import Connection

from schemas.capture import CaptureState
from schemas.domain import Domain
from schemas.outcome import Outcome, RowProblem
from schemas.table import Mode
from schemas.unit import Origin
from sinks.gone import without_gone
from sinks.policies import policy_of
from sinks.policy import Writer
from store import captures, origins, problems, units


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
        known = origins.lock(connection, capture_id, [result.origin for result in results])
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
                policy = policy_of(table)
                written = policy.write(connection, table, policy.stage(table, blocks, writer.mode), writer)
            except _UNFIT as error:
                raise _UnreadableError(f"{type(error).__name__}: {error}") from error
            if not inserts or (table.policy is Mode.INSERT and not table.audit):
                changed += written
        dead = {result.origin for result in results if result.outcome.dead is not None}
        origins.add(connection, capture_id, [r.origin for r in results if r.origin not in dead], dead)
        _settle(connection, capture_id, [(r, changed[n]) for n, r in enumerate(alive)], inserts=inserts)
        _settle(connection, capture_id, [(r, 0) for r in fresh if r.outcome.dead is not None], inserts=inserts)
        return Applied(applied=len(fresh), repeated=len(results) - len(fresh))


def _writer(connection: Connection, capture_id: str) -> Writer | None:
    capture = captures.held(connection, capture_id)
    if capture is None or capture.state is not CaptureState.RUNNING:
        return None
    return Writer(capture_id, capture.number, capture.mode, capture.derivation_version, capture.dry_run)


def _discard(connection: Connection, capture_id: str, results: Sequence[Result]) -> Applied:
    if captures.find(connection, capture_id) is not None:
        given = [result.origin for result in results]
        known = origins.lock(connection, capture_id, given)
        origins.add(connection, capture_id, [], [origin for origin in given if origin not in known])
    return Applied(discarded=len(results))


def _first_of_each_unit(connection: Connection, capture_id: str, results: list[Result]) -> list[Result]:
    """Leave out results of units that have been applied by another record, or come twice in this batch."""
    seen = units.applied_of(connection, capture_id, [result.unit for result in results if result.unit is not None])
    first = []
    for result in sorted(results, key=lambda result: result.outcome.dead is not None):
        if result.unit is None:
            first.append(result)
        elif result.unit not in seen:
            seen.add(result.unit)
            first.append(result)
    return first


def _settle(connection: Connection, capture_id: str, settled: Sequence[tuple[Result, int]], *, inserts: bool) -> None:
    """Write units' outcomes and their rows' problems."""
    planned = {result.unit: (result, changed) for result, changed in settled if result.unit is not None}
    if planned:
        found = {unit: _problems(result.outcome) for unit, (result, _) in planned.items()}
        problems.replace(connection, capture_id, found)
        units.settle(connection, capture_id, [_settled(unit, *of, inserts=inserts) for unit, of in planned.items()])


def _problems(outcome: Outcome) -> Sequence[RowProblem]:
    return [] if outcome.dead is not None else [*outcome.skips, *outcome.errors]


def _settled(unit: int, result: Result, changed: int, *, inserts: bool) -> units.Settled:
    """A unit's counts; where rows are inserted, new rows however many were read for them, and none is unchanged."""
    outcome = result.outcome
    place = (unit, result.origin.partition, result.origin.offset, outcome.read)
    if outcome.dead is not None:
        return units.Settled(*place, failure=outcome.dead)
    skipped, errors = len(outcome.skips), len(outcome.errors)
    answered = max(outcome.read - skipped - errors, 0)
    # Where a source row gives several rows it counts once.
    updated = changed if inserts else min(changed, answered)
    unchanged = 0 if inserts else answered - updated
    return units.Settled(*place, updated=updated, unchanged=unchanged, skipped=skipped, errors=errors)

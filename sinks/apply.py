"""Apply the results of one capture in one transaction: notes, staging, merge, units."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

import psycopg
from psycopg import Connection

from schemas.capture import Capture, CaptureState
from schemas.domain import Domain
from schemas.live import LiveDay
from schemas.outcome import Outcome, RowProblem
from schemas.table import Mode
from schemas.unit import Origin
from sinks.gone import without_gone
from sinks.live import inserts as why_of_a_run
from sinks.live import on_day
from sinks.policies import policy_of
from sinks.policy import Writer
from sinks.ready import UNFIT, Ready, make_ready
from store import captures, live, origins, problems, units


@dataclass(frozen=True, slots=True)
class Result:
    """A unit's whole outcome as it came from the derived topic; `unit` is None when no plan numbered it.

    Of what came live, in milliseconds since 1970: when its rows weren't there yet, when its raw record was sent, and
    when its outcome was. Of a record that was sent again after it died, `first` is where it stood the first time.
    """

    origin: Origin
    capture_id: str
    unit: int | None
    outcome: Outcome
    looked: int | None = None
    sent: int | None = None
    computed: int | None = None
    first: Origin | None = None
    attempt: int = 1

    @property
    def identity(self) -> int | Origin:
        """What it must come only once by: its unit, or the record itself where no plan numbered it."""
        return (self.first or self.origin) if self.unit is None else self.unit

    @property
    def origins(self) -> tuple[Origin, ...]:
        """The places that it answers for: with that of the first attempt, which is dead until another is applied."""
        return (self.origin,) if self.first is None else (self.first, self.origin)


@dataclass(slots=True)
class Applied:
    """What became of results of one capture, whose mode is None where it doesn't run.

    `fresh` are those that had not come before, `refused` those that the database would not take, with its reason.
    `rows` are counts by outcome.
    """

    mode: Mode | None = None
    fresh: list[Result] = field(default_factory=list)
    applied: int = 0
    repeated: int = 0
    discarded: int = 0
    rows: Counter[str] = field(default_factory=Counter)
    refused: list[tuple[Result, str]] = field(default_factory=list)

    def __iadd__(self, other: "Applied") -> "Applied":
        self.mode = other.mode
        self.fresh += other.fresh
        self.applied += other.applied
        self.repeated += other.repeated
        self.discarded += other.discarded
        self.rows += other.rows
        self.refused += other.refused
        return self


def apply(
    connection: Connection, domain: Domain, capture_id: str, results: Sequence[Result], ready: Ready | None = None
) -> Applied:
    """Apply results of one capture; a unit that the database refuses is found by halving and made dead, whole.

    `ready` are their outcomes, staged ahead; where they were not, or some turn out to be repeats, it is done here.
    A row whose source row isn't there (any more) is a skip of its own and no reason to refuse its unit.
    psycopg.Error other than of SQLSTATE classes 22, 23 and 54 passes through with nothing written.
    """
    if LiveDay.read(capture_id, domain.name) and (reason := why_of_a_run(domain)):
        return _give_up(connection, domain, capture_id, results, reason)
    try:
        return _apply_together(connection, domain, capture_id, results, ready)
    except _REFUSALS as error:
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
        reason = str(error) if isinstance(error, _UnreadableError) else f"{type(error).__name__}: {error}".strip()
        return _give_up(connection, domain, capture_id, results, reason)


def _give_up(
    connection: Connection, domain: Domain, capture_id: str, results: Sequence[Result], reason: str
) -> Applied:
    """Make results dead, whole."""
    dead = [replace(result, outcome=Outcome(read=result.outcome.read, dead=reason)) for result in results]
    done = _apply_together(connection, domain, capture_id, dead)
    done.refused += [(result, reason) for result in results]
    return done


def places_of(results: Iterable[Result]) -> list[Origin]:
    """All places that results answer for."""
    return [origin for result in results for origin in result.origins]


def living(results: Iterable[Result]) -> list[Result]:
    """Those whose rows are to be written: not of the dead, and of the same unit only the first."""
    seen: set[int | Origin] = set()
    found = []
    for result in results:
        if result.outcome.dead is None and result.identity not in seen:
            found.append(result)
            seen.add(result.identity)
    return found


def _without_gone(connection: Connection, domain: Domain, results: Sequence[Result]) -> list[Result] | None:
    left = without_gone(connection, domain, [result.outcome for result in results])
    if left is None:
        return None
    return [replace(result, outcome=outcome) for result, outcome in zip(results, left, strict=True)]


class _UnreadableError(Exception):
    """An outcome whose rows don't fit the table spec."""


# Of class 54 what a value brings about: one too long for an index, one nested too deeply.
_REFUSALS = (
    psycopg.DataError,
    psycopg.IntegrityError,
    psycopg.errors.ProgramLimitExceeded,
    psycopg.errors.StatementTooComplex,
    _UnreadableError,
)


def _apply_together(
    connection: Connection, domain: Domain, capture_id: str, results: Sequence[Result], ready: Ready | None = None
) -> Applied:
    given = len(results)
    with connection.transaction():
        if day := LiveDay.read(capture_id, domain.name):
            capture, results = on_day(connection, domain, day, results)
        elif (held := captures.held(connection, capture_id)) is None or held.state is not CaptureState.RUNNING:
            # The records of a run that is cancelled or rolled back end here; resuming sends their units again.
            return _discard(connection, capture_id, results)
        else:
            capture = held
        writer = _writer(capture)
        capture_id = writer.capture_id
        if writer.dry_run:
            # What is only counted meets no foreign key.
            results = _without_gone(connection, domain, results) or results
        known = origins.lock(connection, capture_id, places_of(results))
        fresh = _first_of_each_unit(connection, capture_id, [r for r in results if known.isdisjoint(r.origins)])
        alive = living(fresh)
        inserts = capture.inserts
        changed = _write(connection, domain, [result.outcome for result in alive], writer, ready, inserts=inserts)
        # A record that dies again is dead once, where it stood first: its later attempts are done with.
        dead = {result.first or result.origin for result in results if result.outcome.dead is not None}
        done = [place for place in places_of(results) if place not in dead]
        done += [result.first for result in results if result.first and result.outcome.dead is None]
        origins.add(connection, capture_id, done, dead)
        rows = _settle(connection, capture_id, [(r, changed[n]) for n, r in enumerate(alive)], inserts=inserts)
        _settle(connection, capture_id, [(r, 0) for r in fresh if r.outcome.dead is not None], inserts=inserts)
        return Applied(writer.mode, fresh, applied=len(fresh), repeated=given - len(fresh), rows=rows)


def _write(
    connection: Connection,
    domain: Domain,
    outcomes: Sequence[Outcome],
    writer: Writer,
    ready: Ready | None,
    *,
    inserts: bool,
) -> Counter[int]:
    """Write the outcomes' rows, table by table; how many rows changed that count, by the outcome's place."""
    changed: Counter[int] = Counter()
    try:
        # Ahead nobody knows what a capture clears.
        if ready is None or writer.clear or not ready.serves(outcomes, writer.mode):
            ready = make_ready(domain, outcomes, writer.mode, clears=bool(writer.clear))
        for table in domain.tables:
            written = policy_of(table).write(connection, table, ready.tables[table.name], writer)
            if not inserts or (table.policy is Mode.INSERT and not table.audit):
                changed += written
    except UNFIT as error:
        raise _UnreadableError(f"{type(error).__name__}: {error}") from error
    return changed


def _writer(capture: Capture) -> Writer:
    return Writer(
        capture.capture_id,
        capture.number,
        capture.mode,
        capture.derivation_version,
        capture.dry_run,
        capture.clear,
    )


def _discard(connection: Connection, capture_id: str, results: Sequence[Result]) -> Applied:
    if captures.find(connection, capture_id) is not None:
        given = places_of(results)
        known = origins.lock(connection, capture_id, given)
        origins.add(connection, capture_id, [], [origin for origin in given if origin not in known])
    return Applied(discarded=len(results))


def _first_of_each_unit(connection: Connection, capture_id: str, results: list[Result]) -> list[Result]:
    """Leave out results of units that have been applied by another record, or come twice in this batch."""
    seen: set[int | Origin] = set(
        units.applied_of(connection, capture_id, [result.unit for result in results if result.unit is not None])
    )
    first = []
    for result in sorted(results, key=lambda result: result.outcome.dead is not None):
        if result.identity not in seen:
            seen.add(result.identity)
            first.append(result)
    return first


def _settle(
    connection: Connection, capture_id: str, changed: Sequence[tuple[Result, int]], *, inserts: bool
) -> Counter[str]:
    """Write units' outcomes and their rows' problems; the rows by outcome."""
    settled = [(result, _settled(result.unit or 0, result, count, inserts=inserts)) for result, count in changed]
    live.count(connection, capture_id, [_counted(*of) for of in settled if of[0].unit is None])
    planned = {result.unit: (result, counts) for result, counts in settled if result.unit is not None}
    if planned:
        found = {unit: _problems(result.outcome) for unit, (result, _) in planned.items()}
        problems.replace(connection, capture_id, found)
        units.settle(connection, capture_id, [counts for _, counts in planned.values()])
    return Counter(
        updated=sum(counts.updated for _, counts in settled),
        unchanged=sum(counts.unchanged for _, counts in settled),
        skipped=sum(counts.skipped for _, counts in settled),
        errors=sum(counts.errors for _, counts in settled),
    )


def _counted(result: Result, settled: units.Settled) -> live.Counted:
    """A live record's counts; why it is dead stands among its problems, under the place where it was first."""
    outcome = result.outcome
    problems = _problems(outcome)
    errors = settled.errors
    if outcome.dead is not None:
        errors = max(outcome.read, 1)
        problems = [RowProblem((str(result.first or result.origin),), live.DEAD, outcome.dead)]
    return live.Counted(
        result.origin,
        max(outcome.read, errors),
        settled.updated,
        settled.unchanged,
        settled.skipped,
        errors,
        problems,
        # A dead one may come twice, too.
        result.first or (result.origin if outcome.dead is not None else None),
    )


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

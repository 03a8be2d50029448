"""The explanation of one stored value: who wrote it, from which record and which parts of it, and what else was said.

Shapes: `explain` gives an Explanation, whose `describe` is what `--json` prints (docs/commands.md).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC
from typing import Any

from psycopg import Connection

from rederive.named_rows import column_of, json_key, no_row, whole_key
from rederive.raw_records import RawRecord, RawRecords
from schemas.capture import Capture
from schemas.domain import Domain
from schemas.provenance import Wanted
from schemas.table import CAPTURE, Column, Mode, Table
from sinks.policies import policy_of
from sinks.policy import Claim, Claims
from store import captures, lineage, problems
from store.captures import Listed
from store.problems import Noted

_LOOKED_AT = 5
"""So many of the newest captures are asked whether they have read a row that no capture has an entry of."""


@dataclass(frozen=True, slots=True)
class Again:
    """A value computed again from the inputs alone, as JSON has it; `equal` to what its capture has kept."""

    value: Any
    equal: bool


@dataclass(frozen=True, slots=True)
class Ranked:
    """A claim with its place, the run that made it, and a sentence on it."""

    rank: int
    claim: Claim
    run: str
    made: Listed | None
    note: str

    def describe(self, table: Table) -> dict[str, Any]:
        """As one JSON object."""
        one = self.claim
        return {
            "rank": self.rank,
            "kind": one.kind,
            "capture_id": one.capture_id or None,
            "run": self.run or None,
            "source": table.sources[one.source] if one.kind not in ("outside", "baseline") else None,
            "observed": one.observed,
            "derivation_version": one.derivation_version,
            "arrival": one.arrival,
            "made_at": self.made.created_at if self.made else None,
            "value": one.value,
            "counts": one.counts,
            "note": self.note,
        }


@dataclass(frozen=True, slots=True)
class Explanation:
    """What `rederive explain` says of a column of a row.

    `by` is the claim whose record is shown: the one that counts, else the highest that has the column in its scope.
    """

    domain: Domain
    table: Table
    key: Mapping[str, str]
    column: Column
    claims: Claims
    ranked: tuple[Ranked, ...]
    why: str
    by: Ranked | None = None
    capture: Capture | None = None
    made: Listed | None = None
    record: RawRecord | None = None
    again: Again | None = None
    noted: Noted | None = None
    unread: tuple[str, ...] = field(default=())

    def describe(self) -> dict[str, Any]:
        """As one JSON object."""
        said, capture, made, record = self.claims, self.capture, self.made, self.record
        return {
            "domain": self.domain.name,
            "table": self.table.name,
            "key": dict(self.key),
            "column": self.column.name,
            "type": self.column.type,
            "stored": {
                "there": said.there,
                "value": said.value,
                "capture_id": said.capture_id,
                "derivation_version": said.derivation_version,
                "changed_at": said.changed_at,
                "written_outside_since": said.outside,
            },
            "why": self.why,
            "capture": None if capture is None or made is None else {
                "capture_id": capture.capture_id,
                "mode": capture.mode.value,
                "source": capture.source,
                "derivation_version": capture.derivation_version,
                "state": capture.state.value,
                "made_at": made.created_at,
                "finished_at": made.finished_at,
                "who": made.who,
                "reason": made.reason,
                "in_scope": _in_scope(capture, self.table, self.column.name),
            },
            "record": None if record is None else {
                **(asdict(record.origin) if record.origin else {"topic": None, "partition": None, "offset": None}),
                "unit": record.unit,
                "key_range": record.key_range,
                "locator": record.locator,
                "read_from": record.read_from,
                "of": asdict(record.wanted),
            },
            "inputs": [asdict(one) for one in record.traced.inputs] if record else [],
            "computed": None if self.again is None else asdict(self.again),
            "current_derivation_version": self.domain.derivation_version,
            "ranked": [one.describe(self.table) for one in self.ranked],
            "problem": None if self.noted is None else asdict(self.noted),
            "unread": list(self.unread),
        }  # fmt: skip


def explain(records: RawRecords, table: Table, word: str, column_name: str) -> Explanation:
    """Explain a column of a row, by its key as a person writes it. Failed when nobody knows of such a row."""
    domain, connection = records.domain, records.services.connection
    column = column_of(domain, table, column_name)
    key = whole_key(connection, table, word)
    claims = policy_of(table).claims(connection, table, key, column.name)
    noted = None if claims.there else problems.of_key(connection, domain.name, list(key.values()))
    if not claims.there and not claims.ranked and noted is None:
        raise no_row(connection, table, key, word)
    ranked = tuple(_ranked(connection, table, column.name, claims))
    return _Looking(domain, connection, table, key, column, claims, ranked, noted, records).explained()


def _ranked(connection: Connection, table: Table, column: str, claims: Claims) -> Sequence[Ranked]:
    found = []
    counted = False
    for rank, claim in enumerate(claims.ranked, start=1):
        run = claim.capture_id
        if run and captures.find(connection, run) is None:
            run = lineage.run_of(connection, run) or ""
        capture = captures.find(connection, run) if run else None
        made = next(iter(captures.listed(connection, limit=1, capture_id=run)), None) if run else None
        note = _note(table, column, claim, capture, below=counted)
        counted = counted or claim.counts
        found.append(Ranked(rank, claim, run, made, note))
    return found


def _note(table: Table, column: str, claim: Claim, capture: Capture | None, *, below: bool) -> str:
    group = next((group for group in table.groups if column in group), ())
    if claim.kind == "insert":
        return "the row asked for" if claim.counts else "another capture's row, which stays as it is"
    if claim.kind == Mode.SHADOW:
        return "it is served once it is promoted"
    if claim.counts and claim.value is None and not group:
        return "it clears what stands below it"
    if claim.counts:
        return f"{', '.join(group)} are taken from it together" if group else "the value is taken from it"
    if claim.value is None:
        if capture is not None and not _in_scope(capture, table, column):
            return "the column was not in scope"
        return "it says nothing"
    return "what stands above it has a value" if below else "it is not the highest of its group that says something"


def _in_scope(capture: Capture, table: Table, column: str) -> bool:
    return not capture.columns or column in capture.columns or column not in [one.name for one in table.values]


@dataclass(slots=True)
class _Looking:
    """What is known so far, on the way to an explanation."""

    domain: Domain
    connection: Connection
    table: Table
    key: Mapping[str, str]
    column: Column
    claims: Claims
    ranked: tuple[Ranked, ...]
    noted: Noted | None
    records: RawRecords

    def explained(self) -> Explanation:
        by = next((one for one in self.ranked if one.claim.counts), None) or next(
            filter(self._computed, self.ranked), None
        )
        capture, record, again = None, None, None
        if by is not None and by.run:
            capture = captures.find(self.connection, by.run)
        elif by is None and self.noted is not None:
            capture = captures.find(self.connection, self.noted.capture_id)
        if capture is not None:
            record = self._record(capture, by.claim if by else None)
        elif by is None and not self.table.bare:
            capture, record = self._silent()
        if record is not None and record.computed.there:
            again = self._again(record, by.claim.text if by else None)
        made = (
            next(iter(captures.listed(self.connection, limit=1, capture_id=capture.capture_id)), None)
            if capture
            else None
        )
        return Explanation(
            self.domain,
            self.table,
            self.key,
            self.column,
            self.claims,
            self.ranked,
            self._why(by, capture, record),
            by,
            capture,
            made,
            record,
            again,
            self.noted,
            tuple(dict.fromkeys(self.records.unread)) if record is None else (),
        )

    def _computed(self, one: Ranked) -> bool:
        """Whether a capture has computed the column and serves it, if only to find NULL."""
        if one.claim.kind == Mode.SHADOW:
            return False
        capture = captures.find(self.connection, one.run) if one.run else None
        return capture is not None and _in_scope(capture, self.table, self.column.name)

    def _wanted(self, claim: Claim | None) -> Wanted:
        key = json_key(self.connection, self.table, self.key)
        source = claim.source if claim else 0
        observed = claim.observed.astimezone(UTC).isoformat() if claim and claim.observed else None
        shows = self.table.shows
        if shows is None or self.claims.shown is None or self.column.name not in shows.columns:
            observed = None if self.table.partition else observed
            return Wanted(self.table.name, key, self.column.name, source, observed)
        # The row is another table's: that of the capture shown.
        own = {
            column.name: self.claims.shown if column.name == CAPTURE else key[_shown_as(shows.columns, column.name)]
            for column in shows.table.key
        }
        return Wanted(shows.table.name, own, shows.columns[self.column.name], source)

    def _record(self, capture: Capture, claim: Claim | None) -> RawRecord | None:
        wanted = self._wanted(claim)
        if wanted.table != self.table.name:
            run = lineage.run_of(self.connection, str(wanted.key[CAPTURE]))
            capture = (captures.find(self.connection, run) if run else None) or capture
        return self.records.find(capture, wanted, claim.value if claim else None, skipped=claim is None)

    def _silent(self) -> tuple[Capture | None, RawRecord | None]:
        """A capture that has read the row and found nothing to say: then it has no entry."""
        for one in captures.listed(self.connection, limit=_LOOKED_AT, domain=self.domain.name, dry_run=False):
            capture = captures.find(self.connection, one.capture_id)
            if capture is None or capture.mode is Mode.SHADOW:
                continue
            if one.state in ("running", "complete") and _in_scope(capture, self.table, self.column.name):
                record = self.records.find(capture, self._wanted(None), None)
                if record is not None:
                    return capture, record
        return None, None

    def _again(self, record: RawRecord, kept: str | None) -> Again:
        """The value computed again, made of the column's type as the stored one is."""
        value = record.computed.value
        if value is None:
            return Again(None, kept is None)
        text = json.dumps(value) if self.column.type == "jsonb" or not isinstance(value, str) else value
        row = self.connection.execute(
            f"SELECT to_jsonb(v), v::text FROM (SELECT %s::text::{self.column.type} AS v) c", [text]
        ).fetchone()
        assert row is not None
        return Again(row[0], row[1] == kept)

    def _why(self, by: Ranked | None, capture: Capture | None, record: RawRecord | None) -> str:
        """In a sentence, why the value is what it is."""
        name = self.column.name
        if self.claims.outside and self.ranked:
            return "the row was written from outside since a merge last wrote it; the next merge takes that up"
        if not self.claims.there:
            if self.noted is not None:
                said = f"{self.noted.reason}: {self.noted.message}"
                done = "is an error" if self.noted.reason in ("error", "dead") else "was skipped"
                return f"there is no row: it {done} in {self.noted.capture_id}: {said}"
            if all(one.claim.kind == Mode.SHADOW for one in self.ranked):
                return "there is no row: what would make it is in shadow, and is served once it is promoted"
            return "there is no row: it was deleted from outside; a capture that computes it again brings it back"
        if by is not None and by.claim.counts and by.claim.kind == "outside":
            return "it was written from outside, no capture computed it"
        if by is not None and by.claim.counts and by.claim.kind == "baseline":
            return "it stood there before a capture first touched the row"
        if self.claims.value is not None:
            return f"{by.run} computed it" if by else "it was written from outside, and no capture has touched the row"
        if capture is None:
            scoped = any(one.run for one in self.ranked)
            return f"{name} was not in scope of any capture of the row" if scoped else "no capture has ever computed it"
        reason = record and (record.traced.reason or record.computed.wrong)
        nothing = (
            reason or next((one.note for one in record.traced.inputs if not one.used and one.note), "")
            if record
            else ""
        )
        return f"{capture.capture_id} computed it, and it is NULL" + (f": {nothing}" if nothing else "")


def _shown_as(columns: Mapping[str, str], name: str) -> str:
    """The name under which a view shows another table's column."""
    return next((shown for shown, own in columns.items() if own == name), name)

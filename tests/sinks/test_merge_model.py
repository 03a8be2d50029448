"""Merging, rollback and outside writes against an in-memory model, on real Postgres."""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from schemas.outcome import TableRows
from schemas.table import Mode, Table
from sinks.merge.merging import folding, merge, prepare
from sinks.merge.policy import Merge
from sinks.merge.promised import promised
from sinks.merge.rollback import roll_back
from sinks.merge.staging import Staged
from sinks.policies import policy_of
from sinks.policy import Promoted, Taken, Verified, Writer
from tests.sinks.made_tables import MODES, ONE_SOURCE, THREE_SOURCES, TWO_SOURCES, make, make_capture
from tests.sizes import usual

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
TABLES = {table.name: table for table in (ONE_SOURCE, TWO_SOURCES, THREE_SOURCES)}
COLUMNS = sorted({column.name for table in TABLES.values() for column in table.values})
NONE: frozenset[str] = frozenset()
Row = dict[str, Any]
Place = tuple[int, int, int]
"""Key, source, observed."""


@dataclass
class Entry:
    """What one capture, or somebody outside (capture None), said of a key."""

    arrival: int
    source: int
    capture: int | None
    observed: int
    values: Row


@dataclass
class Captured:
    mode: Mode
    version: int
    number: int
    running: bool = True
    clear: frozenset[str] = frozenset()


@dataclass
class Model:
    """A table as the rules of docs/merging.md say it, without SQL."""

    table: Table
    captures: dict[int, Captured]
    entries: dict[int, list[Entry]] = field(default_factory=dict)
    base: dict[int, Row | None] = field(default_factory=dict)
    rows: dict[int, Row | None] = field(default_factory=dict)
    named: dict[int, int | None] = field(default_factory=dict)
    """The capture that a row names."""
    shadows: dict[int, dict[Place, Row]] = field(default_factory=dict)
    """What captures have kept that aren't promoted."""
    arrivals: int = 0

    def names(self) -> list[str]:
        return [column.name for column in self.table.columns]

    def group(self, name: str) -> tuple[str, ...]:
        return next((group for group in self.table.groups if name in group), (name,))

    def ranked(self, key: int, owners: tuple[int, ...]) -> list[tuple[Row, frozenset[str]]]:
        """The key's list for the columns of these owners, top first; with each row the columns that it clears."""
        ranked: list[tuple[str, Row, tuple[int, ...], frozenset[str]]] = [("base", self.base[key] or {}, (), NONE)]
        for entry in sorted(self.entries[key], key=lambda e: (e.arrival, e.observed, e.source)):
            if entry.capture is None:
                ranked.insert(0, ("outside", entry.values, (), NONE))
                continue
            capture = self.captures[entry.capture]
            if capture.mode is Mode.FILL:
                ranked.append(("fill", entry.values, (), NONE))
                continue
            rank = (3 if entry.source in owners else 2, entry.observed, capture.version, capture.number, entry.source)
            above = [at for at, (kind, _, other, _) in enumerate(ranked) if kind == "supersede" and other > rank]
            clears = capture.clear if entry.source in owners else NONE
            ranked.insert(above[-1] + 1 if above else 0, ("supersede", entry.values, rank, clears))
        return [(values, clears) for _, values, _, clears in ranked]

    def fold(self, key: int) -> Row | None:
        if key not in self.base:
            return self.rows.get(key)
        if self.base[key] is None and not self.entries[key]:
            return None
        folded: Row = {}
        for column in self.table.columns:
            group = self.group(column.name)
            folded[column.name] = next(
                (
                    values.get(column.name)
                    for values, clears in self.ranked(key, column.owners)
                    if any(values.get(name) is not None or name in clears for name in group)
                ),
                None,
            )
        return folded

    def write(self, key: int, row: Row | None, capture: int | None) -> None:
        """A changed row names the capture that changed it."""
        if row != self.rows.get(key):
            self.rows[key], self.named[key] = row, capture

    def last(self, key: int) -> int | None:
        """The capture that said something of the key last, of those left."""
        said = [(entry.arrival, entry.capture) for entry in self.entries[key] if entry.capture is not None]
        return max(said)[1] if said else None

    def touch(self, key: int) -> None:
        """First touch keeps the baseline; later ones note what was written from outside."""
        self.arrivals += 1
        if key not in self.base:
            self.base[key] = self.rows.get(key)
            self.entries[key] = []
            return
        row = self.rows.get(key)
        if row is None:
            return
        folded = self.fold(key) or {}
        said: Row = {}
        for name, value in row.items():
            group = self.group(name)
            if len(group) == 1:
                if value is not None and value != folded.get(name):
                    said[name] = value
            elif any(row[n] is not None for n in group) and any(row[n] != folded.get(n) for n in group):
                said[name] = value
        if said or self.fold(key) is None:
            said.update({column.name: row[column.name] for column in self.table.attributes})
            self.entries[key].append(Entry(self.arrivals, -1, None, self.arrivals, said))


def covered(model: Model, said: dict[Place, Row], place: Place) -> bool:
    """Whether a later row of the same key and source has a value wherever this one has."""
    key, source, observed = place
    groups = [model.group(column.name) for column in model.table.values]
    return any(
        all(
            any(later[name] is not None for name in group) or all(said[place][name] is None for name in group)
            for group in groups
        )
        for (other_key, other_source, when), later in said.items()
        if (other_key, other_source) == (key, source) and when > observed
    )


VALUES = st.one_of(st.none(), st.integers(1, 4).map(float))
KEYS = st.integers(1, 3)
CLEARED = st.one_of(st.just(NONE), st.frozensets(st.sampled_from(COLUMNS), min_size=1, max_size=6))


class Merging(RuleBasedStateMachine):
    connection: psycopg.Connection

    @initialize()
    def begin(self) -> None:
        names = ", ".join(f"{name}, rederive.{name}_history, rederive.{name}_baseline" for name in TABLES)
        self.connection.execute(f"TRUNCATE {names}, rederive.captures CASCADE")
        self.captures: dict[int, Captured] = {}
        self.said: dict[tuple[str, int], dict[Place, Row]] = {}
        self.models = {name: Model(table, self.captures) for name, table in TABLES.items()}

    @rule(mode=st.sampled_from([*MODES, Mode.SHADOW]), version=st.integers(1, 2), cleared=CLEARED)
    def capture(self, mode: Mode, version: int, cleared: frozenset[str]) -> None:
        if len(self.captures) < 5:
            number = len(self.captures) + 1
            clear = cleared if mode is Mode.SUPERSEDE else NONE
            self.captures[number] = Captured(mode, version, number, clear=clear)
            make_capture(self.connection, number, mode, version, clear=sorted(clear))

    @rule(data=st.data(), name=st.sampled_from(sorted(TABLES)))
    def apply(self, data: st.DataObject, name: str) -> None:
        running = [number for number, capture in self.captures.items() if capture.running]
        if not running:
            return
        number = data.draw(st.sampled_from(running))
        table, model, capture = TABLES[name], self.models[name], self.captures[number]
        columns = [column.name for column in table.values]
        rows = st.fixed_dictionaries(dict.fromkeys(columns, VALUES))
        places = st.tuples(KEYS, st.integers(0, len(table.sources) - 1), st.integers(1, 3))
        drawn: dict[Place, Row] = data.draw(st.dictionaries(places, rows, min_size=1, max_size=5))
        # Captures say the same again, often: then it is another one that stands behind an unchanged row.
        others = [said for (other, _), said in self.said.items() if other == name]
        again: dict[Place, Row] = data.draw(st.sampled_from([{}, *others]))
        if again:
            drawn = {place: {column: row[column] for column in columns} for place, row in again.items()}
        # A capture says the same of the same again: of what it needn't keep it would know no repeat.
        said = self.said.setdefault((name, number), {})
        drawn = {place: said.setdefault(place, row) for place, row in drawn.items()}
        blocks = []
        for (key, source, observed), row in drawn.items():
            seen = (EPOCH + timedelta(seconds=observed)).isoformat()
            block = TableRows.of(table, ("k", "seen", *columns), [[key, seen, *(row[c] for c in columns)]], source)
            blocks.append((0, block))
            row.update({column.name: EPOCH + timedelta(seconds=observed) for column in table.attributes})
        writer = self.writer(number)
        before, times = self.stored(name), self.times(name)
        with self.connection.transaction():
            staged = Staged(table, blocks, capture.mode, clears=bool(capture.clear))
            changed = merge(self.connection, staged, writer)
        if capture.mode is Mode.SHADOW:
            model.shadows.setdefault(number, {}).update(drawn)
            assert (self.stored(name), self.times(name)) == (before, times), "a shadow changes no row"
            return
        self.expect(model, number, drawn)
        after = self.stored(name)
        assert changed[0] == sum(before.get(key) != after.get(key) for key in after), "changed rows are counted"
        self.check_times(name, before, times)

    def writer(self, number: int) -> Writer:
        capture = self.captures[number]
        return Writer(f"c{number}", capture.number, capture.mode, capture.version, clear=tuple(sorted(capture.clear)))

    @rule(data=st.data(), cleared=CLEARED)
    def promote(self, data: st.DataObject, cleared: frozenset[str]) -> None:
        shadows = [number for number, one in self.captures.items() if one.running and one.mode is Mode.SHADOW]
        if not shadows:
            return
        number = data.draw(st.sampled_from(shadows))
        capture = self.captures[number]
        capture.number, capture.clear = 100 + max(one.number for one in self.captures.values()), cleared
        if data.draw(st.booleans()):
            # Of a domain that comes to none of these tables; but who promotes doesn't know.
            make_capture(self.connection, capture.number + 50, Mode.FILL, 1)
        previews = {
            name: policy_of(table).promotion(self.connection, table, self.writer(number))
            for name, table in TABLES.items()
        }
        capture.mode = Mode.SUPERSEDE
        self.connection.execute(
            "UPDATE rederive.captures SET (number, mode, clear) = (%s, 'supersede', %s) WHERE capture_id = %s",
            [capture.number, sorted(cleared) or None, f"c{number}"],
        )
        for name, table in TABLES.items():
            model, preview = self.models[name], previews[name]
            before, times, coming = self.stored(name), self.times(name), self.coming(name, number)
            foreign = {key for key, row in model.rows.items() if key in model.base and row != model.fold(key)}
            done = sum(policy_of(table).promote(self.connection, table, self.writer(number)), Promoted())
            self.expect(model, number, model.shadows.pop(number, {}))
            after = self.stored(name)
            changed = {key for key, row in after.items() if before.get(key) != row}
            assert done.changed == len(changed)
            if not foreign:
                assert coming == {key: after[key] for key in coming}
                assert (preview.entries, preview.rows) == (done.entries, done.rows)
                names = [column.name for column in table.values]
                values = [(column, before.get(key), after[key]) for key in changed for column in names]
                differ = [(column, old, new) for column, old, new in values if (old or {}).get(column) != new[column]]
                moved = {
                    key
                    for key in changed
                    if key not in before or any(before[key][column] != after[key][column] for column in names)
                }
                assert preview.changed == len(moved)
                assert preview.columns == Counter(column for column, _, _ in differ)
                assert preview.cleared == sum(new[c] is None and c in cleared for c, _, new in differ)
            self.check_times(name, before, times)

    def coming(self, name: str, number: int) -> dict[int, Row]:
        """What a comparison says that rows would be."""
        sql, columns, writer = folding(TABLES[name]), self.models[name].names(), self.writer(number)
        parameters = {"capture": writer.capture_id, "number": writer.number, "clear": list(writer.clear) or None}
        found = self.connection.execute(
            f"SELECT k, {', '.join(columns)} FROM ({promised(sql, clears=bool(writer.clear))}) f",
            {**parameters, **sql.range([None], [None])},
        )
        return {row[0]: dict(zip(columns, row[1:], strict=True)) for row in found}

    def expect(self, model: Model, number: int, drawn: dict[Place, Row]) -> None:
        values = [column.name for column in model.table.values]
        bare = model.table.bare or bool(self.captures[number].clear)
        said = {place: row for place, row in drawn.items() if bare or any(row[v] is not None for v in values)}
        new = {
            (key, source, observed): row
            for (key, source, observed), row in said.items()
            if not any(
                entry.capture == number and entry.source == source and entry.observed == observed
                for entry in model.entries.get(key, [])
            )
        }
        # Rows that can say nothing are kept here: that they change nothing is what is tested.
        precedes = self.captures[number].mode is Mode.SUPERSEDE
        all_said = self.said.get((model.table.name, number), {})
        keys = {place[0] for place in new if not (precedes and covered(model, all_said, place))}
        for key in keys:
            model.touch(key)
        model.arrivals += 1
        for (key, source, observed), row in new.items():
            model.entries[key].append(Entry(model.arrivals, source, number, observed, row))
        for key in keys:
            model.write(key, model.fold(key), number)

    @rule(data=st.data())
    def rollback(self, data: st.DataObject) -> None:
        running = [number for number, capture in self.captures.items() if capture.running]
        if not running:
            return
        number = data.draw(st.sampled_from(running))
        self.captures[number].running = False
        for name, table in TABLES.items():
            before, times = self.stored(name), self.times(name)
            entries = self.entries(name, number)
            done = sum(roll_back(self.connection, table, f"c{number}"), Taken())
            after = self.stored(name)
            assert done.entries == entries
            assert done.deleted == len(before.keys() - after.keys())
            assert done.changed == sum(before[key] != row for key, row in after.items())
            self.check_times(name, before, times)
            model = self.models[name]
            model.shadows.pop(number, None)
            for key in [k for k, found in model.entries.items() if any(e.capture == number for e in found)]:
                model.touch(key)
                model.entries[key] = [entry for entry in model.entries[key] if entry.capture != number]
                if model.rows.get(key) is not None:
                    model.write(key, model.fold(key), model.last(key))
                if model.named.get(key) not in {entry.capture for entry in model.entries[key]}:
                    model.named[key] = model.last(key)

    @rule(name=st.sampled_from(sorted(TABLES)), key=KEYS, data=st.data(), delete=st.integers(0, 9))
    def write_from_outside(self, name: str, key: int, data: st.DataObject, delete: int) -> None:
        model = self.models[name]
        if delete == 0:
            self.connection.execute(f"DELETE FROM {name} WHERE k = %s", [key])
            model.rows[key] = model.named[key] = None
            return
        columns = model.names()
        values = [column.name for column in model.table.values]
        row: Row = data.draw(st.dictionaries(st.sampled_from(values), VALUES, min_size=1))
        for column in model.table.attributes:
            row[column.name] = EPOCH + timedelta(seconds=data.draw(st.integers(1, 3)))
        self.connection.execute(
            f"""INSERT INTO {name} (k, {", ".join(row)}) VALUES (%s, {", ".join(["%s"] * len(row))})
                ON CONFLICT (k) DO UPDATE SET {", ".join(f"{c} = excluded.{c}" for c in row)}""",
            [key, *row.values()],
        )
        model.rows[key] = {**dict.fromkeys(columns), **(model.rows.get(key) or {}), **row}

    @rule(name=st.sampled_from(sorted(TABLES)), key=KEYS, data=st.data())
    def claims_stand_in_the_order_of_the_list(self, name: str, key: int, data: st.DataObject) -> None:
        model, table = self.models[name], TABLES[name]
        column = data.draw(st.sampled_from(table.values))
        found = policy_of(table).claims(self.connection, table, {"k": str(key)}, column.name)
        row = model.rows.get(key)
        assert (found.there, found.value) == (row is not None, (row or {}).get(column.name))
        served = [one for one in found.ranked if one.kind != "shadow"]
        shadows = found.ranked[len(served) :]
        said = [row[column.name] for of in model.shadows.values() for (k, _, _), row in of.items() if k == key]
        assert all(one.kind == "shadow" and not one.counts and one.value in said for one in shadows)
        assert bool(shadows) == bool(said), "what is in shadow is shown"
        if key not in model.base:
            assert not served
            return
        ranked = iter([values.get(column.name) for values, _ in model.ranked(key, column.owners)])
        # A capture's entries that others of it cover aren't kept.
        assert all(any(one.value == other for other in ranked) for one in served)
        assert [one.kind for one in served].count("baseline") == 1
        top = [one.value for one in served if one.counts]
        assert len(top) <= 1
        assert next(iter(top), None) == (model.fold(key) or {}).get(column.name)

    def stored(self, name: str) -> dict[int, Row]:
        columns = self.models[name].names()
        rows = self.connection.execute(f"SELECT k, {', '.join(columns)} FROM {name}")
        return {row[0]: dict(zip(columns, row[1:], strict=True)) for row in rows}

    def times(self, name: str) -> dict[int, datetime | None]:
        """When each row was last changed, where the table says so."""
        touched = TABLES[name].touched
        return dict(self.connection.execute(f"SELECT k, {touched} FROM {name}").fetchall()) if touched else {}

    def check_times(self, name: str, before: dict[int, Row], times: dict[int, datetime | None]) -> None:
        after = self.stored(name)
        for key, time in self.times(name).items():
            assert (time != times.get(key)) == (before.get(key) != after[key]), "a changed row says when"

    def entries(self, name: str, number: int) -> int:
        query = f"SELECT count(*) FROM rederive.{name}_history WHERE capture_id = %s"
        row = self.connection.execute(query, [f"c{number}"]).fetchone()
        assert row is not None
        return int(row[0])

    @invariant()
    def rows_name_the_capture_behind_them(self) -> None:
        for name, model in getattr(self, "models", {}).items():
            stored = {
                key: (capture, version)
                for key, capture, version in self.connection.execute(
                    f"SELECT k, capture_id, derivation_version FROM {name}"
                )
            }
            named = {key: model.named.get(key) for key, row in model.rows.items() if row is not None}
            assert stored == {
                key: (None, None) if number is None else (f"c{number}", self.captures[number].version)
                for key, number in named.items()
            }, name

    @invariant()
    def what_is_served_is_verified(self) -> None:
        for table in getattr(self, "models", {}) and TABLES.values():
            found = sum(Merge().verify(self.connection, table), Verified())
            assert found.faults == [], "what is merged is verified"

    @invariant()
    def serving_is_the_fold(self) -> None:
        for name, model in getattr(self, "models", {}).items():
            assert self.stored(name) == {key: row for key, row in model.rows.items() if row is not None}, name


@pytest.mark.services
def test_merging_equals_its_model(migrated: str) -> None:
    with psycopg.connect(migrated, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        for table in TABLES.values():
            make(connection, table)
        prepare(connection, tuple(TABLES.values()))

        class Machine(Merging):
            pass

        Machine.connection = connection
        run_state_machine_as_test(
            Machine,
            settings=settings(
                max_examples=usual(30, long=60),
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )

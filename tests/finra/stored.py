"""Runs as the store holds them: units computed here, their rows inserted, no Kafka."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import orjson
import psycopg
from psycopg.types.json import Jsonb

from processors.finra.process import outcome_of
from producers.finra.locators import FileWork
from producers.finra.picks import Captured, Wanted, planned
from schemas.finra import tables
from schemas.finra.file import content_hash
from schemas.finra.partition import capture_id, partition_of
from schemas.finra.units import FileUnit, FinraUnit, RawUnit, VolumeUnit
from schemas.finra.versions import CALCS, work_of
from schemas.outcome import Outcome
from schemas.table import Table
from store import units


def store(connection: psycopg.Connection, outcome: Outcome) -> None:
    """The rows of an outcome in their tables; those that are there stay, but for the manifest's."""
    for block in outcome.tables:
        table = tables.FINRA.table(block.table).written
        names = [column.name for column in (*table.key, *table.columns) if column.name in block.columns]
        rows = [dict(zip(block.columns, row, strict=True)) for row in block.rows()]
        values = ", ".join(f"{column.name} = excluded.{column.name}" for column in table.values)
        key = ", ".join(column.name for column in table.key)
        then = f"({key}) DO UPDATE SET {values}" if table is tables.MANIFEST else "DO NOTHING"
        connection.execute(
            f"""INSERT INTO {table.name} ({", ".join(names)})
                SELECT {", ".join(names)} FROM jsonb_populate_recordset(NULL::{table.name}, %s)
                ON CONFLICT {then}""",
            [Jsonb(rows, dumps=orjson.dumps)],
        )


@dataclass(slots=True)
class Run:
    """A run; each method computes one unit, stores its rows and returns the partition capture that was written."""

    connection: psycopg.Connection
    capture_id: str

    @classmethod
    def made(
        cls,
        connection: psycopg.Connection,
        start: date | None = None,
        end: date | None = None,
        tiers: Sequence[str] = (),
        *,
        made_at: str = "2026-06-01T00:00:00+00:00",
    ) -> "Run":
        row = connection.execute(
            """WITH minted AS (SELECT nextval('rederive.capture_number') AS number)
               INSERT INTO rederive.captures (capture_id, number, domain, source, mode, derivation_version, columns,
                   request, digest, who, state, created_at, finished_at)
               SELECT 'finra-20260601-' || number, number, 'finra', 'files', 'insert', 1, '{}', %s, '', 'tests',
                      'complete', %s::timestamptz, %s::timestamptz + interval '10 seconds' FROM minted
               RETURNING capture_id""",
            [Jsonb({"start": _midnight(start), "end": _midnight(end), "keys": list(tiers)}), made_at, made_at],
        ).fetchone()
        assert row is not None
        return cls(connection, row[0])

    def ingest(self, text: str, week: date, tier: str, at: datetime, name: str = "file.csv", **more: Any) -> str:
        """A file, of the week and tier given."""
        unit = FileUnit(
            file_name=name, content=text, week_ending=week, tier=tier, captured_at=at, execution_id=self.capture_id,
            capture_id=capture_id(tier, week, at), **more,
        )  # fmt: skip
        return self._keep(unit, week, tier, (), locator=FileWork, path=name, sha256=content_hash(text))

    def normalize(self, capture: str, at: datetime, source_file: str = "file.csv", **more: Any) -> str:
        """The stored raw rows of a capture, again."""
        return self._again(RawUnit, tables.RAW, capture, at, source_file=source_file, **more)

    def aggregate(self, capture: str, at: datetime, **more: Any) -> str:
        """The stored normalised rows of a capture, again."""
        return self._again(VolumeUnit, tables.VENUE_VOLUME, capture, at, **more)

    def _again(self, kind: type[RawUnit | VolumeUnit], table: Table, capture: str, at: datetime, **more: Any) -> str:
        week, tier = partition_of(capture)
        unit = kind(
            week_ending=week, tier=tier, captured_at=at, execution_id=self.capture_id, input_capture_id=capture,
            capture_id=capture_id(tier, week, at), **more,
        )  # fmt: skip
        rows = self.connection.execute(
            f"SELECT {', '.join(kind.ROWS)} FROM {table.name} WHERE capture_id = %s ORDER BY 1, 2", [capture]
        ).fetchall()
        plain = [[each.isoformat() if isinstance(each, date) else each for each in row] for row in rows]
        return self._keep(unit, week, tier, plain, inputs=[capture])

    def _keep(
        self,
        unit: FileUnit | RawUnit | VolumeUnit,
        week: date,
        tier: str,
        rows: Sequence[Sequence[Any]],
        inputs: Sequence[str] = (),
        **more: Any,
    ) -> str:
        outcome = outcome_of(unit, rows)
        store(self.connection, outcome)
        assert unit.capture_id is not None
        work = work_of(unit.calc) if unit.calc else unit.work
        versions: Mapping[str, str] = {calc: unit.version(calc) for calc in work if calc in CALCS}
        done = planned(
            unit.kind, week, [tier], [Captured(unit.capture_id, unit.captured_at)],
            wanted=Wanted(work=work, versions=versions, reject_zero_volume=_rejects_zero(unit)),
            work=work, inputs=inputs, **more,
        )  # fmt: skip
        with self.connection.transaction():
            units.append(self.connection, self.capture_id, [done])
            self.connection.execute(
                """UPDATE rederive.units SET state = 'applied', rows = %(rows)s, skipped = %(skipped)s
                   WHERE capture_id = %(run)s AND state = 'planned'""",
                {"run": self.capture_id, "rows": outcome.read, "skipped": len(outcome.skips)},
            )
        return unit.capture_id


def _rejects_zero(unit: FinraUnit) -> bool:
    return unit.reject_zero_volume if isinstance(unit, FileUnit | RawUnit) else True


def _midnight(day: date | None) -> str | None:
    return f"{day}T00:00:00+00:00" if day else None


def rows(connection: psycopg.Connection, table: str, capture: str) -> list[dict[str, Any]]:
    """A capture's rows of a table, all columns."""
    with connection.cursor(row_factory=psycopg.rows.dict_row) as cursor:
        return cursor.execute(f"SELECT * FROM {table} WHERE capture_id = %s", [capture]).fetchall()


def checks(connection: psycopg.Connection, capture: str) -> dict[str, tuple[str, dict[str, Any]]]:
    """Status and details of a capture's checks, by name."""
    found = connection.execute(
        "SELECT check_name, status, details_json FROM core_quality WHERE capture_id = %s", [capture]
    )
    return {name: (status, details) for name, status, details in found}

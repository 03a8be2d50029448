"""The SQL of staging and merging, made from a table spec. Pure text: nothing here talks to a database.

Beside each serving table T stand `rederive.T_history` (what each capture computed) and `rederive.T_baseline` (what
the row was when a capture first touched it, and the key's lock). A serving row is always the fold of both.
Rank of an entry in a row's list, per owner of a column, as a bigint array, higher wins:

    supersede   [3 own source | 2 other source, observed, derivation version, capture number, 0, source]
    outside     the highest rank that had arrived before it, then its own arrival
    baseline    [1, 0, 0, 0, 0]
    fill        [0, -arrival, -observed, -source, 0]
"""

from functools import cached_property

from schemas.table import Mode, Table
from sinks.staging import copied_as

OUTSIDE_SOURCE = -1


class Statements:
    """The statements of one table. Parameters are psycopg's named ones, said at each."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.serving = table.name
        self.history = f"rederive.{table.name}_history"
        self.baseline = f"rederive.{table.name}_baseline"
        self.stage = f"stage_{table.name}"
        self.slow = f"slow_{table.name}"
        self.locked = f"locked_{table.name}"
        self.folded = f"folded_{table.name}"
        self.key = [column.name for column in table.key]
        self.columns = [column.name for column in table.columns]
        self._owners = sorted({column.owners for column in table.columns})
        self.keys = ", ".join(self.key)
        self.names = ", ".join(self.columns)
        self.staged = [*self.key, "source", "observed", *self.columns, "unit"]
        self.staged_types = [
            *(column.type for column in table.key),
            "int2",
            "timestamptz",
            *(column.type for column in table.columns),
            "int4",
        ]
        self.copied_types = [copied_as(type_) for type_ in self.staged_types]
        self._touch = f", {table.touched} = now()" if table.touched else ""
        self._touched = (f", {table.touched}", ", now()") if table.touched else ("", "")

    def _on(self, left: str, right: str) -> str:
        return " AND ".join(f"{left}.{name} = {right}.{name}" for name in self.key)

    @staticmethod
    def _of(alias: str, names: list[str]) -> str:
        return ", ".join(f"{alias}.{name}" for name in names)

    def _distinct(self, keys: str) -> str:
        return f"(SELECT DISTINCT {self.keys} FROM {keys}) q"

    def _group(self, name: str) -> tuple[str, ...]:
        return next((group for group in self.table.groups if name in group), (name,))

    @cached_property
    def make_temporary(self) -> str:
        """The temporary tables of a connection; they are emptied by every commit."""
        staged = ", ".join(f"{n} {t}" for n, t in zip(self.staged, self.staged_types, strict=True))
        keys = ", ".join(f"{column.name} {column.type}" for column in self.table.key)
        values = ", ".join(f"{column.name} {column.type}" for column in self.table.columns)
        return f"""
            CREATE TEMP TABLE IF NOT EXISTS {self.stage} ({staged}) ON COMMIT DELETE ROWS;
            CREATE INDEX IF NOT EXISTS {self.stage}_key ON {self.stage} ({self.keys});
            CREATE TEMP TABLE IF NOT EXISTS {self.slow} ({keys}, PRIMARY KEY ({self.keys})) ON COMMIT DELETE ROWS;
            CREATE TEMP TABLE IF NOT EXISTS {self.locked} ({keys}, row_xmin xid, PRIMARY KEY ({self.keys}))
                ON COMMIT DELETE ROWS;
            CREATE TEMP TABLE IF NOT EXISTS {self.folded} ({keys}, {values}, present bool, entries int8,
                capture_id text, derivation_version int4, row_xmin xid, PRIMARY KEY ({self.keys}))
                ON COMMIT DELETE ROWS;
        """

    @cached_property
    def copy(self) -> str:
        """Binary COPY into the stage: key, source, observed, columns, unit."""
        return f"COPY {self.stage} ({', '.join(self.staged)}) FROM STDIN (FORMAT BINARY)"

    @cached_property
    def analyse(self) -> str:
        """Tell the planner how many keys are staged."""
        return f"ANALYZE {self.stage} ({self.keys})"

    def insert_baseline(self, keys: str) -> str:
        """Baselines of keys that no capture has touched, in key order; `keys` is a table of keys."""
        return f"""
            INSERT INTO {self.baseline} ({self.keys}, present, row_xmin, {self.names})
            SELECT {self._of("q", self.key)}, s.{self.key[0]} IS NOT NULL, s.xmin, {self._of("s", self.columns)}
            FROM {self._distinct(keys)} LEFT JOIN {self.serving} s ON {self._on("q", "s")}
            WHERE NOT EXISTS (SELECT FROM {self.baseline} b WHERE {self._on("b", "q")})
            ORDER BY {self._of("q", self.key)}
            ON CONFLICT DO NOTHING"""

    def lock_baseline(self, keys: str) -> str:
        """Lock the keys, in key order."""
        return f"""
            SELECT FROM {self._distinct(keys)} JOIN {self.baseline} b ON {self._on("b", "q")}
            ORDER BY {self._of("b", self.key)} FOR NO KEY UPDATE OF b"""

    def lock_serving(self, keys: str) -> str:
        """Lock the serving rows of the keys, in key order, and keep which writes were seen.

        Nobody writes these rows from outside while they are folded. A row that isn't there can't be locked, but is
        known not to have been seen.
        """
        return f"""
            INSERT INTO {self.locked}
            SELECT * FROM (
                SELECT {self._of("s", self.key)}, s.xmin
                FROM {self._distinct(keys)} JOIN {self.serving} s ON {self._on("s", "q")}
                ORDER BY {self._of("s", self.key)} FOR NO KEY UPDATE OF s) l"""

    @cached_property
    def insert_history(self) -> str:
        """The staged rows as entries; the first of a key, source, capture and observation stays.

        capture, version, arrival.
        """
        return f"""
            INSERT INTO {self.history}
                ({self.keys}, source, capture_id, observed, derivation_version, arrival, {self.names})
            SELECT {self.keys}, source, %(capture)s, observed, %(version)s, %(arrival)s, {self.names}
            FROM {self.stage} ORDER BY {self.keys}, source, observed
            ON CONFLICT DO NOTHING"""

    @cached_property
    def unstage_repeats(self) -> str:
        """Drop staged rows whose entry had been there before. capture, arrival."""
        return f"""
            DELETE FROM {self.stage} x USING {self.history} h
            WHERE {self._on("h", "x")} AND h.source = x.source AND h.observed = x.observed
              AND h.capture_id = %(capture)s AND h.arrival IS DISTINCT FROM %(arrival)s"""

    def mark_slow(self, mode: Mode) -> str:
        """Keys that one statement can't merge: twice in the stage, not on top, gone from the serving table.

        arrival, version, number.
        """
        parts = [
            f"SELECT {self.keys} FROM {self.stage} GROUP BY {self.keys} HAVING count(*) > 1",
            f"""SELECT {self._of("x", self.key)} FROM {self.stage} x JOIN {self.baseline} b ON {self._on("b", "x")}
                WHERE NOT EXISTS (SELECT FROM {self.serving} s WHERE {self._on("s", "x")} OFFSET 0)
                  AND (b.present OR EXISTS (
                    SELECT FROM {self.history} h WHERE {self._on("h", "x")} AND h.arrival < %(arrival)s
                    OFFSET 0))""",
        ]
        if mode is Mode.SUPERSEDE:
            parts.append(
                f"""SELECT {self._of("x", self.key)} FROM {self.stage} x WHERE EXISTS (
                    SELECT FROM {self.history} h JOIN rederive.captures c USING (capture_id)
                    WHERE {self._on("h", "x")} AND h.arrival <> %(arrival)s AND c.mode = 'supersede'
                      AND (h.source <> x.source OR (h.observed, h.derivation_version, c.number)
                           > (x.observed, %(version)s, %(number)s)) OFFSET 0)"""
            )
        return f"INSERT INTO {self.slow} {' UNION '.join(parts)} ON CONFLICT DO NOTHING"

    @cached_property
    def mark_foreign(self) -> str:
        """Keys whose row was written from outside since the last merge."""
        return f"""
            INSERT INTO {self.slow}
            SELECT {self._of("x", self.key)} FROM {self.stage} x
            JOIN {self.serving} s ON {self._on("s", "x")} JOIN {self.baseline} b ON {self._on("b", "x")}
            WHERE s.xmin IS DISTINCT FROM s.merge_xid AND s.xmin IS DISTINCT FROM b.row_xmin
            ON CONFLICT DO NOTHING"""

    def _merged(self, name: str, mode: Mode) -> str:
        """The value of a column after a merge on top (supersede) or at the bottom (fill) of its list."""
        upper, lower = ("s", "excluded") if mode is Mode.FILL else ("excluded", "s")
        group = self._group(name)
        if len(group) == 1:
            return f"coalesce({upper}.{name}, {lower}.{name})"
        has = f"num_nonnulls({self._of(upper, list(group))}) > 0"
        return f"CASE WHEN {has} THEN {upper}.{name} ELSE {lower}.{name} END"

    def _changes(self, mode: Mode) -> str:
        parts = []
        for name in self.columns:
            if mode is Mode.FILL and len(self._group(name)) == 1:
                parts.append(f"(s.{name} IS NULL AND excluded.{name} IS NOT NULL)")
            else:
                parts.append(f"s.{name} IS DISTINCT FROM {self._merged(name, mode)}")
        return " OR ".join(parts)

    def upsert(self, mode: Mode) -> str:
        """Merge all staged keys that aren't slow; rows (unit, changed rows). capture, version.

        `excluded.merge_xid` carries the baseline's xmin to the update's condition: a row is ours when its xmin is
        either that or the one the last merge left.
        """
        sets = ", ".join(f"{name} = {self._merged(name, mode)}" for name in self.columns)
        return f"""
            WITH changed AS (
                INSERT INTO {self.serving} AS s
                    ({self.keys}, {self.names}, capture_id, derivation_version, merge_xid{self._touched[0]})
                SELECT {self._of("x", [*self.key, *self.columns])}, %(capture)s, %(version)s,
                       coalesce(b.row_xmin, pg_current_xact_id()::xid){self._touched[1]}
                FROM {self.stage} x JOIN {self.baseline} b ON {self._on("b", "x")}
                WHERE NOT EXISTS (SELECT FROM {self.slow} q WHERE {self._on("q", "x")})
                ORDER BY {self._of("x", self.key)}
                ON CONFLICT ({self.keys}) DO UPDATE SET {sets}, capture_id = excluded.capture_id,
                    derivation_version = excluded.derivation_version, merge_xid = pg_current_xact_id()::xid{self._touch}
                WHERE (s.xmin = s.merge_xid OR s.xmin = excluded.merge_xid) AND ({self._changes(mode)})
                RETURNING {self._of("s", self.key)})
            SELECT x.unit, count(*) FROM changed c JOIN {self.stage} x ON {self._on("x", "c")} GROUP BY x.unit"""

    def count_changes(self, mode: Mode) -> str:
        """What a merge would change, per unit, by a SELECT: a dry run's last step."""
        changes = self._changes(mode).replace("excluded.", "x.")
        return f"""
            SELECT unit, count(*) FROM (
                SELECT DISTINCT ON ({self._of("x", self.key)}) x.unit,
                    s.{self.key[0]} IS NULL OR ({changes}) AS changed
                FROM {self.stage} x LEFT JOIN {self.serving} s ON {self._on("s", "x")}
                ORDER BY {self._of("x", self.key)}) c
            WHERE changed GROUP BY unit"""

    def fold(self, keys: str, *, without_capture: bool = False, before: bool = False) -> str:
        """A row per key of the table `keys`: folded columns, presence in the baseline, entries, the last capture.

        With `without_capture` the entries of %(without)s are left out, with `before` those from arrival %(before)s on.
        """
        where = "h.arrival IS NOT NULL"
        where += " AND h.capture_id <> %(without)s" if without_capture else ""
        where += " AND h.arrival < %(before)s" if before else ""
        observed = "(extract(epoch FROM h.observed) * 1000000)::bigint"
        owners = self._owners
        entry_ranks = ", ".join(
            f"""CASE WHEN h.source = {OUTSIDE_SOURCE} THEN NULL
                     WHEN c.mode = 'fill' THEN ARRAY[0, -h.arrival, -{observed}, -h.source, 0]
                     ELSE ARRAY[CASE WHEN h.source IN ({", ".join(map(str, sources))}) THEN 3 ELSE 2 END, {observed},
                                h.derivation_version, c.number, 0, h.source] END AS rank{n}"""
            for n, sources in enumerate(owners)
        )
        base_ranks = ", ".join(f"ARRAY[1, 0, 0, 0, 0]::bigint[] AS rank{n}" for n in range(len(owners)))
        ranked = ", ".join(
            f"""CASE WHEN source = {OUTSIDE_SOURCE} THEN (max(rank{n}) OVER earlier)[1:4] || arrival
                     ELSE rank{n} END AS rank{n}"""
            for n in range(len(owners))
        )
        tops = ", ".join(
            f"""(array_agg({column.name} ORDER BY rank{owners.index(column.owners)} DESC)
                FILTER (WHERE num_nonnulls({", ".join(self._group(column.name))}) > 0))[1] AS {column.name}"""
            for column in self.table.columns
        )
        return f"""
            SELECT {self.keys}, {tops}, bool_or(present) AS present, count(*) FILTER (WHERE NOT base) AS entries,
                   (array_agg(capture_id ORDER BY arrival DESC) FILTER (WHERE capture_id <> ''))[1] AS capture_id,
                   (array_agg(version ORDER BY arrival DESC) FILTER (WHERE capture_id <> ''))[1] AS derivation_version
            FROM (
                SELECT {self.keys}, base, present, capture_id, version, arrival, {ranked}, {self.names} FROM (
                    SELECT {self._of("h", self.key)}, false AS base, false AS present, h.capture_id,
                           h.derivation_version AS version, h.source, h.arrival, {entry_ranks},
                           {self._of("h", self.columns)}
                    FROM {self._distinct(keys)} JOIN {self.history} h ON {self._on("h", "q")}
                    LEFT JOIN rederive.captures c USING (capture_id)
                    WHERE {where}
                    UNION ALL
                    SELECT {self._of("b", self.key)}, true, present, '', 0, -2, 0, {base_ranks},
                           {self._of("b", self.columns)}
                    FROM {self._distinct(keys)} JOIN {self.baseline} b ON {self._on("b", "q")}) e
                WINDOW earlier AS (PARTITION BY {self.keys} ORDER BY arrival
                                   ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)) r
            GROUP BY {self.keys}"""

    def note_outside(self, keys: str) -> str:
        """What rows of `keys` hold that the fold doesn't, as entries of nobody's capture. before (their arrival).

        An entry has the attributes in any case, and a row that nothing supports gets an entry whatever it holds: the
        entry may come to stand alone. Its observation is made from the arrival, which alone is sure to be new.
        """

        def differs(name: str) -> str:
            group = list(self._group(name))
            if len(group) == 1:
                return f"(s.{name} IS NOT NULL AND s.{name} IS DISTINCT FROM f.{name})"
            stored, folded = self._of("s", group), self._of("f", group)
            return f"(num_nonnulls({stored}) > 0 AND ({stored}) IS DISTINCT FROM ({folded}))"

        attributes = [f"s.{column.name}" for column in self.table.attributes]
        differing = [f"CASE WHEN {differs(column.name)} THEN s.{column.name} END" for column in self.table.values]
        values = ", ".join([*attributes, *differing])
        return f"""
            INSERT INTO {self.history}
                ({self.keys}, source, capture_id, observed, derivation_version, arrival, {self.names})
            SELECT {self._of("s", self.key)}, {OUTSIDE_SOURCE}, '', to_timestamp(%(before)s), 0, %(before)s, {values}
            FROM {self.serving} s JOIN ({self.fold(keys, before=True)}) f ON {self._on("f", "s")}
            WHERE (f.entries = 0 AND NOT f.present) OR {" OR ".join(differs(name) for name in self.columns)}
            ON CONFLICT DO NOTHING"""

    def refold(self, keys: str) -> str:
        """Fold the keys of `keys` into the temporary table, with the xmin of the locked rows that they will replace."""
        return f"""
            INSERT INTO {self.folded}
            SELECT f.*, l.row_xmin FROM ({self.fold(keys)}) f LEFT JOIN {self.locked} l ON {self._on("l", "f")}"""

    @cached_property
    def delete_folded(self) -> str:
        """Delete rows that nothing supports any more."""
        return f"""
            DELETE FROM {self.serving} s USING {self.folded} f
            WHERE {self._on("f", "s")} AND f.entries = 0 AND NOT f.present"""

    @cached_property
    def unsupported(self) -> str:
        """The keys of `delete_folded`."""
        return f"SELECT {self.keys} FROM {self.folded} WHERE entries = 0 AND NOT present ORDER BY {self.keys}"

    @cached_property
    def delete_key(self) -> str:
        """Delete one row. Its key, by position."""
        return f"DELETE FROM {self.serving} WHERE {' AND '.join(f'{name} = %s' for name in self.key)}"

    @cached_property
    def write_folded(self) -> str:
        """Write the folds where they differ; rows of keys. capture and version, or NULL: those of the last entry.

        A row that came from outside since the fold is left alone.
        """
        sets = ", ".join(f"{name} = excluded.{name}" for name in self.columns)
        changes = " OR ".join(f"s.{name} IS DISTINCT FROM excluded.{name}" for name in self.columns)
        return f"""
            INSERT INTO {self.serving} AS s
                ({self.keys}, {self.names}, capture_id, derivation_version, merge_xid{self._touched[0]})
            SELECT {self.keys}, {self.names}, coalesce(%(capture)s, capture_id),
                   coalesce(%(version)s, derivation_version),
                   coalesce(row_xmin, pg_current_xact_id()::xid){self._touched[1]}
            FROM {self.folded} WHERE entries > 0 OR present ORDER BY {self.keys}
            ON CONFLICT ({self.keys}) DO UPDATE SET {sets}, capture_id = excluded.capture_id,
                derivation_version = excluded.derivation_version, merge_xid = pg_current_xact_id()::xid{self._touch}
            WHERE s.xmin = excluded.merge_xid AND ({changes})
            RETURNING {self._of("s", self.key)}"""

    @cached_property
    def adopt_folded(self) -> str:
        """Take rows that equal their fold as ours, whoever wrote them last."""
        return f"""
            UPDATE {self.serving} s SET merge_xid = pg_current_xact_id()::xid
            FROM {self.folded} f
            WHERE {self._on("f", "s")} AND s.xmin = f.row_xmin AND s.xmin IS DISTINCT FROM s.merge_xid"""

    def foreign(self, keys: str) -> str:
        """How many rows of `keys` were written from outside since they were folded."""
        return f"""
            SELECT count(*) FROM {self._distinct(keys)} JOIN {self.serving} s ON {self._on("s", "q")}
            WHERE s.xmin IS DISTINCT FROM s.merge_xid"""

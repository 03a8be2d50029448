"""The SQL of staging and merging, made from a table spec. Pure text: nothing here talks to a database.

Big tables are looked up key after key, in subqueries that OFFSET 0 keeps as they are: the planner can't know how few
rows are staged, and would read whole tables.
"""

from functools import cached_property

from schemas.precedence import above
from schemas.table import Mode
from sinks.merge.companions import Companions

# Of an entry h: its capture's number, whether precedence decides about it.
NUMBER = "(SELECT c.number FROM rederive.captures c WHERE c.capture_id = h.capture_id)"
DECIDES = "(SELECT c.mode <> 'fill' FROM rederive.captures c WHERE c.capture_id = h.capture_id)"

_CLEARS = "(SELECT c.clear IS NOT NULL FROM rederive.captures c WHERE c.capture_id = h.capture_id)"

ARRIVALS = """
    SELECT nextval('rederive.arrival'), nextval('rederive.arrival'),
           EXISTS (SELECT FROM rederive.captures WHERE clear IS NOT NULL)"""
"""Two arrivals, and whether there is any capture that clears: without one no statement asks for it."""


def newer(number: str, version: str = "%(version)s") -> str:
    """That an entry h is above a staged row x, of that version, of a source that counts as much. number."""
    entry = {"observed": "h.observed", "version": "h.derivation_version", "number": number, "source": "h.source"}
    staged = {"observed": "x.observed", "version": version, "number": "%(number)s", "source": "x.source"}
    return above(entry, staged)


class Statements(Companions):
    """The statements of one table. Parameters are psycopg's named ones, said at each."""

    @cached_property
    def make_temporary(self) -> str:
        """The temporary tables of a connection; they are emptied by every commit.

        `pending` holds the staged keys whose rows may have to be written, `slow` those that have to be folded.
        """
        staged = ", ".join(f"{n} {t}" for n, t in zip(self.staged, self.staged_types, strict=True))
        keys = ", ".join(f"{column.name} {column.type}" for column in self.table.key)
        values = ", ".join(f"{column.name} {column.type}" for column in self.table.columns)
        return f"""
            CREATE TEMP TABLE IF NOT EXISTS {self.stage} ({staged}) ON COMMIT DELETE ROWS;
            CREATE TEMP TABLE IF NOT EXISTS {self.pending} ({keys}, slow bool, PRIMARY KEY ({self.keys}))
                ON COMMIT DELETE ROWS;
            CREATE TEMP TABLE IF NOT EXISTS {self.locked} ({keys}, row_xmin xid, ours bool, PRIMARY KEY ({self.keys}))
                ON COMMIT DELETE ROWS;
            CREATE TEMP TABLE IF NOT EXISTS {self.folded} ({keys}, {values}, present bool, entries int8,
                capture_id text, derivation_version int4, odd bool, row_xmin xid) ON COMMIT DELETE ROWS;
        """

    def lock(self, keys: str) -> str:
        """Lock the baselines of the keys, in key order, and make those that are missing: as many rows.

        An update whose condition is false does nothing but lock.
        """
        return f"""
            INSERT INTO {self.baseline} AS b ({self.keys}, present)
            SELECT DISTINCT {self.keys}, false FROM {keys} ORDER BY {self.keys}
            ON CONFLICT ({self.keys}) DO UPDATE SET present = b.present WHERE false"""

    @cached_property
    def keep_baseline(self) -> str:
        """Keep what is stored under keys whose baselines this transaction has made."""
        stored = self.lookup(self.serving, "s", "x", "s.xmin AS row_xmin, s.*")
        made = self.lookup(self.baseline, "b", "x", "b.ctid AS place", "AND b.xmin = pg_current_xact_id()::xid")
        sets = ", ".join(f"{name} = k.{name}" for name in self.columns)
        return f"""
            UPDATE {self.baseline} b SET present = true, row_xmin = k.row_xmin, {sets}
            FROM (SELECT DISTINCT ON (b.place) b.place, s.* FROM {self.stage} x, {stored}, {made}) k
            WHERE b.ctid = k.place"""

    @cached_property
    def lock_and_keep(self) -> str:
        """Both in one, for what is staged: the quicker way where most baselines are missing."""
        stored = self.lookup(self.serving, "s", "x", "s.xmin AS row_xmin, s.*")
        return f"""
            INSERT INTO {self.baseline} AS b ({self.keys}, present, row_xmin, {self.names})
            SELECT {self.of("x", self.key)}, s.{self.key[0]} IS NOT NULL, s.row_xmin, {self.of("s", self.columns)}
            FROM (SELECT DISTINCT {self.keys} FROM {self.stage}) x LEFT JOIN {stored} ON true
            ORDER BY {self.of("x", self.key)}
            ON CONFLICT ({self.keys}) DO UPDATE SET present = b.present WHERE false"""

    def unstage(self, mode: Mode) -> str:
        """Drop staged rows that entries of the capture make needless; one row (dropped, places of entries).

        That is repeats, of which the first stays, and where precedence decides rows that a later one covers. The places
        are those of entries that staged rows cover, or NULL. capture.
        """
        covered = covering = "false"
        if mode is Mode.SUPERSEDE:
            covered = f"x.observed < h.observed AND {self.covers('h', 'x')}"
            covering = f"x.observed > h.observed AND {self.covers('x', 'h')}"
        own = "AND h.source = x.source AND h.capture_id = %(capture)s"
        return f"""
            WITH mine AS MATERIALIZED (
                SELECT x.ctid AS place, h.place AS entry, x.observed = h.observed OR {covered} AS needless,
                       {covering} AS covering
                FROM {self.stage} x, {self.lookup(self.history, "h", "x", "h.ctid AS place, h.*", own)}),
            dropped AS (DELETE FROM {self.stage} x USING mine m WHERE x.ctid = m.place AND m.needless RETURNING 1)
            SELECT (SELECT count(*) FROM dropped), array_agg(entry::text) FILTER (WHERE covering) FROM mine"""

    @cached_property
    def drop_covered(self) -> str:
        """Drop entries that staged rows cover: they are below them in every list. places.

        Unless something was written from outside: it stands above what had arrived before it.
        """
        outside = f"SELECT FROM {self.history} o WHERE {self.on('o', 'h')} AND o.source < 0 OFFSET 0"
        return f"""
            DELETE FROM {self.history} h
            WHERE h.ctid = ANY(%(places)s::text[]::tid[]) AND NOT EXISTS ({outside})"""

    @cached_property
    def insert_history(self) -> str:
        """The staged rows as entries. capture, version, arrival."""
        return f"""
            INSERT INTO {self.history}
                ({self.keys}, source, capture_id, observed, derivation_version, arrival, {self.names})
            SELECT {self.keys}, source, %(capture)s, observed, %(version)s, %(arrival)s, {self.names}
            FROM {self.stage} ORDER BY {self.keys}, source, observed"""

    @cached_property
    def keep_shadow(self) -> str:
        """The staged rows as entries without an arrival; the keys of those that are new. capture, version."""
        return f"""
            INSERT INTO {self.history}
                ({self.keys}, source, capture_id, observed, derivation_version, {self.names})
            SELECT {self.keys}, source, %(capture)s, observed, %(version)s, {self.names}
            FROM {self.stage} ORDER BY {self.keys}, source, observed
            ON CONFLICT DO NOTHING
            RETURNING {self.keys}"""

    @cached_property
    def drop_shadows(self) -> str:
        """Drop entries of the capture, a shadow, that staged rows cover. capture.

        Nobody locks their keys: they are found once more, where another sink may have done the same.
        """
        own = "AND h.source = x.source AND h.capture_id = %(capture)s AND h.arrival IS NULL"
        kept = self.lookup(self.history, "h", "x", "h.ctid AS place, h.*", own)
        return f"""
            DELETE FROM {self.history} g USING (
                SELECT h.place FROM {self.stage} x, {kept} WHERE x.observed > h.observed AND {self.covers("x", "h")}) c
            WHERE g.ctid = c.place"""

    def _shadow(self, *, bare: bool) -> str:
        """Entries h of the capture in a range that haven't arrived; those without any value only where `bare`."""
        said = "" if bare else f"AND num_nonnulls({self.of('h', [c.name for c in self.table.values])}) > 0"
        return f"h.capture_id = %(capture)s AND h.arrival IS NULL {said} AND {self.within('h')}"

    def lock_shadow(self, *, bare: bool) -> str:
        """As `lock`, of the keys that a shadow says something of. capture, and those of `within`."""
        return self.lock(f"{self.history} h WHERE {self._shadow(bare=bare)}")

    def arrive(self, *, bare: bool) -> str:
        """Let the entries of a range arrive, and stage them. capture, arrival, and those of `within`."""
        return f"""
            WITH arrived AS (
                UPDATE {self.history} h SET arrival = %(arrival)s WHERE {self._shadow(bare=bare)}
                RETURNING {self.of("h", [*self.key, "source", "observed", *self.columns])})
            INSERT INTO {self.stage} ({", ".join(self.staged)})
            SELECT {self.keys}, source, observed, {self.names}, count(*) OVER (PARTITION BY {self.keys}) > 1
            FROM arrived ORDER BY {self.keys}"""

    @cached_property
    def count_staged(self) -> str:
        """One row: the keys that are staged, and whether any is more than once."""
        return f"SELECT count(DISTINCT ({self.keys})), coalesce(bool_or(shared), false) FROM {self.stage}"

    def drop_shadow(self, *, bare: bool) -> str:
        """Drop the entries of a range. capture, and those of `within`."""
        return f"DELETE FROM {self.history} h WHERE {self._shadow(bare=bare)}"

    @cached_property
    def drop_silent(self) -> str:
        """Drop what a capture has kept in shadow and hasn't let arrive. capture."""
        return f"DELETE FROM {self.history} WHERE capture_id = %(capture)s AND arrival IS NULL"

    @cached_property
    def mark_all(self) -> str:
        """All staged keys are slow."""
        return f"INSERT INTO {self.pending} SELECT DISTINCT {self.keys}, true FROM {self.stage}"

    @cached_property
    def mark_shared(self) -> str:
        """All keys that are staged more than once are slow; no other is pending yet."""
        return f"INSERT INTO {self.pending} SELECT DISTINCT {self.keys}, true FROM {self.stage} WHERE shared"

    def mark_pending(self, mode: Mode, *, clears: bool = False, newest: bool = False) -> str:
        """Find the keys whose rows may change; one row (keys, slow ones among them). capture, version, number, arrival.

        A staged row changes nothing where the stored row is ours, hence the fold, and holds each of its values, or an
        entry above it has a value there. Slow are keys that a single statement can't merge: staged more than once, not
        on top, gone from the serving table, written from outside; with `clears` those that a fill meets an entry of a
        capture that clears in, whose NULLs nothing stored tells from others. With `newest` the capture's number is
        above those of all others: these needn't be looked up.
        """
        stored = self.lookup(self.serving, "s", "x", "s.xmin AS row_xmin, s.*")
        present = f"SELECT b.present FROM {self.baseline} b WHERE {self.on('b', 'x')}"
        entries = f"FROM {self.history} h WHERE {self.on('h', 'x')}"
        earlier = f"EXISTS (SELECT {entries} AND h.arrival < %(arrival)s OFFSET 0)"
        outranked = covered = "false"
        if mode is Mode.SUPERSEDE:
            number = "CASE WHEN h.capture_id = %(capture)s THEN %(number)s ELSE -1 END" if newest else NUMBER
            above = f"""{entries} AND h.arrival IS NOT NULL AND h.source >= 0
                AND (h.source <> x.source OR h.observed >= x.observed)"""
            outranked = f"""EXISTS (SELECT {above} AND h.arrival <> %(arrival)s AND {DECIDES}
                AND (h.source <> x.source OR {newer(number)}) OFFSET 0)"""
            if self.owners == [tuple(range(len(self.table.sources)))]:
                above = f"{above} AND {newer(number)}"
            covered = f"EXISTS (SELECT {above} AND {self._decides_against('h', 'x', number)} AND {DECIDES} OFFSET 0)"
            if not newest:
                own = f"{above} AND h.capture_id = %(capture)s"
                own = f"EXISTS (SELECT {own} AND {self._decides_against('h', 'x', '%(number)s')} OFFSET 0)"
                covered = f"({own} OR {covered})"
        elif clears:
            outranked = f"EXISTS (SELECT {entries} AND h.arrival IS NOT NULL AND {_CLEARS} OFFSET 0)"
        return f"""
            WITH found AS (
                INSERT INTO {self.pending}
                SELECT {self.keys}, bool_or(slow) FROM (
                    SELECT {self.of("x", self.key)}, x.shared OR CASE
                        WHEN s.{self.key[0]} IS NULL THEN {earlier} OR ({present})
                        ELSE {outranked} OR NOT {self.ours("s", "row_xmin")} END AS slow
                    FROM {self.stage} x LEFT JOIN {stored} ON true
                    WHERE s.{self.key[0]} IS NULL
                       OR ({self.changes(mode, "x")}) AND NOT {covered} OR NOT {self.ours("s", "row_xmin")}) p
                GROUP BY {self.keys}
                RETURNING slow)
            SELECT count(*), count(*) FILTER (WHERE slow) FROM found"""

    def _decides_against(self, entry: str, staged: str, number: str) -> str:
        """That an entry has a value above the staged row's wherever that would change the stored one."""
        parts = []
        is_newer = newer(number)
        for part, owners in self.parts.items():
            above = is_newer
            if len(owners) < len(self.table.sources):
                own = ", ".join(map(str, owners))
                above = f"({entry}.source IN ({own}), {is_newer}) > ({staged}.source IN ({own}), false)"
            changes = self.part_changes(Mode.SUPERSEDE, part, staged)
            parts.append(f"(NOT {changes} OR ({self.said(entry, part)} AND {above}))")
        return " AND ".join(parts)

    @cached_property
    def mark_foreign(self) -> str:
        """Keys whose row was written from outside since the last merge are slow."""
        return f"""
            INSERT INTO {self.pending}
            SELECT DISTINCT {self.of("x", self.key)}, true
            FROM {self.stage} x, {self.lookup(self.serving, "s", "x", "s.xmin AS row_xmin, s.*")}
            WHERE NOT {self.ours("s", "row_xmin")}
            ON CONFLICT ({self.keys}) DO UPDATE SET slow = true"""

    def upsert(self, mode: Mode, *, untouched: bool) -> str:
        """Merge pending keys that aren't slow, or with `untouched` all that are staged once; rows of changed keys.

        `excluded.merge_xid` carries the baseline's xmin to the update's condition: a row is ours when its xmin is
        either that or the one the last merge left. capture, version.
        """
        which = "WHERE NOT x.shared"
        if not untouched:
            which = f", {self.lookup(self.pending, 'p', 'x')} WHERE NOT p.slow"
        baseline = f"SELECT b.row_xmin FROM {self.baseline} b WHERE {self.on('b', 'x')}"
        sets = ", ".join(f"{name} = {self._merged(name, mode)}" for name in self.columns)
        # A prepared statement must not change the types that it returns, whatever becomes of the table.
        returned = ", ".join(f"s.{column.name}::{column.type}" for column in self.table.key)
        return f"""
            INSERT INTO {self.serving} AS s
                ({self.keys}, {self.names}, capture_id, derivation_version, merge_xid{self.touched[0]})
            SELECT {self.of("x", [*self.key, *self.columns])}, %(capture)s, %(version)s,
                   coalesce(({baseline}), pg_current_xact_id()::xid){self.touched[1]}
            FROM {self.stage} x {which}
            ORDER BY {self.of("x", self.key)}
            ON CONFLICT ({self.keys}) DO UPDATE SET {sets}, capture_id = excluded.capture_id,
                derivation_version = excluded.derivation_version, merge_xid = pg_current_xact_id()::xid{self.touch}
            WHERE (s.xmin = s.merge_xid OR s.xmin = excluded.merge_xid) AND ({self.changes(mode, "excluded")})
            RETURNING {returned}"""

    def _merged(self, name: str, mode: Mode) -> str:
        """The value of a column after a merge on top (supersede) or at the bottom (fill) of its list."""
        upper, lower = ("s", "excluded") if mode is Mode.FILL else ("excluded", "s")
        part = next(part for part in self.parts if name in part)
        if len(part) == 1:
            return f"coalesce({upper}.{name}, {lower}.{name})"
        return f"CASE WHEN {self.said(upper, part)} THEN {upper}.{name} ELSE {lower}.{name} END"

    def count_changes(self, mode: Mode, *, clears: bool = False) -> str:
        """The keys that a merge would change, by a SELECT: a dry run's last step. With `clears` clear."""
        changes = self.changes(mode, "x", "%(clear)s::text[]" if clears else None)
        return f"""
            SELECT DISTINCT {self.of("x", self.key)}
            FROM {self.stage} x LEFT JOIN {self.lookup(self.serving, "s", "x")} ON true
            WHERE s.{self.key[0]} IS NULL OR {changes}"""

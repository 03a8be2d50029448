"""The SQL of folding: rows made again from their history and baseline. Pure text.

Rank of an entry in a row's list, per owners of a column, higher wins:

    supersede   3 own source | 2 other source, observed, derivation version, capture number, 0, source
    outside     the highest rank that had arrived before it, then its own arrival
    baseline    1, 0, 0, 0, 0
    fill        0, -arrival, -observed, -source, 0
"""

from functools import cached_property

from schemas.precedence import descending, ranked
from sinks.merge.companions import OUTSIDE_SOURCE, Companions

# Within the own sources, or within the others.
_PRECEDENCE = descending("r_")
_LAST = 2**63 - 1


class Folding(Companions):
    """The statements of one table. Parameters are psycopg's named ones, said at each."""

    def _distinct(self, keys: str) -> str:
        return f"(SELECT DISTINCT {self.keys} FROM {keys}) q"

    def lock_serving(self, keys: str) -> str:
        """Lock the serving rows of the keys, in key order, and keep which writes were seen and whether they were ours.

        Nobody writes these rows from outside while they are folded. A row that isn't there can't be locked, but is
        known not to have been seen.
        """
        return f"""
            INSERT INTO {self.locked}
            SELECT * FROM (
                SELECT {self.of("s", self.key)}, s.xmin, {self.ours("s")}
                FROM {self._distinct(keys)} JOIN {self.serving} s ON {self.on("s", "q")}
                ORDER BY {self.of("s", self.key)} FOR NO KEY UPDATE OF s) l"""

    @cached_property
    def count_locked(self) -> str:
        """One row: rows that are locked, and how many of them were written from outside."""
        return f"SELECT count(*), count(*) FILTER (WHERE NOT ours) FROM {self.locked}"

    @cached_property
    def note_outside(self) -> str:
        """What locked rows hold that the fold doesn't, as entries of nobody's capture. before (their arrival).

        Rows that are ours equal their fold. An entry has the attributes in any case, and a row that nothing supports
        gets an entry whatever it holds: the entry may come to stand alone. Its observation is made from the arrival,
        which alone is sure to be new.
        """
        differs = {part: f"({self.said('s', part)} AND {self.differs('s', 'f', part)})" for part in self.parts}
        of = {name: part for part in self.parts for name in part}
        attributes = [f"s.{column.name}" for column in self.table.attributes]
        values = [f"CASE WHEN {differs[of[c.name]]} THEN s.{c.name} END" for c in self.table.values]
        foreign = f"(SELECT {self.keys} FROM {self.locked} WHERE NOT ours) w"
        return f"""
            INSERT INTO {self.history}
                ({self.keys}, source, capture_id, observed, derivation_version, arrival, {self.names})
            SELECT {self.of("s", self.key)}, {OUTSIDE_SOURCE}, '', to_timestamp(%(before)s), 0, %(before)s,
                   {", ".join([*attributes, *values])}
            FROM ({self.fold(foreign, before=True)}) f, {self.lookup(self.serving, "s", "f")}
            WHERE (f.entries = 0 AND NOT f.present) OR {" OR ".join(differs.values())}"""

    def fold(
        self, keys: str, *, without_capture: bool = False, before: bool = False, promoted: str | None = None
    ) -> str:
        """A row per key of the table `keys`: folded columns, presence in the baseline, entries, the last capture.

        With `without_capture` the entries of %(without)s are left out, with `before` those from arrival %(before)s on.
        With `promoted`, a condition on h, the entries of %(capture)s for which it holds are taken as if they had just
        arrived, under number %(number)s and clearing %(clear)s; and what is served from outside as if it were noted.
        """
        of = {name: part for part in self.parts for name in part}
        tops = ", ".join(
            f"""(array_agg(e.{name} ORDER BY rank{self.owners.index(self.parts[of[name]])} DESC)
                FILTER (WHERE {self.says("e", of[name], "e.clears")}))[1] AS {name}"""
            for name in self.columns
        )
        return f"""
            SELECT {self.keys}, {tops}, bool_or(present) AS present, count(*) FILTER (WHERE NOT base) AS entries,
                   (array_agg(capture_id ORDER BY arrival DESC) FILTER (WHERE capture_id <> ''))[1] AS capture_id,
                   (array_agg(version ORDER BY arrival DESC) FILTER (WHERE capture_id <> ''))[1] AS derivation_version
            FROM ({self.ranked(keys, without_capture=without_capture, before=before, promoted=promoted)}) e
            GROUP BY {self.keys}"""

    def ranked(
        self, keys: str, *, without_capture: bool = False, before: bool = False, promoted: str | None = None
    ) -> str:
        """Every entry of the keys, and their baselines, with its rank by each set of owners: `rank0` and so on.

        Parameters as of `fold`.
        """
        where, number, clears, served = "AND h.arrival IS NOT NULL", "c.number", "c.clear", ""
        if promoted:
            where = f"AND (h.arrival IS NOT NULL OR h.capture_id = %(capture)s AND {promoted})"
            number, clears = (
                f"CASE WHEN h.capture_id = %(capture)s THEN {new} ELSE {old} END"
                for new, old in (("%(number)s", number), ("%(clear)s::text[]", clears))
            )
            served = self._served(keys)
        where += " AND h.capture_id <> %(without)s" if without_capture else ""
        where += " AND h.arrival < %(before)s" if before else ""
        observed = "(extract(epoch FROM h.observed) * 1000000)::bigint"
        entry = {"observed": observed, "version": "h.derivation_version", "number": number, "source": "h.source"}
        entry_ranks = ", ".join(
            f"""CASE WHEN h.source = {OUTSIDE_SOURCE} THEN NULL
                     WHEN c.mode = 'fill' THEN ARRAY[0, -h.arrival, -{observed}, -h.source, 0]
                     ELSE {ranked(entry, ", ".join(map(str, sources)))} END AS rank{n}"""
            for n, sources in enumerate(self.owners)
        )
        base_ranks = ", ".join(f"ARRAY[1, 0, 0, 0, 0]::bigint[] AS rank{n}" for n in range(len(self.owners)))
        ranks = ", ".join(
            f"""CASE WHEN source = {OUTSIDE_SOURCE} THEN (max(rank{n}) OVER earlier)[1:4] || arrival
                     ELSE rank{n} END AS rank{n}"""
            for n in range(len(self.owners))
        )
        return f"""
                SELECT {self.keys}, base, present, capture_id, version, source, observed, arrival, clears, {ranks},
                       {self.names}
                FROM (
                    SELECT {self.of("h", self.key)}, false AS base, false AS present, h.capture_id,
                           h.derivation_version AS version, h.source, h.observed, h.arrival, {clears} AS clears,
                           {entry_ranks}, {self.of("h", self.columns)}
                    FROM {self._distinct(keys)}, {self.lookup(self.history, "h", "q", where=where)}
                    LEFT JOIN rederive.captures c USING (capture_id)
                    UNION ALL
                    SELECT {self.of("b", self.key)}, true, present, '', 0, -2, NULL, 0, NULL, {base_ranks},
                           {self.of("b", self.columns)}
                    FROM {self._distinct(keys)}, {self.lookup(self.baseline, "b", "q")}{served}) e
                WINDOW earlier AS (PARTITION BY {self.keys} ORDER BY arrival
                                   ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"""

    def _served(self, keys: str) -> str:
        """Rows that no capture has touched as their baselines, those written from outside since as the last entry."""
        base = f"EXISTS (SELECT FROM {self.baseline} b WHERE {self.on('b', 's')} OFFSET 0)"
        ranks = ", ".join(
            f"CASE WHEN s.founded THEN NULL ELSE ARRAY[1, 0, 0, 0, 0]::bigint[] END AS rank{n}"
            for n in range(len(self.owners))
        )
        return f"""
                    UNION ALL
                    SELECT {self.of("s", self.key)}, NOT s.founded, NOT s.founded, '', 0,
                           CASE WHEN s.founded THEN {OUTSIDE_SOURCE} ELSE -2 END, NULL,
                           CASE WHEN s.founded THEN {_LAST} ELSE 0 END, NULL, {ranks}, {self.of("s", self.columns)}
                    FROM {self._distinct(keys)},
                         {self.lookup(self.serving, "s", "q", f"{base} AS founded, {self.ours('s')} AS ours, s.*")}
                    WHERE NOT s.founded OR NOT s.ours"""

    def fold_plain(self, keys: str) -> str:
        """As `fold`, of keys that have superseding entries, which clear nothing, and a baseline only.

        Others are `odd`, and not folded right. All lists then have one order but for whose source counts more:
        entries are sorted once for all columns.
        """
        owned, said = self._marks
        tops, columns = [], {}
        for n, (part, owners) in enumerate(self.parts.items()):
            at = None if len(owners) == len(self.table.sources) else self.owners.index(owners)
            for name in part:
                tops.append(f"{self._top(name, at, None if len(part) == 1 else n)} AS {name}")
                columns[name] = f"coalesce(f.{name}, b.{name})"
                if len(part) > 1:
                    columns[name] = f"CASE WHEN f.r_said{n} THEN f.{name} ELSE b.{name} END"
            if len(part) > 1:
                tops.append(f"bool_or(r_said{n}) AS r_said{n}")
        return f"""
            SELECT {self.of("f", self.key)}, {", ".join(f"{columns[name]} AS {name}" for name in self.columns)},
                   coalesce(b.present, false) AS present, f.r_entries AS entries, c.capture_id,
                   f.r_last[2]::int AS derivation_version, f.r_odd AS odd
            FROM (
                SELECT {self.keys}, {", ".join(tops)}, count(r_arrival) AS r_entries,
                       max(ARRAY[r_arrival, r_version, r_number]) FILTER (WHERE r_number IS NOT NULL) AS r_last,
                       bool_or(r_odd) AS r_odd
                FROM (
                    SELECT {self.of("q", self.key)}, h.source AS r_source, h.observed AS r_observed,
                           h.derivation_version AS r_version, h.arrival AS r_arrival, c.number AS r_number,
                           h.arrival IS NOT NULL AND coalesce(c.mode = 'fill' OR c.clear IS NOT NULL, true)
                               AS r_odd{owned}{said},
                           {self.of("h", self.columns)}
                    FROM {self._distinct(keys)}
                    LEFT JOIN {self.lookup(self.history, "h", "q", where="AND h.arrival IS NOT NULL")} ON true
                    LEFT JOIN rederive.captures c USING (capture_id)) e
                GROUP BY {self.keys}) f
            LEFT JOIN {self.lookup(self.baseline, "b", "f")} ON true
            LEFT JOIN rederive.captures c ON c.number = f.r_last[3]"""

    @cached_property
    def _marks(self) -> tuple[str, str]:
        """For a list of columns: whose of an entry h are the owners', and which groups it says something of."""
        own = [", ".join(map(str, sources)) for sources in self.owners]
        owned = "".join(f", h.source IN ({sources}) AS r_own{n}" for n, sources in enumerate(own))
        said = "".join(f", {self.said('h', part)} AS r_said{n}" for n, part in enumerate(self.parts) if len(part) > 1)
        return owned, said

    def alone(self, capture: str, within: str, *, repeated: bool) -> str:
        """A row per key that a capture, the parameter of that name, has said something of: `r_day` and columns.

        Where it is `repeated` by none, each entry is such a row. `within` is a condition on entries h.
        """
        where = f"h.capture_id = %({capture})s AND {within}"
        day = "(h.observed AT TIME ZONE 'UTC')::date"
        if not repeated:
            return f"SELECT {day} AS r_day, {self.keys}, {self.names} FROM {self.history} h WHERE {where}"
        owned, said = self._marks
        tops = []
        for n, (part, owners) in enumerate(self.parts.items()):
            at = None if len(owners) == len(self.table.sources) else self.owners.index(owners)
            tops += [f"{self._top(name, at, None if len(part) == 1 else n)} AS {name}" for name in part]
        return f"""
            SELECT max(r_at) AS r_day, {self.keys}, {", ".join(tops)}
            FROM (SELECT {self.of("h", self.key)}, {day} AS r_at, h.source AS r_source, h.observed AS r_observed,
                         h.derivation_version AS r_version, 0 AS r_number{owned}{said}, {self.of("h", self.columns)}
                  FROM {self.history} h WHERE {where}) e
            GROUP BY {self.keys}"""

    @staticmethod
    def _top(name: str, own: int | None, group: int | None) -> str:
        """The first value of a column; `own` counts the owners that come before others, `group` its part."""
        ordered = f"{name} ORDER BY {_PRECEDENCE}"
        if group is not None:
            first = f"(array_agg({ordered}) FILTER (WHERE r_said{group}))[1]"
            if own is None:
                return first
            mine = f"(array_agg({ordered}) FILTER (WHERE r_said{group} AND r_own{own}))[1]"
            return f"CASE WHEN bool_or(r_said{group} AND r_own{own}) THEN {mine} ELSE {first} END"
        if own is None:
            return f"rederive.first({ordered})"
        return f"""coalesce(rederive.first({ordered}) FILTER (WHERE r_own{own}),
                            rederive.first({ordered}) FILTER (WHERE NOT r_own{own}))"""

    def refold(self, keys: str) -> str:
        """Fold the keys of `keys` into the temporary table, with the xmin of the locked rows that they will replace."""
        return f"""
            INSERT INTO {self.folded}
            SELECT f.*, l.row_xmin
            FROM ({self.fold_plain(keys)}) f LEFT JOIN {self.lookup(self.locked, "l", "f")} ON true"""

    @cached_property
    def has_odd(self) -> str:
        """One row: whether any folded key is odd."""
        return f"SELECT bool_or(odd) FROM {self.folded}"

    @cached_property
    def refold_odd(self) -> str:
        """Fold the odd ones by the general rule."""
        return f"""
            WITH odd AS MATERIALIZED (SELECT {self.keys} FROM {self.folded} WHERE odd)
            INSERT INTO {self.folded}
            SELECT f.*, false, l.row_xmin
            FROM ({self.fold("odd")}) f LEFT JOIN {self.lookup(self.locked, "l", "f")} ON true"""

    @cached_property
    def drop_odd(self) -> str:
        """Drop their first folds."""
        return f"DELETE FROM {self.folded} WHERE odd"

    @cached_property
    def delete_folded(self) -> str:
        """Delete rows that nothing supports any more."""
        return f"""
            DELETE FROM {self.serving} s USING {self.folded} f
            WHERE {self.on("f", "s")} AND f.entries = 0 AND NOT f.present"""

    @cached_property
    def unsupported(self) -> str:
        """The keys of `delete_folded`."""
        return f"SELECT {self.keys} FROM {self.folded} WHERE entries = 0 AND NOT present ORDER BY {self.keys}"

    @cached_property
    def delete_key(self) -> str:
        """Delete one row. Its key, by position."""
        return f"DELETE FROM {self.serving} WHERE {' AND '.join(f'{name} = %s' for name in self.key)}"

    @cached_property
    def disown(self) -> str:
        """Make the rows of `unsupported` look as if they had been written from outside."""
        return f"""
            UPDATE {self.serving} s SET merge_xid = NULL FROM {self.folded} f
            WHERE {self.on("f", "s")} AND f.entries = 0 AND NOT f.present"""

    @cached_property
    def write_folded(self) -> str:
        """Write the folds where they differ; rows of keys. capture and version, or NULL: those of the last entry.

        A row that came from outside since the fold is left alone.
        """
        sets = ", ".join(f"{name} = excluded.{name}" for name in self.columns)
        changes = " OR ".join(f"s.{name} IS DISTINCT FROM excluded.{name}" for name in self.columns)
        return f"""
            INSERT INTO {self.serving} AS s
                ({self.keys}, {self.names}, capture_id, derivation_version, merge_xid{self.touched[0]})
            SELECT {self.keys}, {self.names}, coalesce(%(capture)s, capture_id),
                   coalesce(%(version)s, derivation_version),
                   coalesce(row_xmin, pg_current_xact_id()::xid){self.touched[1]}
            FROM {self.folded} WHERE entries > 0 OR present ORDER BY {self.keys}
            ON CONFLICT ({self.keys}) DO UPDATE SET {sets}, capture_id = excluded.capture_id,
                derivation_version = excluded.derivation_version, merge_xid = pg_current_xact_id()::xid{self.touch}
            WHERE s.xmin = excluded.merge_xid AND ({changes})
            RETURNING {self.of("s", self.key)}"""

    @cached_property
    def name_remaining(self) -> str:
        """Let rows that name a capture without an entry of their key name that of the key's last entry, or none."""
        entry = f"SELECT FROM {self.history} h WHERE {self.on('h', 's')} AND h.capture_id = s.capture_id OFFSET 0"
        return f"""
            UPDATE {self.serving} s SET capture_id = f.capture_id, derivation_version = f.derivation_version,
                merge_xid = pg_current_xact_id()::xid
            FROM {self.folded} f
            WHERE {self.on("f", "s")} AND s.capture_id IS NOT NULL AND {self.ours("s")} AND NOT EXISTS ({entry})"""

    @cached_property
    def adopt_folded(self) -> str:
        """Take rows that equal their fold as ours, whoever wrote them last."""
        return f"""
            UPDATE {self.serving} s SET merge_xid = pg_current_xact_id()::xid
            FROM {self.folded} f
            WHERE {self.on("f", "s")} AND s.xmin = f.row_xmin AND s.xmin IS DISTINCT FROM s.merge_xid"""

    def foreign(self, keys: str) -> str:
        """How many rows of `keys` were written from outside since they were folded."""
        return f"""
            SELECT count(*)
            FROM {self._distinct(keys)}, {self.lookup(self.serving, "s", "q", "s.xmin AS row_xmin, s.merge_xid")}
            WHERE s.row_xmin IS DISTINCT FROM s.merge_xid"""

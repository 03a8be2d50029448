"""What rows would be once a shadow is promoted, in SQL that reads only: for previews and comparisons."""

from sinks.merge.folding import Folding
from sinks.merge.statements import DECIDES, NUMBER, newer


def promised(sql: Folding, *, clears: bool) -> str:
    """SQL for what keys in a range would be, those that the capture keeps anything of: `observed`, `entries`, columns.

    An entry that would stand on top of a row that is its fold is laid over it: that is the new fold. The other keys are
    folded. capture, number, clear, and those of `within`.
    """
    own = f"h.capture_id = %(capture)s AND h.arrival IS NULL AND {sql.arriving(clears=clears)} AND {sql.within('h')}"
    served = sql.lookup(sql.serving, "s", "x", "s.xmin AS row_xmin, s.*")
    based = f"SELECT FROM {sql.baseline} b WHERE {sql.on('b', 'x')}"
    arrived = f"SELECT FROM {sql.history} h WHERE {sql.on('h', 'x')} AND h.arrival IS NOT NULL"
    above = f"""{arrived} AND h.source >= 0 AND {DECIDES}
        AND (h.source <> x.source OR {newer(NUMBER, "x.derivation_version")})"""
    slow = f"""x.entries > 1 OR CASE
        WHEN s.{sql.key[0]} IS NULL THEN EXISTS ({arrived} OFFSET 0) OR EXISTS ({based} AND b.present OFFSET 0)
        ELSE EXISTS ({above} OFFSET 0) OR NOT {sql.ours("s", "row_xmin")} AND EXISTS ({based} OFFSET 0) END"""
    of = {name: part for part in sql.parts for name in part}
    says = {part: sql.says("x", part, "%(clear)s::text[]") if clears else sql.said("x", part) for part in sql.parts}
    laid = ", ".join(f"CASE WHEN {says[of[name]]} THEN x.{name} ELSE s.{name} END AS {name}" for name in sql.columns)
    slow_keys = f"""(SELECT {sql.keys}, max(r_observed) AS r_observed, max(entries) AS entries
        FROM judged WHERE slow GROUP BY {sql.keys}) w"""
    folded = sql.fold(slow_keys, promoted=sql.arriving(clears=clears))
    return f"""
        WITH judged AS MATERIALIZED (
            SELECT {sql.of("x", sql.key)}, x.observed AS r_observed, x.entries, {slow} AS slow, {laid}
            FROM (SELECT h.*, count(*) OVER (PARTITION BY {sql.of("h", sql.key)}) AS entries
                  FROM {sql.history} h WHERE {own}) x LEFT JOIN {served} ON true)
        SELECT {sql.keys}, r_observed, entries, {sql.names} FROM judged WHERE NOT slow
        UNION ALL
        SELECT {sql.keys}, w.r_observed, w.entries, {sql.of("f", sql.columns)}
        FROM ({folded}) f JOIN {slow_keys} USING ({sql.keys})"""

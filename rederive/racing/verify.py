"""Is everything there? Counts, races per year, coverage and what to look at (racing spec, sections 9 and 10)."""

from dataclasses import dataclass
from datetime import date
from decimal import Decimal

from psycopg import Connection

FIRST_DAY = date(2015, 1, 1)

_COUNTED = {
    "races": "ra_races",
    "runners": "ra_runners",
    "horses": "ra_mst_horses",
    "jockeys": "ra_mst_jockeys",
    "trainers": "ra_mst_trainers",
    "owners": "ra_mst_owners",
    "pedigrees": "ra_horse_pedigree",
}
_EXPECTED = {
    "ra_mst_bookmakers": 19,
    "ra_mst_courses": 100,
    "ra_mst_regions": 2,
    "ra_mst_horses": 120_000,
    "ra_mst_jockeys": 5_000,
    "ra_mst_trainers": 4_000,
    "ra_mst_owners": 60_000,
    "ra_mst_sires": 80_000,
    "ra_mst_dams": 80_000,
    "ra_mst_damsires": 50_000,
    "ra_races": 140_000,
    "ra_runners": 1_500_000,
    "ra_horse_pedigree": 120_000,
}


@dataclass(frozen=True, slots=True)
class Check:
    """One thing worth a look: how many there are, and the first of them."""

    name: str
    count: int
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Headline:
    """A figure that a whole backfill was announced with, and the same of what is here."""

    figure: str
    announced: str
    here: str


@dataclass(frozen=True, slots=True)
class Verification:
    """`coverage_pct` is None without races; `years` are (year, races) from 2015 on."""

    counts: dict[str, int]
    years: tuple[tuple[int, int], ...]
    total_races: int
    races_with_runners: int
    coverage_pct: Decimal | None
    checks: tuple[Check, ...]
    headlines: tuple[Headline, ...]


def verify(connection: Connection) -> Verification:
    """All reports over what is stored now; reads only."""
    counts = {name: _count(connection, table) for name, table in _COUNTED.items()}
    years = connection.execute(
        """SELECT extract(year FROM date_trunc('year', date))::int AS year, count(*) FROM ra_races
           WHERE date >= %s GROUP BY 1 ORDER BY 1""",
        [FIRST_DAY],
    ).fetchall()
    row = connection.execute(
        """SELECT count(DISTINCT r.id), count(DISTINCT u.race_id),
                  round(100 * count(DISTINCT u.race_id)::numeric / nullif(count(DISTINCT r.id), 0), 2)
           FROM ra_races r LEFT JOIN ra_runners u ON u.race_id = r.id WHERE r.date >= %s""",
        [FIRST_DAY],
    ).fetchone()
    assert row is not None
    checks = (
        _check(
            connection,
            "horses without pedigree",
            "SELECT h.id FROM ra_mst_horses h WHERE NOT EXISTS "
            "(SELECT FROM ra_horse_pedigree p WHERE p.horse_id = h.id)",
        ),
        _check(
            connection,
            "races with a result but no winner",
            "SELECT r.id FROM ra_races r WHERE r.has_result AND NOT EXISTS "
            "(SELECT FROM ra_runners u WHERE u.race_id = r.id AND u.position = 1)",
        ),
        _check(
            connection,
            "days without races between the first and the last",
            "SELECT d::date::text FROM (SELECT min(date) AS a, max(date) AS z FROM ra_races) s, "
            "generate_series(s.a, s.z, interval '1 day') d "
            "WHERE NOT EXISTS (SELECT FROM ra_races r WHERE r.date = d::date)",
        ),
    )
    return Verification(counts, tuple(years), row[0], row[1], row[2], checks, _headlines(connection))


def _count(connection: Connection, table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert row is not None
    return int(row[0])


def _check(connection: Connection, name: str, query: str) -> Check:
    row = connection.execute(f"SELECT count(*), (array_agg(x ORDER BY x))[1:5] FROM ({query}) AS q(x)").fetchone()
    assert row is not None
    return Check(name, row[0], tuple(row[1] or ()))


def _headlines(connection: Connection) -> tuple[Headline, ...]:
    row = connection.execute(
        """SELECT count(DISTINCT date) FILTER (WHERE kind IN ('racecards', 'results')),
                  count(*) FILTER (WHERE kind = 'racecards'), count(*) FILTER (WHERE kind = 'results'),
                  count(DISTINCT date_trunc('month', date)), coalesce(sum(bytes), 0)::int8
           FROM rederive.racing_records WHERE kind IS NOT NULL"""
    ).fetchone()
    assert row is not None
    days, cards, results, months, size = row
    a_minute = connection.execute(
        # Neighbours that came within a minute of each other: pauses between runs are no fetching.
        """SELECT 60 * count(DISTINCT date) / nullif(extract(epoch FROM sum(gap)), 0) FROM (
               SELECT date, fetched_at - lag(fetched_at) OVER (ORDER BY fetched_at) AS gap
               FROM rederive.racing_records WHERE kind IN ('racecards', 'results')) g
           WHERE gap < interval '1 minute'"""
    ).fetchone()
    rate = float(a_minute[0]) if a_minute and a_minute[0] is not None else None
    database = connection.execute(
        "SELECT sum(pg_total_relation_size(to_regclass(t))) FROM unnest(%s::text[]) t", [list(_EXPECTED)]
    ).fetchone()
    assert database is not None
    found = [
        Headline("days", "3,944", f"{days:,}"),
        Headline("answers: racecards + results", "3,944 + 3,944", f"{cards:,} + {results:,}"),
        Headline("monthly chunks", "131", f"{months:,}"),
        Headline("days a minute", "30", "-" if rate is None else f"{rate:,.0f}"),
        Headline("months an hour", "45", "-" if rate is None else f"{rate * 60 / 30.44:,.0f}"),
        Headline("years an hour", "3.5", "-" if rate is None else f"{rate * 60 / 365.25:,.1f}"),
        Headline("downloaded", "0.5-1 GB", f"{size / 1e6:,.1f} MB"),
        Headline("serving tables", "420 MB", f"{float(database[0] or 0) / 1e6:,.1f} MB"),
    ]
    found += [Headline(table, f"{rows:,}", f"{_count(connection, table):,}") for table, rows in _EXPECTED.items()]
    return tuple(found)

"""Raw ladder availability: do the payloads hold what incomplete rows lack (betfair spec, section 7)."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import psycopg
from psycopg import sql

from processors.betfair.general import derive
from rederive.betfair.columns import any_null
from rederive.betfair.payloads import PAGE, input_line
from schemas.betfair.tables import METRICS, ROLES, SCOPES, readable

SIDES = ("back", "lay")
SAMPLE = 5


@dataclass(frozen=True, slots=True)
class SideLadders:
    """The ladders of one role and side over the snapshots examined.

    `lengths` says how many ladders have how many levels, ascending, 0 for an empty one; `no_runner` are snapshots
    whose payload has no runner of the role. `with_l1` ladders give a level 1 size by the domain's rule (price > 1 and
    size > 0), `without_l1` none.
    """

    role: str
    side: str
    lengths: tuple[tuple[int, int], ...]
    no_runner: int
    with_l1: int
    without_l1: int


@dataclass(frozen=True, slots=True)
class LadderSample:
    """One snapshot: per role the length of its back ladder (None without a runner) and the extracted level 1 size."""

    snapshot_id: int
    snapshot_at: datetime
    market_id: str
    back_lengths: Mapping[str, int | None]
    back_l1: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class LadderAvailability:
    """What the newest `examined` of `incomplete` snapshots hold; the latter have a NULL in `columns` or no derived row.

    `skipped` counts by reason the snapshots that can't be derived, `errors` those whose derivation fails; neither
    gives a level 1. `sample` is the newest 5.
    """

    columns: tuple[str, ...]
    incomplete: int
    examined: int
    sides: tuple[SideLadders, ...]
    skipped: Mapping[str, int]
    errors: int
    sample: tuple[LadderSample, ...]


def ladder_availability(
    connection: psycopg.Connection, columns: Sequence[str] = SCOPES["l1"], *, limit: int = 10_000, page: int = PAGE
) -> LadderAvailability:
    """Look into the payloads of the newest `limit` incomplete snapshots.

    Lengths are counted on the payload as stored; level 1 is what the domain's own formula extracts. Memory grows with
    `limit` by one id a snapshot only.
    """
    ids, total = _ids(connection, columns, limit)
    lengths: dict[tuple[str, str], Counter[int | None]] = {(role, side): Counter() for role in ROLES for side in SIDES}
    with_l1 = Counter[tuple[str, str]]()
    skipped = Counter[str]()
    errors = examined = 0
    sample: list[LadderSample] = []
    for some in (ids[start : start + page] for start in range(0, len(ids), page)):
        # Rows deleted since the ids were read are left out.
        found = {row[0]: row for row in connection.execute(_LADDERS, (some,))}
        for row in (found[key] for key in some if key in found):
            key, at, market, payload, known, home, away, draw, *measured = row
            examined += 1
            derived = derive(input_line(key, at, market, payload, (home, away, draw) if known else None))
            errors += derived.error is not None
            if derived.skip is not None:
                skipped[derived.skip] += 1
            values = dict(zip(METRICS, derived.values or [], strict=False))
            for (role, side), length in zip(lengths, measured, strict=True):
                lengths[role, side][length] += 1
                with_l1[role, side] += values.get(f"{role}_best_{side}_size_l1") is not None
            if len(sample) < SAMPLE:
                sample.append(
                    LadderSample(
                        key,
                        at,
                        market,
                        back_lengths=dict(zip(ROLES, measured[::2], strict=True)),
                        back_l1={role: values.get(f"{role}_best_back_size_l1") for role in ROLES},
                    )
                )
    return LadderAvailability(
        columns=tuple(columns),
        incomplete=total,
        examined=examined,
        sides=tuple(
            SideLadders(
                role=role,
                side=side,
                lengths=tuple(sorted((length, n) for length, n in counts.items() if length is not None)),
                no_runner=counts[None],
                with_l1=with_l1[role, side],
                without_l1=examined - with_l1[role, side],
            )
            for (role, side), counts in lengths.items()
        ),
        skipped=dict(skipped),
        errors=errors,
        sample=tuple(sample),
    )


def _ids(connection: psycopg.Connection, columns: Sequence[str], limit: int) -> tuple[list[int], int]:
    """The ids of the newest incomplete snapshots, newest first, and how many there are in all."""
    query = sql.SQL("""
        SELECT s.snapshot_id, count(*) OVER ()
        FROM market_book_snapshots s LEFT JOIN market_derived_metrics d USING (snapshot_id)
        WHERE {any_null} AND {dated}
        ORDER BY s.snapshot_at DESC, s.snapshot_id DESC LIMIT %s
    """).format(any_null=any_null(columns, "d"), dated=sql.SQL(readable("s")))
    rows = connection.execute(query, (limit,)).fetchall()
    return [row[0] for row in rows], rows[0][1] if rows else 0


# Which runner is a role's: the last of those with its id, which is `selectionId`, or `selection_id` where that is
# falsy (betfair spec, sections 1 and 4). The six lengths come home back, home lay, away back and so on.
_LADDERS = """
SELECT s.snapshot_id, s.snapshot_at, s.market_id, s.raw_payload::text, m.market_id IS NOT NULL,
       m.home_selection_id, m.away_selection_id, m.draw_selection_id,
       home.back, home.lay, away.back, away.lay, draw.back, draw.lay
FROM market_book_snapshots s
LEFT JOIN market_event_metadata m ON m.market_id = s.market_id
LEFT JOIN LATERAL (
    SELECT array_agg(selection ORDER BY position) AS ids,
           array_agg(CASE jsonb_typeof(runner -> 'ex' -> 'availableToBack')
                     WHEN 'array' THEN jsonb_array_length(runner -> 'ex' -> 'availableToBack') ELSE 0 END
                     ORDER BY position) AS backs,
           array_agg(CASE jsonb_typeof(runner -> 'ex' -> 'availableToLay')
                     WHEN 'array' THEN jsonb_array_length(runner -> 'ex' -> 'availableToLay') ELSE 0 END
                     ORDER BY position) AS lays
    FROM (SELECT runner, position,
                 CASE WHEN coalesce(runner -> 'selectionId', 'null') IN ('null', '0', '""', 'false', '[]', '{}')
                      THEN runner -> 'selection_id' ELSE runner -> 'selectionId' END AS selection
          FROM jsonb_array_elements(CASE jsonb_typeof(s.raw_payload -> 'runners')
                                    WHEN 'array' THEN s.raw_payload -> 'runners' END)
               WITH ORDINALITY AS entries (runner, position)) named
) runners ON true
LEFT JOIN LATERAL (SELECT backs[place] AS back, lays[place] AS lay FROM generate_subscripts(runners.ids, 1) AS place
    WHERE ids[place] = to_jsonb(m.home_selection_id) ORDER BY place DESC LIMIT 1) home ON true
LEFT JOIN LATERAL (SELECT backs[place] AS back, lays[place] AS lay FROM generate_subscripts(runners.ids, 1) AS place
    WHERE ids[place] = to_jsonb(m.away_selection_id) ORDER BY place DESC LIMIT 1) away ON true
LEFT JOIN LATERAL (SELECT backs[place] AS back, lays[place] AS lay FROM generate_subscripts(runners.ids, 1) AS place
    WHERE ids[place] = to_jsonb(m.draw_selection_id) ORDER BY place DESC LIMIT 1) draw ON true
WHERE s.snapshot_id = ANY(%s)
"""

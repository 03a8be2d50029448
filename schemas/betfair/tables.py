"""Betfair match-odds: tables and scopes (betfair spec, sections 1, 2 and 5.6)."""

from datetime import timedelta

from schemas.domain import Command, Domain
from schemas.table import Column, Mode, Table

ROLES = ("home", "away", "draw")
DEPTH_LIMIT = 3
IMPEDANCE_DEPTH = 4
CALCULATION_VERSION = "imbalance_v1"

# Betfair's price ladder in hundredths: up to that price, in steps of that size.
_STEPS = ((200, 1), (300, 2), (400, 5), (600, 10), (1000, 20), (2000, 50), (3000, 100), (5000, 200), (10000, 500))


def readable(row: str) -> str:
    """The SQL condition that the `snapshot_at` of a row, by its alias, is one that Python has; Postgres has more."""
    at = f"{row}.snapshot_at"
    return f"{at} >= '0001-01-01 00:00:00+00' AND {at} < '10000-01-01 00:00:00+00'"


def _ticks() -> tuple[float, ...]:
    price, prices = 101, [1.01]
    for end, step in (*_STEPS, (100_000, 1000)):
        while price < end:
            price += step
            prices.append(price / 100)
    return tuple(prices)


TICKS: tuple[float, ...] = _ticks()
"""The 350 prices at which Betfair takes orders, ascending from 1.01 to 1000."""

_L1 = ("best_back_size_l1", "best_lay_size_l1")
_INPUTS = ("back_stake", "back_odds", "lay_stake", "lay_odds")
_LADDER = ("back_odds_l2", "back_size_l2", "back_odds_l3", "back_size_l3")
PER_ROLE = (
    "risk",
    "impedance",
    "impedance_norm",
    "book_risk_l3",
    *_INPUTS,
    "best_back",
    "best_lay",
    "spread",
    *_L1,
    *_LADDER,
)
"""The 17 columns of one role in the table's order, without the role's name (section 2)."""


def _per_role(*names: str) -> tuple[str, ...]:
    return tuple(f"{role}_{name}" for role in ROLES for name in names)


METRICS: tuple[str, ...] = (*_per_role(*PER_ROLE), "total_volume")
"""The 52 numeric columns, float64: all of home's, away's, draw's, then `total_volume`."""

SCOPES: dict[str, tuple[str, ...]] = {
    "all": METRICS,
    "tier-a": (*_per_role(*_L1, *_INPUTS, "impedance", "impedance_norm", "risk"), "total_volume"),
    "l1": _per_role("best_back_size_l1"),
    "l3": _per_role("book_risk_l3"),
    "ladder": _per_role(*_LADDER),
}

SKIPS = {
    "no_metadata": "its market has no market_event_metadata row with three selection ids",
    "no_payload": "its raw_payload is null or empty",
    "insufficient_runners": "its raw_payload has fewer than three runners",
    "missing_role": "a selection id of home, away or draw is not among its runners, or stands for two roles",
}
"""Why a snapshot is skipped, in words (section 5.6)."""

METRICS_TABLE = Table(
    name="market_derived_metrics",
    key=(Column("snapshot_id", "int8"),),
    attributes=(
        Column("snapshot_at", "timestamptz"),
        Column("market_id", "text"),
        Column("depth_limit", "int4"),
        Column("calculation_version", "text"),
    ),
    values=tuple(Column(name, "float8") for name in METRICS),
    observed="snapshot_at",
    policy=Mode.FILL,
)

BETFAIR = Domain(
    name="betfair",
    derivation_version=1,
    tables=(METRICS_TABLE,),
    process="processors.betfair.process:process",
    compute="processors.betfair.line:compute",
    sources={"table": "producers.betfair.snapshots:SnapshotTable"},
    live="producers.betfair.live:LiveSnapshots",
    follows=("market_book_snapshots",),
    scopes=SCOPES,
    log_retention=timedelta(days=30),
    gaps="rederive.betfair.gaps:gaps",
    within="producers.betfair.dated:within",
    joins=True,
    provenance="processors.betfair.explain:trace",
    routes="rederive.betfair.routes:router",
    pages="rederive.betfair.pages:pages",
    demo="rederive.betfair.demo:demo",
    commands={
        "replay betfair": Command("rederive.betfair.commands:replay_betfair"),
        "plan betfair": Command("rederive.betfair.commands:plan_betfair"),
        "report null-audit": Command("rederive.betfair.report_commands:null_audit"),
        "report ladder-availability": Command("rederive.betfair.report_commands:ladder_availability"),
        "report checkpoints": Command("rederive.betfair.report_commands:checkpoints"),
        "report spot-check": Command("rederive.betfair.report_commands:spot_check"),
        "report continuity": Command("rederive.betfair.report_commands:continuity"),
    },
    counts={"table": ("row", "needing backfill")},
    inputs=("market_event_metadata", "market_book_snapshots"),
)

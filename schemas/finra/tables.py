"""FINRA's weekly OTC files: tables, reasons and checks (finra spec, sections 1.4, 4, 5 and 9).

The key of a row is its business key, its capture and the version of what computed it. The columns that all rows of a
capture share come first in it, so that one index serves the key, a capture's rows, and a partition's.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from schemas.domain import Command, Domain
from schemas.finra.partition import WINDOW_WEEKS, partition_key, partition_of
from schemas.finra.versions import CALCS, PREFIX
from schemas.table import Column, Mode, Shown, Table

CORE_DOMAIN = "finra_otc_transparency"
"""How the core tables name the domain."""

PARSE_ERROR = "PARSE_ERROR"
DUPLICATE_KEY = "DUPLICATE_KEY"

REASONS = {
    PARSE_ERROR: "a date or a count can't be read",
    "INVALID_TIER": "its tierDescription is not recognised",
    "INVALID_SYMBOL": "its symbol is empty or longer than 20 characters",
    "INVALID_MPID": "its mpid is empty or longer than 20 characters",
    "NEGATIVE_VOLUME": "its shares are negative",
    "NEGATIVE_TRADES": "its trades are negative",
    "ZERO_VOLUME": "it has neither shares nor trades",
    DUPLICATE_KEY: "another row of the same symbol and mpid has as many shares or more",
}
"""Why a row is rejected, in words; those of section 1.4 in the order of its tests."""

HISTORY_WINDOW = "history_window"
PARTIAL_COVERAGE = "partial_coverage"

SKIPS = {
    **REASONS,
    HISTORY_WINDOW: "a week of the window has no summaries of its tier",
    PARTIAL_COVERAGE: "a week of the window has no summary of the symbol",
}
"""Why a row of a file, or a symbol, gives no derived row, in words."""

MAX_NAME = 20
"""Characters of a symbol or mpid at most."""

SHARE_TOLERANCE = 0.001
"""How far from 1 the shares of a tier may add up (section 9)."""

REJECT_ALERT = 0.05
"""The part of a file's rows that may be rejected before it is worth a look (section 10)."""

TREND_PERCENT = 5.0
"""A trend beyond it, either way, is no longer flat (section 6.8)."""

LISTED_SYMBOLS = 50
"""Symbols that a quality row lists at most."""

STAGE_RANKS = {"PENDING": 0, "INGESTED": 1, "NORMALIZED": 2, "AGGREGATED": 3, "ROLLING": 4, "SNAPSHOT": 5}
"""How far a partition is, as its manifest says it (section 5)."""

_PARTITION = ("week_ending", "tier")
_BATCH = (Column("week_ending", "date"), Column("tier", "text"), Column("capture_id", "text"))
_RUN = (
    Column("captured_at", "timestamptz"),
    Column("input_capture_id", "text"),
    Column("execution_id", "text"),
    Column("batch_id", "text"),
)
_VERSION = (Column("calc_name", "text"), Column("calc_version", "text"))


def _columns(**types: str) -> tuple[Column, ...]:
    return tuple(Column(name, type_) for name, type_ in types.items())


def _table(name: str, key: tuple[Column, ...], touched: str, checks: tuple[str, ...], **values: str) -> Table:
    return Table(
        name=PREFIX + name,
        key=(*_BATCH, *key),
        attributes=_RUN,
        values=_columns(**values),
        observed="captured_at",
        policy=Mode.INSERT,
        bare=True,
        touched=touched,
        checks=checks,
        partition=_PARTITION,
    )


def _calculated(calc: str, *checks: str, **values: str) -> Table:
    """The table of a calculation; its business key is in the registry. Newest are rows of the current version."""
    entry = CALCS[calc]
    own = tuple(Column(name, "text") for name in entry.business_keys if name not in _PARTITION)
    made = _table(entry.table.removeprefix(PREFIX), (*own, *_VERSION), "calculated_at", checks, **values)
    return replace(made, partition=(*_PARTITION, "calc_version"), latest=f"calc_version = '{entry.current}'")


def _within(name: str) -> str:
    return f"{name} BETWEEN 0 AND 1"


_SUMMARY = {"total_volume": "int8", "total_trades": "int8", "venue_count": "int4", "avg_trade_size": "float8"}
_TREND = {"trend_direction": "text", "trend_pct": "float8"}

# One line of a file is one row: a text of any length need not be in the key.
RAW = _table(
    "raw",
    (Column("line_number", "int8"),),
    "ingested_at",
    (),
    symbol="text",
    mpid="text",
    issue_name="text",
    venue_name="text",
    tier_description="text",
    total_shares="int8",
    total_trades="int8",
    source_last_update_date="date",
    source_file="text",
    record_hash="text",
)
VENUE_VOLUME = _table(
    "venue_volume",
    (Column("symbol", "text"), Column("mpid", "text")),
    "normalized_at",
    (),
    total_shares="int8",
    total_trades="int8",
    avg_trade_size="float8",
    venue_name="text",
    source_last_update_date="date",
    record_hash="text",
)
SYMBOL_SUMMARY = _calculated("symbol_summary", "venue_count > 0", **_SUMMARY, source_last_update_date="date")
VENUE_SHARE = _calculated(
    "venue_share",
    _within("market_share_pct"),
    total_volume="int8",
    total_trades="int8",
    symbol_count="int4",
    market_share_pct="float8",
    rank="int4",
)
_ROLLING = _calculated(
    "rolling_6w",
    f"weeks_in_window BETWEEN 1 AND {WINDOW_WEEKS}",
    avg_volume="float8",
    avg_trades="float8",
    min_volume="int8",
    max_volume="int8",
    **_TREND,
    weeks_in_window="int4",
    is_complete="boolean",
    input_min_capture_id="text",
    input_max_capture_id="text",
    input_min_captured_at="timestamptz",
    input_max_captured_at="timestamptz",
)
ROLLING = replace(_ROLLING, latest=f"{_ROLLING.latest} AND is_complete")
SNAPSHOT = _table(
    "research_snapshot",
    (Column("symbol", "text"), *_VERSION),
    "computed_at",
    (),
    **_SUMMARY,
    rolling_avg_volume="float8",
    rolling_avg_trades="float8",
    rolling_min_volume="int8",
    rolling_max_volume="int8",
    **_TREND,
)
# They say what the normalised rows say.
SYMBOL_VENUE_VOLUME = replace(
    _calculated("weekly_symbol_venue_volume", venue_name="text", total_volume="int8", trade_count="int8"),
    shows=Shown(
        VENUE_VOLUME,
        {
            "symbol": "symbol",
            "mpid": "mpid",
            "venue_name": "venue_name",
            "total_volume": "total_shares",
            "trade_count": "total_trades",
        },
    ),
)
SYMBOL_VENUE_SHARE = _calculated(
    "weekly_symbol_venue_share",
    _within("venue_share"),
    venue_name="text",
    venue_volume="int8",
    total_symbol_volume="int8",
    venue_share="float8",
)
CONCENTRATION = _calculated(
    "weekly_symbol_venue_concentration_hhi",
    _within("hhi"),
    "venue_count > 0",
    hhi="float8",
    venue_count="int4",
    total_symbol_volume="int8",
)
TIER_VOLUME_SHARE = _calculated(
    "weekly_symbol_tier_volume_share",
    _within("tier_volume_share"),
    tier_volume="int8",
    total_symbol_volume_all_tiers="int8",
    tier_volume_share="float8",
)

BUSINESS_KEYS: dict[str, tuple[str, ...]] = {
    RAW.name: ("week_ending", "tier", "symbol", "mpid", "line_number"),
    VENUE_VOLUME.name: ("week_ending", "tier", "symbol", "mpid"),
    SNAPSHOT.name: ("week_ending", "tier", "symbol"),
    **{calc.table: calc.business_keys for calc in CALCS.values() if calc.stage},
}
"""What a capture, and so a `_latest` view, has one row of by version (section 3.1)."""

_RECORDED = (Column("execution_id", "text"), Column("batch_id", "text"))

MANIFEST = Table(
    name="core_manifest",
    key=_columns(domain="text", partition_key="text", stage="text"),
    attributes=_RECORDED,
    values=_columns(stage_rank="int4", row_count="int8", metrics_json="jsonb"),
    observed="captured_at",
    policy=Mode.SUPERSEDE,
    touched="updated_at",
)
REJECTS = Table(
    name="core_rejects",
    key=_columns(capture_id="text", source_locator="text", line_number="int8", stage="text", reason_code="text"),
    attributes=(*_columns(domain="text", partition_key="text"), *_RECORDED),
    values=_columns(reason_detail="text", raw_json="jsonb", record_key="text"),
    observed="captured_at",
    policy=Mode.INSERT,
    touched="created_at",
    audit=True,
)
QUALITY = Table(
    name="core_quality",
    key=_columns(capture_id="text", domain="text", partition_key="text", check_name="text"),
    attributes=_RECORDED,
    values=_columns(
        category="text",
        status="text",
        message="text",
        actual_value="text",
        expected_value="text",
        details_json="jsonb",
    ),
    observed="captured_at",
    policy=Mode.INSERT,
    touched="created_at",
    audit=True,
    checks=(
        "status IN ('PASS', 'WARN', 'FAIL')",
        "category IN ('INTEGRITY', 'COMPLETENESS', 'BUSINESS_RULE')",
    ),
)

_OF_VOLUMES = tuple(
    table.name for table in (SYMBOL_SUMMARY, VENUE_SHARE, SYMBOL_VENUE_VOLUME, SYMBOL_VENUE_SHARE, CONCENTRATION)
)

FINRA = Domain(
    name="finra",
    derivation_version=1,
    tables=(
        RAW,
        VENUE_VOLUME,
        SYMBOL_SUMMARY,
        VENUE_SHARE,
        SYMBOL_VENUE_VOLUME,
        SYMBOL_VENUE_SHARE,
        CONCENTRATION,
        TIER_VOLUME_SHARE,
        ROLLING,
        SNAPSHOT,
        REJECTS,
        QUALITY,
        MANIFEST,
    ),
    process="processors.finra.process:process",
    compute="processors.finra.line:compute",
    sources={
        "files": "producers.finra.sources:FinraFiles",
        "table": "producers.finra.sources:FinraStored",
        "log": "producers.finra.log:FinraLog",
        "watched": "producers.finra.watched:FinraWatched",
    },
    live="rederive.finra.live:WatchedFolder",
    checks="rederive.finra.quality:checked",
    quality="rederive.finra.quality:by_status",
    defaults={
        "options": {
            "source": None,
            "calc_version": None,
            "input_capture": None,
            "file_date": None,
            "take_newest": False,
            "force": False,
            "reject_zero_volume": True,
        }
    },
    show_plan="rederive.finra.commands:show_plan",
    reads="schemas.finra.tables:read",
    notes="schemas.finra.tables:noted",
    gaps="rederive.finra.gaps:gaps",
    within="producers.finra.log:within",
    provenance="processors.finra.explain:trace",
    routes="rederive.finra.routes:router",
    pages="rederive.finra.pages:pages",
    checklist="rederive.finra.commands:checklist",
    demo="rederive.finra.demo:demo",
    settings=("producers.finra.settings:FinraSettings",),
    commands={
        "replay finra": Command("rederive.finra.commands:replay_finra"),
        "plan finra": Command("rederive.finra.commands:plan_finra"),
        "versions": Command(
            "rederive.finra.report_commands:versions",
            "Versions of FINRA's calculations: which there are, and how they differ.",
        ),
        "report quality": Command("rederive.finra.report_commands:quality"),
        "report rejects": Command("rederive.finra.report_commands:rejects"),
        "report week": Command("rederive.finra.report_commands:one_week"),
    },
    counts={
        "table": ("stage", "to compute"),
        "files": ("file and stage", "to compute"),
        "watched": ("file", "to take"),
    },
    stages={
        "file": (RAW.name, VENUE_VOLUME.name, *_OF_VOLUMES),
        "raw": (VENUE_VOLUME.name, *_OF_VOLUMES),
        "venue_volume": _OF_VOLUMES,
        "tier_split": (TIER_VOLUME_SHARE.name,),
        "rolling": (ROLLING.name,),
        "snapshot": (SNAPSHOT.name,),
    },
)

_NOTED = {
    "file": ("INGESTED", "NORMALIZED", "AGGREGATED"),
    "raw": ("NORMALIZED", "AGGREGATED"),
    "venue_volume": ("AGGREGATED",),
    "rolling": ("ROLLING",),
    "snapshot": ("SNAPSHOT",),
}


def noted(table: Table, stage: str, captures: Iterable[str]) -> list[tuple[str, str, str]]:
    """The keys of `core_manifest` that a unit of a stage writes for captures of partitions; none of other tables."""
    if table is not MANIFEST:
        return []
    return [
        (CORE_DOMAIN, partition_key(*partition_of(capture)), reached)
        for capture in captures
        for reached in _NOTED.get(stage, ())
    ]


def read(stage: str, captures: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """By table, the captures whose rows a unit of a stage reads, of those that it was planned to read."""
    match stage:
        case "raw":
            return {RAW.name: captures}
        case "venue_volume":
            return {VENUE_VOLUME.name: captures}
        case "tier_split" | "rolling":
            return {SYMBOL_SUMMARY.name: captures}
        case "snapshot":
            return {SYMBOL_SUMMARY.name: captures[:1], ROLLING.name: captures[1:]}
    return {}

"""Racing: tables, owners, masters and payload kinds (racing spec, sections 1.2, 3, 4, 5 and 6)."""

from typing import Literal

from schemas.domain import Command, Domain
from schemas.lane import LaneName
from schemas.table import Column, Mode, Step, Table

CARD, RESULT, REFERENCE = 0, 1, 2
"""The sources: a racecard, a result, and what describes one thing apart from a race (masters, horse details)."""

SOURCES = ("card", "result", "reference")

Kind = Literal["racecards", "results", "masters", "horse"]
"""What an answer of the API is."""

KINDS: tuple[Kind, ...] = ("racecards", "results", "masters", "horse")

OBSERVED = "observed"
"""The column of derived rows that says when the payload was observed: the fetch, for masters the race date."""

REGIONS = {"gb": "Great Britain", "ire": "Ireland"}

BOOKMAKERS: tuple[tuple[str, str, str], ...] = (
    ("bet365", "Bet365", "online"),
    ("william_hill", "William Hill", "online"),
    ("ladbrokes", "Ladbrokes", "online"),
    ("coral", "Coral", "online"),
    ("paddy_power", "Paddy Power", "online"),
    ("betfair_sportsbook", "Betfair Sportsbook", "online"),
    ("skybet", "Sky Bet", "online"),
    ("betvictor", "BetVictor", "online"),
    ("betfred", "Betfred", "online"),
    ("888sport", "888sport", "online"),
    ("unibet", "Unibet", "online"),
    ("betway", "Betway", "online"),
    ("boylesports", "BoyleSports", "online"),
    ("betfair", "Betfair", "exchange"),
    ("betdaq", "Betdaq", "exchange"),
    ("matchbook", "Matchbook", "exchange"),
    ("smarkets", "Smarkets", "exchange"),
    ("spreadex", "Spreadex", "spread"),
    ("sporting_index", "Sporting Index", "spread"),
)
"""Code, name and type of each bookmaker: the API has no endpoint for them (section 5)."""

SKIPS = {
    "race_without_id": "the race has no race_id",
    "runner_without_horse": "the runner has no horse_id",
}
"""Why a race or a runner is skipped, in words (section 4)."""

MAX_ID = 50
"""Characters of an id at most."""

_ID = f"varchar({MAX_ID})"
_TEXT = "varchar"


def _columns(*owners: int, **types: str) -> tuple[Column, ...]:
    return tuple(Column(name, type_, owners) for name, type_ in types.items())


def _texts(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, _TEXT)


def _table(name: str, key: tuple[str, ...], *values: tuple[Column, ...], key_type: str = _ID, **more: object) -> Table:
    return Table(
        name=name,
        key=tuple(Column(part, key_type) for part in key),
        attributes=(),
        values=tuple(column for part in values for column in part),
        observed=OBSERVED,
        policy=Mode.SUPERSEDE,
        sources=SOURCES,
        bare=True,
        **{"touched": "updated_at", **more},  # type: ignore[arg-type]
    )


_ANY = (CARD, RESULT, REFERENCE)
# Only results and horse details carry a horse's country within its name.
_WITH_COUNTRY = (RESULT, REFERENCE)
_IN_WORDS = (CARD, REFERENCE)

BOOKMAKERS_TABLE = _table(
    "ra_mst_bookmakers",
    ("code",),
    _columns(*_ANY, name=_TEXT, type=_TEXT, is_active="boolean"),
    touched=None,
)
REGIONS_TABLE = _table("ra_mst_regions", ("code",), _columns(*_ANY, name=_TEXT), key_type="varchar(10)", touched=None)
COURSES = _table("ra_mst_courses", ("id",), _columns(*_ANY, **_texts("name", "region_code", "region")))

RACES = _table(
    "ra_races",
    ("id",),
    _columns(
        RESULT,
        course_id=_ID,
        **_texts("course_name", "region", "race_name"),
        date="date",
        off_time="time",
        off_dt="timestamptz",
        **_texts("type", "race_class"),
    ),
    _columns(CARD, distance=_TEXT),
    _columns(
        RESULT,
        **_texts("distance_round", "distance_f"),
        distance_m="integer",
        **_texts("age_band", "surface", "going"),
    ),
    _columns(CARD, going_detailed="text", weather=_TEXT, rail_movements="text"),
    _columns(RESULT, **_texts("pattern", "sex_restriction", "rating_band")),
    _columns(CARD, stalls=_TEXT),
    _columns(RESULT, jumps=_TEXT),
    _columns(CARD, prize="numeric"),
    _columns(RESULT, field_size="integer"),
    _columns(CARD, is_abandoned="boolean", is_big_race="boolean"),
    _columns(
        RESULT,
        has_result="boolean",
        winning_time=_TEXT,
        winning_time_detail="text",
        comments="text",
        non_runners="text",
        **_texts("tote_win", "tote_pl", "tote_ex", "tote_csf", "tote_tricast", "tote_trifecta"),
    ),
    _columns(CARD, tip="text", verdict="text", betting_forecast="text"),
    day="date",
)

HORSES = _table(
    "ra_mst_horses",
    ("id",),
    _columns(*_WITH_COUNTRY, name=_TEXT),
    _columns(*_ANY, sire_id=_ID, dam_id=_ID, damsire_id=_ID, dob="date", age="integer"),
    _columns(*_IN_WORDS, **_texts("sex", "sex_code")),
    _columns(*_ANY, **_texts("colour", "colour_code", "breeder", "region")),
)
JOCKEYS = _table("ra_mst_jockeys", ("id",), _columns(*_ANY, name=_TEXT))
TRAINERS = _table("ra_mst_trainers", ("id",), _columns(*_ANY, **_texts("name", "location")))
OWNERS = _table("ra_mst_owners", ("id",), _columns(*_ANY, name=_TEXT))
SIRES = _table("ra_mst_sires", ("id",), _columns(*_WITH_COUNTRY, name=_TEXT), _columns(*_ANY, region="varchar(10)"))
DAMS = _table("ra_mst_dams", ("id",), _columns(*_WITH_COUNTRY, name=_TEXT), _columns(*_ANY, region="varchar(10)"))
# Results name a damsire without its country, as cards do.
DAMSIRES = _table("ra_mst_damsires", ("id",), _columns(REFERENCE, name=_TEXT), _columns(*_ANY, region="varchar(10)"))
PEDIGREE = _table(
    "ra_horse_pedigree",
    ("horse_id",),
    _columns(*_ANY, sire_id=_ID),
    _columns(*_WITH_COUNTRY, sire=_TEXT),
    _columns(*_ANY, dam_id=_ID),
    _columns(*_WITH_COUNTRY, dam=_TEXT),
    _columns(*_ANY, damsire_id=_ID),
    _columns(REFERENCE, damsire=_TEXT),
    _columns(*_ANY, **_texts("breeder", "region")),
)

RUNNERS = _table(
    "ra_runners",
    ("race_id", "horse_id"),
    _columns(
        RESULT,
        horse_name=_TEXT,
        jockey_id=_ID,
        jockey_name=_TEXT,
        trainer_id=_ID,
        trainer_name=_TEXT,
    ),
    _columns(CARD, trainer_location=_TEXT),
    _columns(
        RESULT,
        owner_id=_ID,
        owner_name=_TEXT,
        number=_TEXT,
        draw=_TEXT,
        sire_id=_ID,
        dam_id=_ID,
        damsire_id=_ID,
        weight_lbs="integer",
        weight_st_lbs=_TEXT,
        age="integer",
    ),
    _columns(CARD, **_texts("sex", "sex_code", "colour"), dob="date"),
    _columns(RESULT, headgear=_TEXT),
    _columns(CARD, **_texts("headgear_run", "wind_surgery", "wind_surgery_run", "form", "last_run")),
    _columns(RESULT, ofr="integer", rpr="integer", ts="integer", comment="text"),
    _columns(CARD, spotlight="text", trainer_rtf=_TEXT, past_results_flags="jsonb"),
    _columns(RESULT, is_scratched="boolean", silk_url=_TEXT),
    _columns(
        RESULT,
        position="integer",
        position_str=_TEXT,
        distance_beaten="varchar(20)",
        overall_beaten_distance="numeric",
        prize_won="numeric(10,2)",
        starting_price="varchar(20)",
        starting_price_decimal="numeric",
        finishing_time=_TEXT,
        jockey_claim_lbs="integer",
        result_updated_at="timestamptz",
    ),
    _columns(CARD, odds="jsonb"),
    # COALESCE can't clear: a finisher who is disqualified later has no position any more (section 6).
    groups=(("position", "position_str", "prize_won"),),
)


def _link(parents: str) -> Step:
    """Which horse a sire, dam or damsire is: the one of its name and region, else the one of its name (section 5)."""
    return Step(
        f"{parents}.horse_id",
        f"""
        WITH horse AS (
            SELECT id, rederive.plain_name(name) AS plain, region FROM ra_mst_horses
        ), named AS (
            SELECT plain, count(*) AS count, min(id) AS id FROM horse GROUP BY plain
        ), placed AS (
            SELECT plain, region, count(*) AS count, min(id) AS id FROM horse WHERE region IS NOT NULL
            GROUP BY plain, region
        ), linked AS (
            SELECT p.id, CASE WHEN placed.count = 1 THEN placed.id WHEN named.count = 1 THEN named.id END AS horse_id
            FROM {parents} p
            LEFT JOIN named ON named.plain = rederive.plain_name(p.name)
            LEFT JOIN placed ON placed.plain = named.plain AND placed.region = p.region
        ), wrong AS (
            SELECT p.id, l.horse_id, (p.xmin = p.merge_xid OR p.xmin = b.row_xmin) IS TRUE AS ours
            FROM {parents} p JOIN linked l USING (id) LEFT JOIN rederive.{parents}_baseline b USING (id)
            WHERE p.horse_id IS DISTINCT FROM l.horse_id
            ORDER BY p.id FOR NO KEY UPDATE OF p
        )
        UPDATE {parents} p
        SET horse_id = w.horse_id, updated_at = now(),
            merge_xid = CASE WHEN w.ours THEN pg_current_xact_id()::xid ELSE p.merge_xid END
        FROM wrong w WHERE p.id = w.id""",
    )


RACING = Domain(
    name="racing",
    derivation_version=2,
    # Of an empty list of runners there are 0, and no longer NULL.
    changes={2: ("ra_races.field_size",)},
    tables=(
        BOOKMAKERS_TABLE,
        REGIONS_TABLE,
        COURSES,
        RACES,
        HORSES,
        JOCKEYS,
        TRAINERS,
        OWNERS,
        SIRES,
        DAMS,
        DAMSIRES,
        PEDIGREE,
        RUNNERS,
    ),
    process="processors.racing.process:process",
    compute="processors.racing.line:compute",
    sources={"api": "producers.racing.days:RacingDays", "log": "producers.racing.days:RacingLog"},
    live="producers.racing.live:LiveDays",
    steps=tuple(_link(parents) for parents in ("ra_mst_sires", "ra_mst_dams", "ra_mst_damsires")),
    kept=(LaneName.LOG, LaneName.DETAIL),
    defaults={"kinds": ("masters", "racecards", "results"), "keys": tuple(REGIONS)},
    show_plan="rederive.racing.commands:show_plan",
    journal="rederive.racing.journal:journal",
    gaps="rederive.racing.gaps:gaps",
    within="producers.racing.dated:within",
    provenance="processors.racing.explain:trace",
    routes="rederive.racing.routes:router",
    pages="rederive.racing.pages:pages",
    demo="rederive.racing.demo:demo",
    settings=("producers.racing.settings:RacingSettings", "producers.racing.settings:LiveSettings"),
    commands={
        "replay racing": Command("rederive.racing.commands:replay_racing"),
        "plan racing": Command("rederive.racing.commands:plan_racing"),
        "report racing-verify": Command("rederive.racing.commands:racing_verify"),
    },
    counts={"api": ("answer", "to derive from")},
    inputs=("rederive.rate_limits", "rederive.racing_records"),
)

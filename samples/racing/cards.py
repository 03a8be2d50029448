"""A race as a card of `/racecards/pro`: fields and spellings of racing spec, section 1.2."""

from collections.abc import Callable
from datetime import date, timedelta
from typing import Any

from samples.racing.programme import age_band, exact_distance, jumps, rounded_distance
from samples.racing.races import PRICES, Race, Runner
from samples.racing.world import (
    Horse,
    claim,
    horse,
    horse_name,
    horse_region,
    jockey,
    owner,
    owner_fields,
    owners,
    sex_and_word,
    trainer,
    trainer_location,
    trainers,
)

ENTRIES, DECLARED, PRICED, EMPTY = 3, 2, 1, 7
"""Days ahead from which on a card has: entries only, no prices yet, no non-runners yet, no runners yet."""

_FIRST_PRICES = date(2023, 7, 1)
_BOOKMAKERS = (
    "Bet365", "William Hill", "Ladbrokes", "Coral", "Paddy Power", "Sky Bet", "BetVictor", "Betfred", "Unibet",
    "BoyleSports", "Betfair", "Spreadex",
)  # fmt: skip
_SPOTLIGHTS = (
    "Ran on well last time; likely to go close again.",
    "Up 4lb for a narrow win – that looks fair and he’s still unexposed.",
    "",
    "Well held of late; others preferred.",
    "Not seen to best effect last time, big danger if on a going day.",
    "Débutant from a family that comes on for the run.",
)
_COMMENTS = (
    "Fair sort, yard among the winners",
    "",
    "Consistent, drop in class helps",
    "Needs to bounce back",
    "Won this in ’22 & back to a good mark",
)
_FORM = "123456789012345678900-/PF1234567"
_FORM_ON_THE_FLAT = "123456789012345678900-4512345678"
_FORECASTS = 3


def card(race: Race, lead: int = 0, *, poor: bool = False) -> dict[str, Any]:
    """A race of `/racecards/pro`, asked for `lead` days ahead; a poor one has no odds, spotlight or ratings."""
    final = lead < PRICED
    shown = [] if lead >= EMPTY else list(race.runners)
    named = [horse_name(runner.horse) for runner in shown]
    best = sorted(zip(shown, named, strict=True), key=lambda pair: pair[0].price)[:_FORECASTS]
    told = best if lead < DECLARED and not poor else []
    bits = race.bits
    return {
        "race_id": race.id,
        "course": race.course.name,
        "course_id": race.course.id,
        "date": race.date.isoformat(),
        "off_time": race.clock,
        "off_dt": race.starts_at,
        "race_name": race.name,
        "distance_round": rounded_distance(race.halves),
        "distance": exact_distance(race.yards),
        "distance_f": f"{race.halves / 2:.1f}",
        "region": race.course.region,
        "pattern": race.terms.pattern,
        "sex_restriction": race.terms.sex,
        "race_class": race.race_class,
        "type": race.terms.type,
        "age_band": age_band(race.terms),
        "rating_band": race.rating_band,
        "prize": f"{race.currency}{race.prize:,}" if bits % 60 else "",
        "field_size": str(len(shown) + (bits % 23 == 0)),
        "going_detailed": f"{race.going} (GoingStick: {5 + bits % 40 / 10:.1f})" if bits & 8 else "",
        "rail_movements": "Rail out 4yds on the far bend" if bits & 48 == 48 else "",
        "stalls": "Stands’ side" if bits & 192 == 192 and race.terms.type == "Flat" else "",
        "weather": "Showers" if bits & 768 == 768 else "",
        "going": race.going if lead < DECLARED else "",
        "surface": race.surface,
        "jumps": jumps(race.terms, race.halves),
        "big_race": bool(race.terms.pattern) or race.prize > 60_000,
        "is_abandoned": race.abandoned and final,
        "tip": told[0][1] if told else "",
        "verdict": f"{told[0][1].upper()} sets the standard." if told else "",
        "betting_forecast": ", ".join(f"{PRICES[runner.price][0]} {name}" for runner, name in told),
        "runners": [_card_runner(race, runner, name, lead, poor) for runner, name in zip(shown, named, strict=True)],
    }


def _card_runner(race: Race, runner: Runner, name: str, lead: int, poor: bool) -> dict[str, Any]:
    one = horse(runner.horse)
    dam = horse(one.dam)
    bits = runner.bits
    sex_code, sex = sex_and_word(one, race.date)
    trained, trained_before, changed = trainers(one, race.date)
    owned, owned_before, sold = owners(one, race.date)
    trainer_id, trainer_name = trainer(trained)
    out = bool(runner.withdrawn) and lead < PRICED
    entered = lead >= ENTRIES
    first_time = "1" if bits >> 5 & 7 == 0 else ""
    wind = bits >> 8 & 31 == 0
    runs = bits >> 40 & 15
    wins = runs * (bits >> 44 & 7) // 20
    answer = {
        "horse_id": f"hrs_{one.number}",
        "horse": name,
        "dob": one.born.isoformat(),
        "age": str(race.date.year - one.born.year),
        "sex": sex,
        "sex_code": sex_code,
        "colour": one.colour,
        "region": one.region,
        "breeder": one.breeder,
        "dam": dam.name,
        "dam_id": f"dam_{one.dam}",
        "dam_region": dam.region,
        "sire": horse_name(one.sire),
        "sire_id": f"sir_{one.sire}",
        "sire_region": horse_region(one.sire),
        "damsire": horse_name(dam.sire),
        "damsire_id": f"dsi_{dam.sire}",
        "damsire_region": horse_region(dam.sire),
        "trainer": trainer_name,
        "trainer_id": trainer_id,
        "trainer_location": trainer_location(trained, race.date),
        "trainer_14_days": {
            "runs": str(runs),
            "wins": str(wins),
            "percent": str(round(100 * wins / runs)) if runs else "0",
        },
        **owner_fields(one, owned),
        "prev_trainers": _before("trainer", trainer, trained_before, changed),
        "prev_owners": _before("owner", owner, owned_before, sold),
        "comment": _COMMENTS[bits % len(_COMMENTS)] if bits % 31 and not poor else None,
        "spotlight": "" if poor or entered else _SPOTLIGHTS[bits % len(_SPOTLIGHTS)] if bits % 37 else None,
        "quotes": _quotes(race, one) if bits % 41 == 0 else [],
        "stable_tour": [],
        "medical": _medical(race, bits),
        "number": "NR" if out else "" if entered else str(runner.number),
        "draw": "0" if out or entered else str(runner.draw),
        "headgear": runner.headgear,
        "headgear_run": first_time if runner.headgear else "",
        "wind_surgery": "w" if wind else "",
        "wind_surgery_run": ("1", "2")[bits & 1] if wind else "",
        "past_results_flags": _flags(bits >> 12),
        "lbs": str(runner.lbs),
        "ofr": "-" if runner.rating is None or poor else str(runner.rating),
        "rpr": "-" if poor or bits % 13 == 0 else str((runner.rating or 60) + bits % 9),
        "ts": "-" if poor or bits % 3 == 0 else str((runner.rating or 60) - bits % 25),
        **_card_jockey(runner, out, entered),
        "silk_url": f"https://silks.example/hrs_{one.number}.svg",
        "last_run": _last_run(bits),
        "form": _form(bits >> 16, race.terms.type),
        "trainer_rtf": str(bits >> 48 & 63) if bits % 7 else "",
        "odds": [] if poor or lead >= DECLARED or race.date < _FIRST_PRICES else _odds(race, runner, out),
    }
    # Now and then the API leaves a key out.
    if bits % 97 == 0:
        del answer["medical"], answer["trainer_rtf"]
    return answer


def _before(
    what: str, named: Callable[[int], tuple[str, str]], number: int | None, changed: date
) -> list[dict[str, str]]:
    if number is None:
        return []
    identifier, name = named(number)
    return [{what: name, f"{what}_id": identifier, "change_date": changed.isoformat()}]


def _card_jockey(runner: Runner, out: bool, entered: bool) -> dict[str, str]:
    if entered or not runner.declared:
        return {"jockey": "", "jockey_id": ""}
    identifier, name = jockey(runner.jockey)
    pounds = claim(runner.jockey)
    shown = "NON-RUNNER" if out else name
    return {"jockey": f"{shown}({pounds})" if pounds else shown, "jockey_id": identifier}


def _last_run(bits: int) -> str:
    days, furlongs = 5 + (bits >> 20) % 70, 5 + bits % 12
    kind = (bits >> 27) % 100
    if kind < 6:
        return ""
    return f"({furlongs}F)" if kind < 9 else f"{days + 90} ({furlongs}F)" if kind < 14 else str(days)


def _form(bits: int, kind: str) -> str:
    letters = _FORM if kind in {"Hurdle", "Chase"} else _FORM_ON_THE_FLAT
    return "".join(letters[bits >> 5 * place & 31] for place in range(bits % 7))


def _flags(bits: int) -> list[str]:
    return [flag for place, flag in enumerate(("C", "D", "CD", "BF")) if bits >> 3 * place & 7 == 0]


def _quotes(race: Race, one: Horse) -> list[dict[str, str]]:
    return [
        {
            "date": (race.date - timedelta(days=21)).isoformat(),
            "horse": one.name,
            "horse_id": f"hrs_{one.number}",
            "race": race.name,
            "race_id": f"rac_{int(race.id[4:]) - 2100}",
            "course": race.course.name,
            "course_id": race.course.id,
            "distance_f": f"{race.halves / 2:.1f}",
            "distance_y": str(race.yards),
            "quote": "“She’s done it nicely & will stay further.”",
        }
    ]


def _medical(race: Race, bits: int) -> list[dict[str, str]]:
    if bits % 29:
        return []
    return [{"date": (race.date - timedelta(days=60 + bits % 50)).isoformat(), "type": "Wind Surgery"}]


def _odds(race: Race, runner: Runner, out: bool) -> list[dict[str, Any]]:
    """Prices of one to four bookmakers, each a step or two off the starting price; dashes for a non-runner."""
    bits = runner.bits
    found: list[dict[str, Any]] = []
    for place in range(1 + bits % 4):
        step = (bits >> 3 * place) % 5 - 2
        fractional, decimal = PRICES[min(max(runner.price + step, 0), len(PRICES) - 1)]
        before, decimal_before = PRICES[min(runner.price + 1, len(PRICES) - 1)]
        day = race.date.isoformat()
        history = [{"changed_at": f"{day} 09:30:04", "fractional": before, "decimal": f"{decimal_before:g}"}]
        found.append(
            {
                "bookmaker": _BOOKMAKERS[(bits + 5 * place) % len(_BOOKMAKERS)],
                "fractional": "-" if out else fractional,
                "decimal": "-" if out else f"{decimal:g}",
                "ew_places": "3",
                "ew_denom": "5",
                "updated": f"{day} 11:{bits % 60:02}:{(bits >> 6) % 60:02}",
                "history": history if step and not out else [],
            }
        )
    return found

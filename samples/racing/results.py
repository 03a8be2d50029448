"""A race as a result of `/results`: fields and spellings of racing spec, section 1.2."""

from typing import Any

from samples.racing.programme import age_band, jumps, rounded_distance
from samples.racing.races import PRICES, Race, Runner
from samples.racing.world import claim, horse, horse_name, horse_region, jockey, owner_fields, owners, trainer, trainers

_IN_RUNNING = (
    "Tracked leader - led over 1f out - stayed on",
    "Held up - headway 3 out - ridden and no impression",
    "Led till headed 2f out – weakened",
    "Midfield, pushed along halfway, never near to challenge",
    "Slowly away, behind, some late progress (jockey said gelding hung left)",
    "",
)
_CODES_SAID = {
    "PU": "Behind - pulled up before 2 out",
    "F": "Tracked leaders till fell 4th",
    "UR": "Blundered and unseated rider 6th",
    "BD": "Midfield when brought down 3 out",
}
_DASH = "–"


def result(race: Race) -> dict[str, Any]:
    """A race of `/results`; those that were withdrawn are named, not listed."""
    ran = race.ran
    winner = ran[0].seconds
    bits = race.bits
    money = race.currency
    absent = (runner for runner in race.runners if runner.withdrawn)
    placed = [1.1 + PRICES[runner.price][1] / 5 for runner in ran[:3] if runner.seconds]
    return {
        "race_id": race.id,
        "date": race.date.isoformat(),
        "region": race.course.region,
        "course": race.course.name,
        "course_id": race.course.id,
        "off": race.clock,
        "off_dt": race.starts_at,
        "race_name": race.name,
        "type": race.terms.type,
        "class": race.race_class,
        "pattern": race.terms.pattern,
        "rating_band": race.rating_band,
        "age_band": age_band(race.terms),
        "sex_rest": race.terms.sex,
        "dist": rounded_distance(race.halves),
        "dist_y": str(race.yards),
        "dist_m": str(round(race.yards * 0.9144)),
        "dist_f": f"{race.halves / 2:g}f",
        "going": race.going,
        "surface": race.surface,
        "jumps": jumps(race.terms, race.halves),
        "winning_time_detail": _detail(winner, bits),
        "comments": "New course record" if bits % 300 == 0 else "",
        "non_runners": ", ".join(f"{horse_name(runner.horse)} ({runner.withdrawn})" for runner in absent),
        "tote_win": f"{money}{PRICES[ran[0].price][1] * 1.05:.2f}" if winner else "",
        "tote_pl": " ".join(f"{money}{place:.2f}" for place in placed),
        "tote_ex": f"{money}{5 + bits % 9000 / 100:.2f}" if winner else "",
        "tote_csf": f"£{4 + bits % 8000 / 100:.2f}" if winner else "",
        "tote_tricast": f"£{20 + bits % 50_000 / 100:.2f}" if winner and len(ran) > 7 else "",
        "tote_trifecta": f"{money}{30 + bits % 90_000 / 100:,.2f}" if winner and len(ran) > 7 else "",
        "runners": [_result_runner(race, runner) for runner in ran],
    }


def _result_runner(race: Race, runner: Runner) -> dict[str, Any]:
    one = horse(runner.horse)
    dam = horse(one.dam)
    bits = runner.bits
    trainer_id, trainer_name = trainer(trainers(one, race.date)[0])
    jockey_id, jockey_name = jockey(runner.jockey)
    fractional, decimal = PRICES[runner.price]
    finished = runner.seconds is not None
    rated = (runner.rating or 60) + bits % 19 - 9
    stones, pounds = divmod(runner.lbs, 14)
    said = _CODES_SAID.get(runner.position)
    return {
        "horse_id": f"hrs_{one.number}",
        "horse": one.full_name,
        "sp": fractional + runner.mark,
        "sp_dec": f"{decimal:.2f}",
        "number": str(runner.number),
        "position": runner.position,
        "draw": str(runner.draw) if runner.draw else "",
        "btn": runner.beaten,
        "ovr_btn": runner.behind,
        "age": str(race.date.year - one.born.year),
        "sex": one.sex_code(race.date),
        "weight": f"{stones}-{pounds}",
        "weight_lbs": str(runner.lbs),
        "headgear": runner.headgear,
        "time": "-" if runner.seconds is None else _time(runner.seconds),
        "or": _DASH if runner.rating is None else str(runner.rating),
        "rpr": str(max(rated, 1)) if finished else _DASH,
        "tsr": str(max(rated - bits % 30, 1)) if finished and bits % 5 else _DASH,
        "prize": runner.prize,
        "jockey": jockey_name,
        "jockey_claim_lbs": str(claim(runner.jockey)),
        "jockey_id": jockey_id,
        "trainer": trainer_name,
        "trainer_id": trainer_id,
        **owner_fields(one, owners(one, race.date)[0]),
        "sire": f"{horse_name(one.sire)} ({horse_region(one.sire)})",
        "sire_id": f"sir_{one.sire}",
        "dam": dam.full_name,
        "dam_id": f"dam_{one.dam}",
        "damsire": horse_name(dam.sire),
        "damsire_id": f"dsi_{dam.sire}",
        "comment": said or _IN_RUNNING[bits % len(_IN_RUNNING)],
        "silk_url": f"https://silks.example/hrs_{one.number}.svg",
    }


def _time(seconds: float) -> str:
    """Minutes and seconds without padding: `1:43.25`, `0:58.40`, `1:0.02`."""
    minutes, hundredths = divmod(round(seconds * 100), 6000)
    return f"{minutes}:{hundredths / 100:.2f}"


def _detail(seconds: float | None, bits: int) -> str:
    if seconds is None:
        return ""
    minutes, hundredths = divmod(round(seconds * 100), 6000)
    whole = f"{minutes}m {hundredths / 100:.2f}s" if minutes else f"{hundredths / 100:.2f}s"
    return f"{whole} ({'fast' if bits % 9 == 0 else 'slow'} by {bits % 900 / 100:.2f}s)"

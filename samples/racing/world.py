"""Who and what races in the made-up days: courses, horses, people; each a pure function of its number.

Ids have the shapes of racing spec, section 1.2. The digits of a horse's id are its number, and a horse that became a
sire, dam or damsire keeps them.
"""

from datetime import date
from functools import lru_cache
from itertools import islice
from typing import NamedTuple

from samples.racing.words import COURSES as _COURSES
from samples.racing.words import FIRST, FORENAMES, HOMES, NAMES, REGIONS, SECOND, STUDS, SURNAMES

CROP = 5_000
"""Horses born each year."""

LANES = 5
"""A horse runs on every fifth day at most: on days whose ordinal has its number's remainder."""

JOCKEYS, TRAINERS, IRISH_TRAINERS, OWNERS = 150, 300, 100, 5_000

_HORSES, _COURSE_IDS, _JOCKEY_IDS, _TRAINER_IDS, _OWNER_IDS = 60_000_000, 52_001, 27_000_001, 24_500_001, 25_500_001
_FIRST_CROP, _LAST_CROP = 1966, 2045
_WORDS = len(FIRST) * len(SECOND) * len(NAMES)
# Prime to _WORDS: neighbours get unlike names, and no two horses the same one.
_STRIDE = 104_729
_REGIONS = ("GB",) * 9 + ("IRE",) * 8 + ("FR", "FR", "USA", "GER")
_COLOURS = ("b", "b", "b", "b/br", "ch", "ch", "gr", "br", "bl", "ro")
_COLOUR_CODES = {"b": "B", "b/br": "BB", "ch": "CH", "gr": "GR", "br": "BR", "bl": "BL", "ro": "RO"}
_SEXES = {"C": "colt", "F": "filly", "G": "gelding", "H": "horse", "M": "mare"}
_GROWN, _SIRE_AGE, _DAM_AGE = 5, 5, 4


class Course(NamedTuple):
    """A course; `region` is GB, IRE or FR, `codes` are of F (flat turf), J (jumps), A (all-weather)."""

    id: str
    name: str
    region: str
    codes: str

    def entry(self) -> dict[str, str]:
        """As `/courses` gives it."""
        code = self.region.lower()
        return {"id": self.id, "course": self.name, "region_code": code, "region": dict(REGIONS)[code]}


class Horse(NamedTuple):
    """What stays the same about a horse: its name without country, `region` of birth, parents' numbers."""

    number: int
    name: str
    region: str
    born: date
    male: bool
    gelded: bool
    colour: str
    breeder: str
    sire: int
    dam: int
    bits: int

    @property
    def full_name(self) -> str:
        """The name with its country, as results have it."""
        return f"{self.name} ({self.region})"

    def sex_code(self, on: date) -> str:
        """One letter of G M F C H on a day."""
        grown = on.year - self.born.year >= _GROWN
        if self.male:
            return "G" if self.gelded else "H" if grown else "C"
        return "M" if grown else "F"


COURSES = tuple(
    Course(f"crs_{_COURSE_IDS + place}", name, region.upper(), codes)
    for place, (name, region, codes) in enumerate(_COURSES)
)


def mix(number: int) -> int:
    """62 bits that look random and are always the same for a number."""
    number = (number + 0x9E3779B97F4A7C15) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
    number = (number ^ number >> 31) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
    return (number ^ number >> 29) >> 2


def born_in(year: int) -> int:
    """The number of the first horse of a crop."""
    return _HORSES + (year - _FIRST_CROP) * CROP


def horse_number(identifier: str) -> int | None:
    """The number in an id like `hrs_60250017`; None when no horse has it."""
    prefix, _, digits = identifier.partition("_")
    if prefix != "hrs" or not (digits.isascii() and digits.isdigit() and len(digits) == len(str(_HORSES))):
        return None
    number = int(digits)
    return number if born_in(_FIRST_CROP) <= number < born_in(_LAST_CROP + 1) else None


def horse_name(number: int) -> str:
    """A horse's name without country."""
    words, pattern = divmod((number - _HORSES) * _STRIDE % _WORDS, len(NAMES))
    first, second = divmod(words, len(SECOND))
    return NAMES[pattern].format(FIRST[first], SECOND[second])


def search(text: str, limit: int = 10) -> list[int]:
    """The numbers of the first horses whose names begin with a text, without regard to case."""
    wanted = text.casefold()
    everyone = range(born_in(_FIRST_CROP), born_in(_LAST_CROP + 1))
    return list(islice((number for number in everyone if horse_name(number).casefold().startswith(wanted)), limit))


def horse_region(number: int) -> str:
    """Where a horse was born: GB, IRE, FR and so on."""
    return _REGIONS[mix(number) % len(_REGIONS)]


def sex_and_word(horse: Horse, on: date) -> tuple[str, str]:
    """The letter and the word, like `G` and `gelding`."""
    code = horse.sex_code(on)
    return code, _SEXES[code]


def sire_of(number: int) -> int:
    """The number of a horse's sire: one of fifty stallions of a crop five to seventeen years older."""
    bits = mix(number + 1)
    return born_in(_crop(number) - _SIRE_AGE - bits % 13) + (bits >> 8) % 50


@lru_cache(maxsize=8192)
def horse(number: int) -> Horse:
    """Everything that stays the same about a horse."""
    bits = mix(number)
    place = (number - _HORSES) % CROP
    stallion = place < CROP // 100
    year = _crop(number)
    # Odd hundredths of a crop are female: see `place_of`.
    male = place // 50 % 2 == 0
    mare = born_in(year - _DAM_AGE - (bits >> 5) % 13)
    return Horse(
        number,
        horse_name(number),
        _REGIONS[bits % len(_REGIONS)],
        date(year, 2 + (bits >> 9) % 4, 1 + (bits >> 11) % 28),
        male,
        male and not stallion and bits >> 16 & 3 != 0,
        _COLOURS[(bits >> 18) % len(_COLOURS)],
        STUDS[(bits >> 22) % len(STUDS)],
        sire_of(number),
        mare + 50 * (2 * ((bits >> 25) % 50) + 1) + (bits >> 31) % 50,
        bits,
    )


def place_of(group: int, home: int, lane: int) -> int:
    """A horse's place in its crop.

    `group` is 0..99 (odd ones are female, those under 50 run on the flat, the others over jumps), `home` is 0..9 (0..2
    are trained in Ireland), `lane` is 0..4.
    """
    return (group * 10 + home) * LANES + lane


def trained_in_ireland(number: int) -> bool:
    """Whether a horse's stable is an Irish one."""
    return (number - _HORSES) // LANES % 10 < 3


def trainers(one: Horse, on: date) -> tuple[int, int | None, date]:
    """A horse's trainer on a day, its trainer before (if it changed) and when it changed."""
    span, start = (
        (IRISH_TRAINERS, TRAINERS - IRISH_TRAINERS)
        if trained_in_ireland(one.number)
        else (TRAINERS - IRISH_TRAINERS, 0)
    )
    return _holders(one.bits >> 28, span, start, one.born.year + 4, 11, on)


def owners(one: Horse, on: date) -> tuple[int, int | None, date]:
    """A horse's owner on a day, its owner before (if it changed) and when it changed."""
    return _holders(one.bits >> 33, OWNERS, 0, one.born.year + 3, 13, on)


def _holders(bits: int, span: int, start: int, year: int, share: int, on: date) -> tuple[int, int | None, date]:
    changed = date(year, 8, 1)
    # Squared, so that a few have many and most have few.
    first = start + (bits & 0xFFF) ** 2 * span // (0x1000 * 0x1000)
    if bits % share or on < changed:
        return first, None, changed
    return start + (first - start + 17) % span, first, changed


@lru_cache(maxsize=1024)
def person(number: int) -> tuple[str, str]:
    """A forename and a surname."""
    bits = mix(number)
    return FORENAMES[bits % len(FORENAMES)], SURNAMES[(bits >> 16) % len(SURNAMES)]


@lru_cache(maxsize=JOCKEYS)
def jockey(number: int) -> tuple[str, str]:
    """Id and name of a jockey, 0..149."""
    forename, surname = person(1_000 + number)
    name = f"{forename[0]}. {surname}" if number % 4 == 1 else f"{forename} {surname}"
    return f"jky_{_JOCKEY_IDS + number}", name


def claim(number: int) -> int:
    """Pounds that a jockey claims: 0, 3, 5 or 7."""
    return (0, 0, 0, 0, 3, 0, 0, 5, 0, 7)[number % 10]


@lru_cache(maxsize=TRAINERS)
def trainer(number: int) -> tuple[str, str]:
    """Id and name of a trainer, 0..299."""
    forename, surname = person(2_000 + number)
    name = (f"{forename} {surname}", f"{forename[0]}. {surname}", f"Mrs {forename[0]} {surname}")[number % 3]
    return f"trn_{_TRAINER_IDS + number}", name


def trainer_location(number: int, on: date) -> str:
    """Where a trainer's stable is on a day; every ninth has moved in 2021, some have none."""
    homes = HOMES["IRE" if number >= TRAINERS - IRISH_TRAINERS else "GB"]
    moved = number % 9 == 0 and on.year >= 2021
    return homes[(number + moved) % len(homes)]


@lru_cache(maxsize=OWNERS)
def owner(number: int) -> tuple[str, str]:
    """Id and name of an owner, 0..4999."""
    forename, surname = person(3_000 + number)
    name = (
        f"{forename} {surname}",
        f"Mrs {forename[0]} {surname}",
        f"The {surname} Partnership",
        f"{forename} & {SURNAMES[number % len(SURNAMES)]}",
        f"{FIRST[number % len(FIRST)]} {surname} Syndicate",
    )[number % 5]
    return f"own_{_OWNER_IDS + number}", name


def owner_fields(one: Horse, number: int) -> dict[str, str]:
    """A horse's `owner` and `owner_id`; one horse in 128 has none."""
    if one.bits >> 45 & 127 == 0:
        return {"owner": "", "owner_id": ""}
    identifier, name = owner(number)
    return {"owner": name, "owner_id": identifier}


def detail(number: int) -> dict[str, str] | None:
    """A horse as `/horses/{id}/pro` gives it; None for one in fifty, whose details aren't known."""
    one = horse(number)
    if (one.bits >> 40) % 50 == 0:
        return None
    sire, dam = horse(one.sire), horse(one.dam)
    # It was retired when it would have been eight: the word for its sex no longer changes.
    code, sex = sex_and_word(one, date(one.born.year + 8, 1, 1))
    return {
        "id": f"hrs_{number}",
        "name": one.full_name,
        "dob": one.born.isoformat(),
        "sex": sex,
        "sex_code": code,
        "colour": one.colour,
        "colour_code": _COLOUR_CODES[one.colour],
        "breeder": one.breeder,
        "sire": sire.full_name,
        "sire_id": f"sir_{one.sire}",
        "dam": dam.full_name,
        "dam_id": f"dam_{one.dam}",
        "damsire": horse(dam.sire).full_name,
        "damsire_id": f"dsi_{dam.sire}",
    }


def _crop(number: int) -> int:
    return _FIRST_CROP + (number - _HORSES) // CROP

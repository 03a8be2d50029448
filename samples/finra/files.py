"""Made-up weekly files of any size, in the layout of FINRA's own, the same ones for the same seed."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from random import Random

import polars as pl

from schemas.finra.partition import BACKFILL_TIERS

HEADER = (
    "tierDescription|issueSymbolIdentifier|issueName|marketParticipantName|MPID|"
    "totalWeeklyShareQuantity|totalWeeklyTradeCount|lastUpdateDate"
)
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_KINDS = ("Common Stock", "Ordinary Shares", "ADR", "Preferred Stock", "Units")
_FIRST_VENUES = ("CDEL", "NITE", "OTCN", "OTCX", "VIRT", "GTSM", "ETRF", "CANT", "ARCA")
_PRESENT = 97
_PUBLISHED_AFTER = timedelta(days=3)
_UNIFORM = 2**32


@dataclass(frozen=True, slots=True)
class WeeklyFile:
    """A file: its bytes, and what a reader should find: its rows, and how many of them are rejected by reason."""

    week_ending: date
    tier: str
    name: str
    content: bytes
    rows: int
    rejects: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class FinraFiles:
    """A seeded world of symbols and venues, traded in four tiers.

    A file has about `rows` rows of about `symbols` symbols; three in a hundred symbols are missing from a week. To
    `faults` of its rows, 0 to 1, come as many again that are rejected, blank, stale or oddly written. With `dos` files
    begin with a byte order mark and their lines end with CRLF.
    """

    seed: int = 1
    symbols: int = 1_000
    rows: int = 5_000
    faults: float = 0.0
    dos: bool = False

    def files(self, weeks: Iterable[date], tiers: Iterable[str] = BACKFILL_TIERS) -> Iterator[WeeklyFile]:
        """The files of weeks and tiers, by week."""
        named = tuple(tiers)
        return (self.file(week, tier) for week in weeks for tier in named)

    def file(self, week_ending: date, tier: str, edition: int = 0) -> WeeklyFile:
        """The file of a week and tier; another edition has the same rows with other figures."""
        published = week_ending + _PUBLISHED_AFTER
        lines = self._lines(week_ending, tier, edition, published)
        random = Random(f"{self.seed}/faults/{tier}/{week_ending}")
        good, rejects = tuple(lines), Counter[str]()
        for number in range(int(len(good) * self.faults)):
            added = _fault(number, random.choice(good), tier, published)
            place = random.randrange(len(lines) + 1)
            lines.insert(place, added[0])
            if added[1]:
                rejects[added[1]] += 1
        read = sum(1 for line in lines if line)
        end = "\r\n" if self.dos else "\n"
        text = end.join([HEADER, *lines, ""])
        return WeeklyFile(
            week_ending,
            tier,
            f"finra_otc_weekly_{tier.lower()}_{published:%Y%m%d}.csv",
            text.encode("utf-8-sig" if self.dos else "utf-8"),
            read,
            dict(rejects),
        )

    def _lines(self, week: date, tier: str, edition: int, published: date) -> list[str]:
        """The good rows, in the order of symbol and venue as FINRA's files are."""
        per_symbol = max(1, round(self.rows / self.symbols))
        venues = _venues(max(2 * per_symbol, len(_FIRST_VENUES)))
        random = Random(f"{self.seed}/week/{tier}/{week}/{edition}")
        present = Random(f"{self.seed}/present/{tier}/{week}")
        world = pl.DataFrame({"symbol": [_symbol(n) for n in range(self.symbols)], "number": range(self.symbols)})
        symbols = world.with_columns(
            _numbers(Random(f"{self.seed}/size"), self.symbols).alias("size"),
            _numbers(present, self.symbols).alias("present"),
            _numbers(Random(f"{self.seed}/venues/{tier}"), self.symbols).alias("venues"),
        ).filter(pl.col("present") % 100 < _PRESENT)
        rows = (
            symbols.with_columns((pl.col("venues") % (2 * per_symbol - 1) + 1).alias("count"))
            .with_columns(pl.int_ranges(0, pl.col("count")).alias("place"))
            .explode("place", empty_as_null=False)
        )
        traded = rows.with_columns(
            _numbers(random, rows.height).alias("one"), _numbers(random, rows.height).alias("other")
        )
        # Most volumes are small, some are large: the product of three uniform numbers.
        part = pl.col("one").cast(pl.Float64) * pl.col("other") * pl.col("size") / float(_UNIFORM) ** 3
        shares = (part * 50_000_000).cast(pl.Int64) + 1
        venue = (pl.col("venues") + pl.col("place")) % len(venues)
        names = pl.Series(venues, dtype=pl.String)
        return (
            traded.with_columns(shares.alias("shares"), venue.alias("venue"))
            .with_columns(
                pl.col("venue").replace_strict(list(range(len(venues))), names, return_dtype=pl.String).alias("mpid"),
                (pl.col("number") % len(_KINDS))
                .replace_strict(list(range(len(_KINDS))), list(_KINDS), return_dtype=pl.String)
                .alias("kind"),
                (pl.col("shares") // (100 + pl.col("other") % 400) + 1).alias("trades"),
            )
            .sort("symbol", "mpid")
            .select(
                pl.format(
                    "{}|{}|Synthetic {} {}|{} MARKET MAKER|{}|{}|{}|{}",
                    pl.lit(tier),
                    "symbol",
                    "symbol",
                    "kind",
                    "mpid",
                    "mpid",
                    "shares",
                    "trades",
                    pl.lit(published.isoformat()),
                ).alias("line")
            )["line"]
            .to_list()
        )


def _numbers(random: Random, count: int) -> pl.Series:
    """Uniform whole numbers of 32 bits."""
    drawn = array("I", random.randbytes(4 * count))
    return pl.Series(drawn.tolist(), dtype=pl.Int64)


def _symbol(number: int) -> str:
    """Four letters and more, each number its own."""
    letters = ""
    while number or len(letters) < 4:
        number, place = divmod(number, len(_LETTERS))
        letters = _LETTERS[place] + letters
    return letters


def _venues(count: int) -> list[str]:
    return [*_FIRST_VENUES, *(f"V{number:03}" for number in range(len(_FIRST_VENUES), count))][:count]


def _fault(number: int, line: str, tier: str, published: date) -> tuple[str, str | None]:
    """A line to add beside a good one, and why it is rejected, if it is; each added line is another row's."""
    symbol, day, stale = f"ZZ{_symbol(number)}", published.isoformat(), (published - timedelta(weeks=1)).isoformat()
    added: tuple[tuple[str, str | None], ...] = (
        (f"{tier}|{symbol}|n|v|NITE|1,000|5|{day}", "PARSE_ERROR"),
        (f"{tier}|{symbol}|n|v|NITE|1000|5|{published:%m/%d/%Y}", "PARSE_ERROR"),
        (f"Total rows: {number}", "PARSE_ERROR"),
        (f"EXCHANGE|{symbol}|n|v|NITE|1000|5|{day}", "INVALID_TIER"),
        (f"{tier}|$$|n|v|NITE|1000|5|{day}", "INVALID_SYMBOL"),
        (f"{tier}|{symbol}|n|v|{'M' * 21}|1000|5|{day}", "INVALID_MPID"),
        (f"{tier}|{symbol}|n|v|NITE|-1000|5|{day}", "NEGATIVE_VOLUME"),
        (f"{tier}|{symbol}|n|v|NITE|1000|-5|{day}", "NEGATIVE_TRADES"),
        (f"{tier}|{symbol}|n|v|NITE|0||{day}", "ZERO_VOLUME"),
        (line, "DUPLICATE_KEY"),
        (f"{tier}|{symbol}|n|v|NITE|1000|5|{stale}", None),
        (f" {tier} | {symbol.lower()} ||| nite | +1000 |5| {day}T08:00:00|surplus", None),
        ("", None),
    )
    return added[number % len(added)]

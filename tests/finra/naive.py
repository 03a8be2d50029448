"""FINRA's stages once more, as plainly as the spec says them: slow, naive, nothing shared with the processors.

Rows are dicts; quotients are Python's own division of whole numbers, which rounds once.
"""

import hashlib
import re
from datetime import date, timedelta
from typing import Any

Row = dict[str, Any]

NAMES = {
    "tier_description": ["tierDescription", "Tier"],
    "symbol": ["issueSymbolIdentifier", "Symbol"],
    "issue_name": ["issueName"],
    "venue_name": ["marketParticipantName"],
    "mpid": ["MPID", "mpid"],
    "shares": ["totalWeeklyShareQuantity", "TotalShares"],
    "trades": ["totalWeeklyTradeCount", "TotalTrades"],
    "updated": ["lastUpdateDate"],
    "week": ["weekEnding", "WeekEnding"],
}


def read_date(text: str) -> date | None:
    text = text.strip()
    if re.match("[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        text = text[:10].replace("-", "")
    if not re.fullmatch("[0-9]{8}", text):
        return None
    try:
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return None


def friday_before(day: date) -> date:
    day -= timedelta(days=1)
    while day.weekday() != 4:
        day -= timedelta(days=1)
    return day


def read_count(text: str) -> int | None:
    text = text.strip()
    if text == "":
        return 0
    if not re.fullmatch("[+-]?[0-9]+", text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


def ingest(content: str) -> tuple[list[Row], list[Row]]:
    """Raw rows, and lines that can't be read."""
    lines = content.removeprefix("\ufeff").split("\n")
    numbered = [(n, line.removesuffix("\r")) for n, line in enumerate(lines, 1)]
    numbered = [(n, line) for n, line in numbered if line.strip() != ""]
    header = [name.strip() for name in numbered[0][1].split("|")]
    good: list[Row] = []
    bad: list[Row] = []
    for number, line in numbered[1:]:
        fields = line.split("|")

        def field(name: str, fields: list[str] = fields) -> str:
            for accepted in NAMES[name]:
                if accepted in header:
                    place = header.index(accepted)
                    return fields[place] if place < len(fields) else ""
            return ""

        updated = read_date(field("updated"))
        derived = friday_before(updated) if updated else None
        week = read_date(field("week")) if field("week").strip() else derived
        shares, trades = read_count(field("shares")), read_count(field("trades"))
        symbol, mpid = field("symbol").strip().upper(), field("mpid").strip().upper()
        if week is None or shares is None or trades is None or "\0" in line:
            bad.append({"line_number": number, "text": line})
            continue
        hashed = f"{week.isoformat()}|{field('tier_description')}|{symbol}|{mpid}|{shares}|{trades}"
        good.append(
            {
                "line_number": number,
                "symbol": symbol,
                "mpid": mpid,
                "issue_name": field("issue_name").strip() or None,
                "venue_name": field("venue_name").strip() or None,
                "tier_description": field("tier_description"),
                "total_shares": shares,
                "total_trades": trades,
                "source_last_update_date": updated.isoformat() if updated else None,
                "record_hash": hashlib.sha256(hashed.encode()).hexdigest()[:32],
            }
        )
    return good, bad


def known_tier(text: str) -> bool:
    text = text.strip().lower()
    if text in ("", "exchange"):
        return False
    if text in ("otc_blocks", "atsb", "ats"):
        return True
    return ("tier" in text and ("1" in text or "2" in text)) or "otc" in text


def codes_of(raw: Row, reject_zero_volume: bool = True) -> list[str]:
    symbol = re.sub(r"[^A-Z0-9.\-/]", "", raw["symbol"].upper())
    codes = []
    if not known_tier(raw["tier_description"]):
        codes.append("INVALID_TIER")
    if not 1 <= len(symbol) <= 20:
        codes.append("INVALID_SYMBOL")
    if not 1 <= len(raw["mpid"]) <= 20:
        codes.append("INVALID_MPID")
    if raw["total_shares"] < 0:
        codes.append("NEGATIVE_VOLUME")
    if raw["total_trades"] < 0:
        codes.append("NEGATIVE_TRADES")
    if raw["total_shares"] == 0 == raw["total_trades"] and reject_zero_volume:
        codes.append("ZERO_VOLUME")
    return codes


def normalize(raw_rows: list[Row], reject_zero_volume: bool = True) -> tuple[list[Row], list[Row]]:
    """Normalised rows by (symbol, mpid), and the rejected by line."""
    kept: dict[tuple[str, str], Row] = {}
    rejected: list[Row] = []
    for raw in raw_rows:
        codes = codes_of(raw, reject_zero_volume)
        if codes:
            rejected.append({"line_number": raw["line_number"], "reason_code": codes[0], "detail": ";".join(codes)})
            continue
        key = (re.sub(r"[^A-Z0-9.\-/]", "", raw["symbol"].upper()), raw["mpid"])
        dropped = raw
        if key not in kept:
            kept[key] = raw
            continue
        if raw["total_shares"] > kept[key]["total_shares"]:
            dropped, kept[key] = kept[key], raw
        rejected.append({"line_number": dropped["line_number"], "reason_code": "DUPLICATE_KEY", "detail": None})
    rows = [
        {
            "symbol": symbol,
            "mpid": mpid,
            "venue_name": raw["venue_name"],
            "total_shares": raw["total_shares"],
            "total_trades": raw["total_trades"],
            "avg_trade_size": divided(raw["total_shares"], raw["total_trades"], None),
            "source_last_update_date": raw["source_last_update_date"],
            "record_hash": raw["record_hash"],
        }
        for (symbol, mpid), raw in sorted(kept.items())
    ]
    return rows, sorted(rejected, key=lambda row: int(row["line_number"]))


def divided(above: int, below: int, when_zero: float | None) -> float | None:
    return when_zero if below == 0 else above / below


def groups(rows: list[Row], name: str) -> list[tuple[str, list[Row]]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row[name], []).append(row)
    return sorted(found.items())


def summary(rows: list[Row]) -> list[Row]:
    found = []
    for symbol, own in groups(rows, "symbol"):
        volume, trades = sum(row["total_shares"] for row in own), sum(row["total_trades"] for row in own)
        dates = [row["source_last_update_date"] for row in own if row["source_last_update_date"]]
        found.append(
            {
                "symbol": symbol,
                "total_volume": volume,
                "total_trades": trades,
                "venue_count": len({row["mpid"] for row in own}),
                "avg_trade_size": divided(volume, trades, None),
                "source_last_update_date": max(dates, default=None),
            }
        )
    return found


def venue_share(rows: list[Row], version: str) -> list[Row]:
    found = []
    for mpid, own in groups(rows, "mpid"):
        volume, trades = sum(row["total_shares"] for row in own), sum(row["total_trades"] for row in own)
        weight = volume if version == "v1" else 7 * volume + 3 * trades
        found.append(
            {
                "mpid": mpid,
                "total_volume": volume,
                "total_trades": trades,
                "symbol_count": len({row["symbol"] for row in own}),
                "weight": weight,
            }
        )
    total = sum(row["weight"] for row in found)
    for row in found:
        row["market_share_pct"] = divided(row.pop("weight"), total, 0.0)
    ranked_by = "total_volume" if version == "v1" else "market_share_pct"
    for rank, row in enumerate(sorted(found, key=lambda row: (-row[ranked_by], row["mpid"])), 1):
        row["rank"] = rank
    return found


def symbol_venue_share(rows: list[Row]) -> list[Row]:
    found = []
    for _, own in groups(rows, "symbol"):
        total = sum(row["total_shares"] for row in own)
        found += [
            {
                "symbol": row["symbol"],
                "mpid": row["mpid"],
                "venue_name": row["venue_name"],
                "venue_volume": row["total_shares"],
                "total_symbol_volume": total,
                "venue_share": divided(row["total_shares"], total, 0.0),
            }
            for row in own
        ]
    return found


def hhi(rows: list[Row]) -> list[Row]:
    found = []
    for symbol, own in groups(rows, "symbol"):
        total = sum(row["total_shares"] for row in own)
        found.append(
            {
                "symbol": symbol,
                "hhi": divided(sum(row["total_shares"] ** 2 for row in own), total**2, 0.0),
                "venue_count": len(own),
                "total_symbol_volume": total,
            }
        )
    return found


def tier_split(volumes: list[tuple[str, str, int]]) -> list[Row]:
    found = []
    for tier, symbol, volume in sorted(volumes):
        total = sum(v for _, s, v in volumes if s == symbol)
        found.append(
            {
                "tier": tier,
                "symbol": symbol,
                "tier_volume": volume,
                "total_symbol_volume_all_tiers": total,
                "tier_volume_share": divided(volume, total, 0.0),
            }
        )
    return found


def rolling(weeks: list[date], rows: list[tuple[str, date, int, int]]) -> list[Row]:
    found = []
    for symbol in sorted({row[0] for row in rows}):
        own = {week: (volume, trades) for name, week, volume, trades in rows if name == symbol}
        if any(week not in own for week in weeks):
            continue
        volumes, trades = [own[week][0] for week in weeks], [own[week][1] for week in weeks]
        first, last = volumes[0], volumes[-1]
        pct = 0.0 if first == 0 else ((last - first) / first) * 100
        found.append(
            {
                "symbol": symbol,
                "avg_volume": sum(volumes) / 6,
                "avg_trades": sum(trades) / 6,
                "min_volume": min(volumes),
                "max_volume": max(volumes),
                "trend_direction": "UP" if pct > 5 else "DOWN" if pct < -5 else "FLAT",
                "trend_pct": pct,
            }
        )
    return found

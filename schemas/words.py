"""How counts are said."""


def noun(number: int, one: str) -> str:
    """What `one` names a single one of, for so many: `rows`, `files and stages` of `file and stage`."""
    return one if number == 1 else f"{one.replace(' and ', 's and ')}s"


def counted(number: int, one: str) -> str:
    """So many of what `one` names a single one of: `1 row`, `2,000 rows`."""
    return f"{number:,} {noun(number, one)}"


def verb(number: int, one: str, many: str) -> str:
    """The verb behind so many: `is` or `are`."""
    return one if number == 1 else many

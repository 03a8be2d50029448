"""What pages of the documentation show, as it stands there."""

import re
from pathlib import Path


def fenced(page: Path, language: str, word: str) -> str:
    """The one block of a language on a page in which a word stands."""
    blocks = re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    (found,) = [block for block in blocks if word in block]
    return str(found)


def statements(page: Path, heading: str, word: str) -> list[str]:
    """The SQL statements that begin with a word, below the last heading that says so, without their semicolons."""
    return re.findall(rf"^ {{4}}({word} [^;]+);", page.read_text().split(heading)[-1], re.MULTILINE)

"""What `rederive compute` gives, line by line."""

from dataclasses import dataclass

TOO_DEEP = "nested too deeply to be read"
"""What is said of JSON whose reading leaves the stack."""


@dataclass(frozen=True, slots=True)
class Computed:
    """An output line without its newline, and what is to be said of an input line: `line` is its number, from 1.

    `error` says what was wrong there, `skip` what was left out and why; any of them may be None.
    """

    output: bytes | None = None
    line: int = 0
    error: str | None = None
    skip: str | None = None

"""How The Racing API is reached (racing spec, section 1), and what of it comes by itself: environment variables."""

import hashlib
from typing import Annotated, Any, cast

import httpx2
from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from producers.racing.schedule import Schedule
from schemas.errors import Failed, UsageError

PREFIX = "RACING_API_"
LIVE_PREFIX = "REDERIVE_RACING_LIVE_"
CREDENTIALS = f"{PREFIX}USERNAME and {PREFIX}PASSWORD"


class RacingSettings(BaseSettings):
    """Credentials, address, timeout in seconds for each step of a call, retries after the first try.

    Failed when a credential is missing (critical, section 8), UsageError when a value can't be used. No message holds
    a value.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    username: SecretStr
    password: SecretStr
    base_url: str = "https://api.theracingapi.com/v1"
    timeout: float = Field(default=30.0, gt=0, le=3600)
    max_retries: int = Field(default=5, ge=0, le=20)

    def __init__(self, **values: object) -> None:
        try:
            super().__init__(**cast("dict[str, Any]", values))
        except ValidationError as error:
            raise _message(error) from None

    @field_validator("base_url", mode="after")
    @classmethod
    def _web_address(cls, url: str) -> str:
        wanted = "an address is wanted: https://HOST/PATH"
        try:
            parts = httpx2.URL(url)
        except httpx2.InvalidURL:
            # Its message may quote a part of a password.
            raise ValueError(wanted) from None
        if parts.scheme not in ("http", "https") or not parts.host or parts.query or parts.fragment:
            raise ValueError(wanted)
        if not 0 < (parts.port or 80) < 65_536:
            raise ValueError("a port is a number up to 65535")
        if parts.userinfo:
            raise ValueError(f"the credentials belong into {CREDENTIALS}")
        return url.rstrip("/")

    def limit_name(self) -> str:
        """What the rate limit of this account is called: the API's address, and the user as a hash."""
        user = hashlib.sha256(self.username.get_secret_value().encode()).hexdigest()
        return f"{self.base_url} {user[:16]}"


class LiveSettings(BaseSettings):
    """What comes by itself, and when. UsageError when a value can't be used.

    Lines of cron, in UTC: for the cards of today and tomorrow; for today's results, while races are due or unfinished;
    for days before that aren't settled; for results of the last `amended_days`, which may be amended. With `horses`
    the details of the horses on the cards, too.
    """

    model_config = SettingsConfigDict(
        env_prefix=LIVE_PREFIX, env_ignore_empty=True, extra="ignore", frozen=True, arbitrary_types_allowed=True
    )

    regions: Annotated[tuple[str, ...], NoDecode] = ("gb", "ire")
    cards: Schedule = Schedule("30 5,9,12,17,21 * * *")
    results: Schedule = Schedule("*/5 * * * *")
    missed: Schedule = Schedule("15 * * * *")
    amended: Schedule = Schedule("45 6 * * *")
    amended_days: int = Field(default=7, ge=0, le=365)
    horses: bool = False

    def __init__(self, **values: object) -> None:
        try:
            super().__init__(**cast("dict[str, Any]", values))
        except ValidationError as error:
            raise _message(error, LIVE_PREFIX) from None

    @field_validator("cards", "results", "missed", "amended", mode="before")
    @classmethod
    def _schedule(cls, line: object) -> object:
        return Schedule(line) if isinstance(line, str) else line

    @field_validator("regions", mode="before")
    @classmethod
    def _codes(cls, words: object) -> object:
        if not isinstance(words, str):
            return words
        codes = tuple(sorted({code.lower() for code in words.replace(",", " ").split()}))
        if not codes:
            raise ValueError("it names no region")
        return codes


def _message(error: ValidationError, prefix: str = PREFIX) -> Failed | UsageError:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    names = [f"{prefix}{problem['loc'][0]}".upper() for problem in problems]
    missing = [name for name, problem in zip(names, problems, strict=True) if problem["type"] == "missing"]
    if missing:
        return Failed(
            "the credentials of The Racing API are missing",
            why=f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set",
            mend=f"set {CREDENTIALS} in the environment",
        )
    return UsageError(
        "the settings of The Racing API can't be used",
        why="; ".join(
            f"{name}: {problem['msg'].removeprefix('Value error, ')}"
            for name, problem in zip(names, problems, strict=True)
        ),
        mend="correct the variables",
    )

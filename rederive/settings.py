"""Settings: environment variables that begin with REDERIVE_, then rederive.toml where one stands, then defaults."""

import os
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, cast

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from schemas.errors import UsageError
from schemas.wire import MAX_RECORD_BYTES

PREFIX = "REDERIVE_"
TOML_FILE = "rederive.toml"

_WORKERS_A_CORE, _FEW_WORKERS, _MOST_WORKERS = 4, 8, 64
_CORES_A_SINK = 3
_LEGAL_PREFIX = re.compile(r"[A-Za-z0-9._-]{0,100}")
_DRIVER = re.compile(r"^postgres(?:ql)?(?:\+\w+)?://")


@dataclass(frozen=True, slots=True)
class Endpoints:
    """A Kafka bootstrap list and a Postgres URL; the URL carries a password, so it is kept out of `repr`."""

    kafka_bootstrap: str
    database_url: str = field(repr=False)


def too_many_workers(workers: int) -> str:
    """Why a run can't have so many agents; empty when it can."""
    cores = len(os.sched_getaffinity(0))
    most = min(max(_WORKERS_A_CORE * cores, _FEW_WORKERS), _MOST_WORKERS)
    if workers <= most:
        return ""
    return (
        f"at most {most}, for {cores} cores: an agent fills a core and takes 150 MB, "
        "and the broker keeps files for a partition each, for good"
    )


def usual_sinks() -> int:
    """How many sinks a run starts unless it is said: about as many as keep up with agents on the other cores."""
    return max(1, len(os.sched_getaffinity(0)) // _CORES_A_SINK)


class Settings(BaseSettings):
    """What a deployment decides. Raises UsageError when a value can't be used."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="forbid", frozen=True)

    home: Path = Path(".rederive")
    kafka_bootstrap: str | None = None
    kafka_security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    kafka_sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = None
    kafka_sasl_username: str | None = None
    kafka_sasl_password: SecretStr | None = None
    kafka_ssl_ca_location: Path | None = None
    database_url: SecretStr | None = None
    topic_prefix: str = ""
    workers: int = Field(default=2, ge=1)
    sinks: int = Field(default_factory=usual_sinks, ge=1)
    dlq_attempts: int = Field(default=5, ge=1, le=1_000_000)
    batch_rows: int = Field(default=5000, ge=1, le=1_000_000)
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    dashboard_host: str = "127.0.0.1"
    dashboard_port: int = Field(default=8787, ge=0, le=65_535)
    dashboard_names: str = ""
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=0, le=65_535)
    notify: SecretStr | None = None
    notify_dead_letters: int = Field(default=0, ge=0)
    maven_repository: str | None = None

    def __init__(self, **values: object) -> None:
        try:
            super().__init__(**cast("dict[str, Any]", values))
        except ValidationError as error:
            raise _usage_error(error) from None

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """What wins: arguments, then the environment, then the file."""
        return init_settings, env_settings, InitSettingsSource(settings_cls, _file())

    @field_validator("home", mode="after")
    @classmethod
    def _absolute_home(cls, home: Path) -> Path:
        # services and workers may run in other folders
        return home.expanduser().absolute()

    @field_validator("workers", mode="after")
    @classmethod
    def _bounded_workers(cls, workers: int) -> int:
        if why := too_many_workers(workers):
            raise ValueError(why)
        return workers

    @field_validator("log_level", "kafka_security_protocol", "kafka_sasl_mechanism", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("topic_prefix", mode="after")
    @classmethod
    def _legal_topic_prefix(cls, prefix: str) -> str:
        if not _LEGAL_PREFIX.fullmatch(prefix):
            raise ValueError("only letters, digits, '.', '_' and '-' may stand in a topic's name, at most 100 of them")
        return prefix

    @field_validator("notify", mode="before")
    @classmethod
    def _one_text(cls, addresses: object) -> object:
        if not isinstance(addresses, list):
            return addresses
        return " ".join(map(str, addresses))

    @field_validator("notify", mode="after")
    @classmethod
    def _addresses(cls, addresses: SecretStr | None) -> SecretStr | None:
        if addresses is not None and not all("://" in one for one in addresses.get_secret_value().split()):
            raise ValueError("addresses such as mailto://… or slack://… are wanted, with blanks between them")
        return addresses

    @field_validator("database_url", mode="after")
    @classmethod
    def _postgres_url(cls, url: SecretStr | None) -> SecretStr | None:
        if url is None:
            return None
        text, found = _DRIVER.subn("postgresql://", url.get_secret_value())
        if not found:
            raise ValueError("a Postgres URL is wanted: postgresql://USER:PASSWORD@HOST:PORT/DATABASE")
        return SecretStr(text)

    @model_validator(mode="after")
    def _complete_sasl(self) -> Self:
        if self.kafka_security_protocol.startswith("SASL") and not (
            self.kafka_sasl_mechanism and self.kafka_sasl_username and self.kafka_sasl_password
        ):
            raise ValueError(
                f"{self.kafka_security_protocol} needs kafka_sasl_mechanism, "
                "kafka_sasl_username and kafka_sasl_password"
            )
        return self

    def at(self, endpoints: Endpoints) -> Self:
        """The same settings with both services named."""
        return self.model_copy(
            update={
                "kafka_bootstrap": endpoints.kafka_bootstrap,
                "database_url": SecretStr(endpoints.database_url),
            }
        )

    def kafka_config(self) -> dict[str, str]:
        """How a librdkafka client connects.

        Raises UsageError when no Kafka is named: `at(resolve(settings))` names one.
        """
        if not self.kafka_bootstrap:
            raise UsageError("no Kafka is named", mend=f"set {PREFIX}KAFKA_BOOTSTRAP or start the embedded one")
        config = {
            "bootstrap.servers": self.kafka_bootstrap,
            "security.protocol": self.kafka_security_protocol,
            "message.max.bytes": str(MAX_RECORD_BYTES),
            # What matters comes back as an error; the library's own lines on stderr would only be noise beside it.
            "log_level": "2",
        }
        if self.kafka_security_protocol.startswith("SASL"):
            config["sasl.mechanism"] = self.kafka_sasl_mechanism or ""
            config["sasl.username"] = self.kafka_sasl_username or ""
            config["sasl.password"] = self.kafka_sasl_password.get_secret_value() if self.kafka_sasl_password else ""
        if self.kafka_ssl_ca_location:
            config["ssl.ca.location"] = str(self.kafka_ssl_ca_location)
        return config

    def environment(self) -> dict[str, str]:
        """These settings as variables, secrets included: what a child process needs to have the same."""
        found = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if value is not None:
                text = value.get_secret_value() if isinstance(value, SecretStr) else str(value)
                found[f"{PREFIX}{name}".upper()] = text
        return found

    def source(self, name: str) -> str:
        """Where a setting's value came from: an environment variable, the file, or the default."""
        variable = f"{PREFIX}{name}".upper()
        if os.environ.get(variable):
            return variable
        return TOML_FILE if name in self.model_fields_set else "default"


def _file() -> dict[str, Any]:
    """What rederive.toml says; nothing where there is none. UsageError when there is one that can't be read."""
    path = Path(TOML_FILE)
    mend = f"write valid TOML: {_toml_example()}"
    try:
        if path.exists() and not path.is_file():
            why, mend = f"it is {'a folder' if path.is_dir() else 'no file'}", "put it elsewhere"
        else:
            # An editor's byte order mark is no part of the text.
            return tomllib.loads(path.read_bytes().decode("utf-8-sig"))
    except FileNotFoundError:
        if not path.is_symlink():
            return {}
        why, mend = f"it is a link to {path.readlink()}, which isn't there", "mend the link, or remove it"
    except OSError as error:
        why, mend = str(error.strerror), "let this user read it, or put it elsewhere"
    except UnicodeDecodeError as error:
        why, mend = f"byte {error.start + 1:,} is no UTF-8 text", f"save it as UTF-8; {mend}"
    except tomllib.TOMLDecodeError as error:
        why = str(error)
    except RecursionError:
        why = "it is nested too deeply"
    raise UsageError(f"{TOML_FILE} can't be read", why=why, mend=mend)


def _usage_error(error: ValidationError) -> UsageError:
    problems = []
    for problem in error.errors(include_url=False, include_input=False, include_context=False):
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            problems.append(f"{name}: there is no such setting")
        else:
            problems.append(
                f"{_spelled(name)}: {problem['msg'].removeprefix('Value error, ')}" if name else problem["msg"]
            )
    return UsageError(
        "the settings can't be used", why="; ".join(problems), mend=f"mend the variable, or the line in {TOML_FILE}"
    )


def _spelled(name: str) -> str:
    variable = f"{PREFIX}{name}".upper()
    return variable if os.environ.get(variable) else name


def _toml_example() -> str:
    return 'workers = 2, kafka_bootstrap = "127.0.0.1:9092"'

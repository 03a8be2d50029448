"""`rederive config`: settings, and where they are from."""

import re
from typing import TYPE_CHECKING, Annotated, Any

import cyclopts
from cyclopts import Parameter

from rederive.cli.program import Json

if TYPE_CHECKING:
    from pydantic_settings import BaseSettings

config = cyclopts.App(name="config", help="Settings: each with its value, and where that comes from.")

_MASK = "***"
_CREDENTIALS = re.compile(r"//[^/]*@")


@config.command
def show(
    *,
    sources: Annotated[
        bool, Parameter(negative="", help="Also where each comes from: a variable, rederive.toml, or the default.")
    ] = False,
    json: Json = False,
) -> None:
    """Show every setting with its value, those of domains too; of secrets only whether they are set."""
    from rederive.cli.output import print_json, print_table

    found = list(_settings())
    if json:
        print_json({"settings": found if sources else [{"setting": s["setting"], "value": s["value"]} for s in found]})
        return
    headings = ["setting", "value", *(["from"] if sources else [])]
    rows = [[one["setting"], one["value"], *([one["from"]] if sources else [])] for one in found]
    print_table("Settings", headings, rows, left=(0, 1, 2))


def _settings() -> "list[dict[str, Any]]":
    from rederive import domains
    from rederive.settings import PREFIX, Settings
    from schemas.domain import load

    own = Settings()
    found = [
        {"setting": f"{PREFIX}{name}".upper(), "value": _value(getattr(own, name)), "from": own.source(name)}
        for name in Settings.model_fields
    ]
    for domain in domains.usable():
        for part in domain.settings:
            found += _of_domain(load(part))
    return found


def _of_domain(kind: "type[BaseSettings]") -> "list[dict[str, Any]]":
    """The settings of a domain by its variables: what is missing has no value."""
    import os

    from schemas.errors import Failed

    prefix = kind.model_config.get("env_prefix", "")
    try:
        made = kind()
    except Failed:
        made = None
    found = []
    for name, field in kind.model_fields.items():
        variable = f"{prefix}{name}".upper()
        said = bool(os.environ.get(variable))
        value = getattr(made, name) if made is not None else os.environ.get(variable) or field.get_default()
        secret = "Secret" in str(field.annotation)
        shown = _MASK if secret and said else "" if field.is_required() and not said else _value(value)
        found.append({"setting": variable, "value": shown, "from": variable if said else "default"})
        if field.is_required() and not said:
            found[-1]["from"] = "not set"
    return found


def _value(value: object) -> str:
    """A value as a person reads it, a secret masked; of an address that holds one only the password."""
    from pydantic import SecretStr

    from rederive.database import place
    from schemas.errors import Failed

    if value is None:
        return ""
    if not isinstance(value, SecretStr):
        text = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        return _CREDENTIALS.sub(f"//{_MASK}@", text)
    text = value.get_secret_value()
    if not text.startswith("postgresql://"):
        return _MASK
    try:
        user, at, address = place(text).rpartition("@")
    except Failed:
        return _MASK
    return f"postgresql://{user}:{_MASK}@{address}" if at else f"postgresql://{address}"

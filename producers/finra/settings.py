"""Where FINRA's weekly files are dropped for live, and when one counts as complete: `FINRA_` variables."""

from pathlib import Path
from typing import Any, cast

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.errors import Failed, UsageError

PREFIX = "FINRA_"
FOLDER = f"{PREFIX}FOLDER"
_NAME_IT = f"set {FOLDER} in the environment to the folder that weekly files are dropped into"


class FinraSettings(BaseSettings):
    """The folder, and for how many seconds a file must not have changed before it is read.

    Failed when the folder isn't named, or is none; UsageError when a value can't be used.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, extra="ignore", frozen=True)

    folder: Path
    settle_seconds: float = Field(default=2.0, ge=0, le=3600)

    def __init__(self, **values: object) -> None:
        try:
            super().__init__(**cast("dict[str, Any]", values))
        except ValidationError as error:
            raise _message(error) from None

    def existing(self) -> Path:
        """The folder, absolute; Failed when there is none."""
        path = self.folder.expanduser().absolute()
        try:
            if path.is_dir():
                return path
            why = "it is no folder" if path.exists() else "there is nothing of that name"
        except OSError as error:
            why = error.strerror or str(error)
        raise Failed(
            f"the folder of FINRA's weekly files can't be watched: {path}", why=why, mend=f"make it, or {_NAME_IT}"
        )


def _message(error: ValidationError) -> Failed | UsageError:
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    if any(problem["type"] == "missing" for problem in problems):
        return Failed("FINRA's live has no folder to watch", why=f"{FOLDER} is not set", mend=_NAME_IT)
    said = "; ".join(f"{PREFIX}{str(problem['loc'][0]).upper()}: {problem['msg']}" for problem in problems)
    return UsageError("the settings of FINRA's live can't be used", why=said, mend="correct the variables")

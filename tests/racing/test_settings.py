import pytest

from producers.racing.settings import RacingSettings
from schemas.errors import Failed, UsageError

USERNAME, PASSWORD = "RACING_API_USERNAME", "RACING_API_PASSWORD"


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("USERNAME", "PASSWORD", "BASE_URL", "TIMEOUT", "MAX_RETRIES"):
        monkeypatch.delenv(f"RACING_API_{name}", raising=False)
    monkeypatch.setenv(USERNAME, "alice")
    monkeypatch.setenv(PASSWORD, "wonderland")


def test_credentials_are_enough() -> None:
    settings = RacingSettings()
    assert settings.base_url == "https://api.theracingapi.com/v1"
    assert (settings.timeout, settings.max_retries) == (30, 5)
    assert settings.password.get_secret_value() == "wonderland"


def test_everything_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RACING_API_BASE_URL", "http://127.0.0.1:8099/v1/")
    monkeypatch.setenv("RACING_API_TIMEOUT", "2.5")
    monkeypatch.setenv("RACING_API_MAX_RETRIES", "0")
    settings = RacingSettings()
    assert (settings.base_url, settings.timeout, settings.max_retries) == ("http://127.0.0.1:8099/v1", 2.5, 0)


@pytest.mark.parametrize("missing", [{USERNAME}, {PASSWORD}, {USERNAME, PASSWORD}])
@pytest.mark.parametrize("blank", [False, True])
def test_a_missing_credential_names_both(monkeypatch: pytest.MonkeyPatch, missing: set[str], blank: bool) -> None:
    for name in missing:
        if blank:
            monkeypatch.setenv(name, "")
        else:
            monkeypatch.delenv(name)
    with pytest.raises(Failed) as caught:
        RacingSettings()
    assert caught.value.exit_code == 1
    assert all(name in caught.value.why for name in missing)
    assert USERNAME in caught.value.mend
    assert PASSWORD in caught.value.mend
    assert "alice" not in str(caught.value)
    assert "wonderland" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TIMEOUT", "soon"),
        ("TIMEOUT", "0"),
        ("TIMEOUT", "nan"),
        ("TIMEOUT", "inf"),
        ("MAX_RETRIES", "-1"),
        ("MAX_RETRIES", "2.5"),
        ("BASE_URL", "api.theracingapi.com"),
        ("BASE_URL", "ftp://host/v1"),
        ("BASE_URL", "http://host:99999/v1"),
        ("BASE_URL", "https://host/v1?key=looking"),
        ("BASE_URL", "https://alice:looking@host/v1"),
        ("BASE_URL", "https://alice:look/ing@host/v1"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"RACING_API_{name}", value)
    with pytest.raises(UsageError) as caught:
        RacingSettings()
    assert f"RACING_API_{name}" in str(caught.value)
    assert "look" not in str(caught.value)


def test_credentials_are_not_printed() -> None:
    settings = RacingSettings()
    for text in (repr(settings), str(settings), settings.model_dump_json(), settings.limit_name()):
        assert "wonderland" not in text
        assert "alice" not in text


def test_an_account_has_a_limit_of_its_own() -> None:
    names = {
        RacingSettings(username=user, base_url=url).limit_name()
        for user in ("a", "b")
        for url in ("http://x", "http://y")
    }
    assert len(names) == 4
    # A new password is no new account.
    assert RacingSettings(password="another").limit_name() == RacingSettings().limit_name()

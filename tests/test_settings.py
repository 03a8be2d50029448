import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from rederive.__main__ import run
from rederive.endpoints import resolve
from rederive.settings import Endpoints, Settings
from schemas.errors import UsageError


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"REDERIVE_{name}".upper(), raising=False)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_home_is_absolute_wherever_a_command_goes_on_to_run(bare: Path) -> None:
    assert Settings().home == bare / ".rederive"


def test_the_environment_wins_over_the_file(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "rederive.toml").write_text("workers = 3\nbatch_rows = 10\n")
    monkeypatch.setenv("REDERIVE_WORKERS", "4")
    settings = Settings()
    assert (settings.workers, settings.batch_rows) == (4, 10)
    assert [settings.source(name) for name in ("workers", "batch_rows", "home")] == [
        "REDERIVE_WORKERS",
        "rederive.toml",
        "default",
    ]


def test_an_empty_variable_is_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDERIVE_KAFKA_BOOTSTRAP", "")
    assert Settings().kafka_bootstrap is None


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("WORKERS", "none", "REDERIVE_WORKERS"),
        ("WORKERS", "0", "REDERIVE_WORKERS"),
        ("TOPIC_PREFIX", "a b", "REDERIVE_TOPIC_PREFIX"),
        ("DATABASE_URL", "mysql://u:hunter2@h/d", "postgresql://USER"),
        ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL", "kafka_sasl_mechanism"),
    ],
)
def test_a_bad_variable_is_named_and_its_value_kept_secret(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(f"REDERIVE_{name}", value)
    with pytest.raises(UsageError, match=said) as caught:
        Settings()
    assert "hunter2" not in str(caught.value)


def test_more_agents_than_the_machine_has_use_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(4)))
    assert Settings(workers=16).workers == 16
    with pytest.raises(UsageError, match="settings") as caught:
        Settings(workers=17)
    assert "at most 16, for 4 cores" in caught.value.why
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(1000)))
    with pytest.raises(UsageError):
        Settings(workers=65)

    # No command gets as far as services.
    monkeypatch.setenv("REDERIVE_KAFKA_BOOTSTRAP", "127.0.0.1:1")
    monkeypatch.setenv("REDERIVE_DATABASE_URL", "postgresql://nobody@127.0.0.1:1/nowhere")
    for words in (["replay", "betfair"], ["replay-topic", "racing"], ["captures", "resume", "x"]):
        assert run([*words, "--workers", "9999"]) == 2
        assert "at most 64" in capsys.readouterr().err


@pytest.mark.parametrize(("text", "said"), [("wrokers = 3", "wrokers"), ("workers = ", "rederive.toml")])
def test_a_bad_file_is_named(bare: Path, text: str, said: str) -> None:
    (bare / "rederive.toml").write_text(text)
    with pytest.raises(UsageError, match=said):
        Settings()


@pytest.mark.parametrize(
    ("made", "why"),
    [
        (b'topic_prefix = "\xe9"', "byte 17 is no UTF-8 text"),
        ("workers = 2".encode("utf-16"), "byte 1 is no UTF-8 text"),
        (b"x = " + b"[" * 5_000, "it is nested too deeply"),
        (Path.mkdir, "it is a folder"),
        (os.mkfifo, "it is no file"),
        (lambda path: path.symlink_to("nowhere"), "it is a link to nowhere, which isn't there"),
        (lambda path: path.symlink_to(path), "Too many levels of symbolic links"),
    ],
)
def test_a_file_that_cannot_be_read_is_a_message(
    bare: Path, capsys: pytest.CaptureFixture[str], made: bytes | Callable[[Path], object], why: str
) -> None:
    file = bare / "rederive.toml"
    if isinstance(made, bytes):
        file.write_bytes(made)
    else:
        made(file)
    assert run(["local", "status"]) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"rederive.toml can't be read\n  why: {why}\n  do:  ")
    file.rmdir() if file.is_dir() else file.unlink()


def test_a_file_of_another_user_is_a_message(bare: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (bare / "rederive.toml").write_text("workers = 3")

    def refuse(_: Path) -> bytes:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(UsageError) as caught:
        Settings()
    assert (caught.value.why, bool(caught.value.mend)) == ("Permission denied", True)


def test_a_byte_order_mark_is_no_part_of_the_file(bare: Path) -> None:
    (bare / "rederive.toml").write_bytes(b"\xef\xbb\xbfworkers = 3\r\nbatch_rows = 10\r\n")
    assert (Settings().workers, Settings().batch_rows) == (3, 10)


def test_a_secured_cluster_reaches_librdkafka() -> None:
    settings = Settings(
        kafka_bootstrap="kafka:9093",
        kafka_security_protocol="SASL_SSL",
        kafka_sasl_mechanism="SCRAM-SHA-512",
        kafka_sasl_username="u",
        kafka_sasl_password="hunter2",
        kafka_ssl_ca_location="/ca.pem",
    )
    config = settings.kafka_config()
    assert config["sasl.password"] == "hunter2"
    assert config["ssl.ca.location"] == "/ca.pem"
    assert config["message.max.bytes"] == "16777216"
    assert "hunter2" not in repr(settings)


def test_named_services_start_nothing(bare: Path) -> None:
    url = "postgresql+psycopg://u:p@h/d"
    found = resolve(Settings(kafka_bootstrap="kafka:9092", database_url=url))
    assert found == Endpoints("kafka:9092", "postgresql://u:p@h/d")
    assert not (bare / ".rederive").exists()


def test_no_kafka_is_a_message() -> None:
    with pytest.raises(UsageError, match="no Kafka"):
        Settings().kafka_config()

import logging
from pathlib import Path

import pytest

from rederive import logs


def test_a_librarys_warning_is_for_the_log_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    monkeypatch.setattr(logging.getLogger("rederive"), "level", logging.INFO)
    logs.to_stderr()
    handler = logs.also_to(tmp_path / "run.log")
    logging.getLogger("stamina").warning("stamina.retry_scheduled")
    logging.getLogger("aiokafka.consumer").error("Heartbeat failed: local member_id was not recognized")
    logging.getLogger("rederive.run").info("capture betfair-1: fill")
    logs.no_longer_to(handler)
    said, kept = capsys.readouterr().err, (tmp_path / "run.log").read_text()
    assert "retry_scheduled" not in said
    assert "Heartbeat failed" in said
    assert "[INFO] capture betfair-1: fill" in said
    assert [line.split("] ")[1] for line in kept.splitlines()] == [
        "stamina.retry_scheduled",
        "Heartbeat failed: local member_id was not recognized",
        "capture betfair-1: fill",
    ]

    logs.libraries_too()
    logging.getLogger("stamina").warning("stamina.retry_scheduled")
    assert "retry_scheduled" in capsys.readouterr().err

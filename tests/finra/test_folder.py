"""Which files of a folder are taken, and what is said of the others."""

import gzip
import os
import socket
from datetime import date
from pathlib import Path

import pytest

from producers.finra import notes
from producers.finra.folder import Checked, WeeklyFile, check, fresh, look, one_each, read, refused
from producers.finra.locators import FinraLocator
from samples.finra.files import HEADER
from schemas.errors import Failed, UsageError
from schemas.finra.file import content_hash
from schemas.plan import Plan
from schemas.wire import MAX_RECORD_BYTES

ROWS = f"{HEADER}\nOTC|AABB|n|v|NITE|100|5|2025-12-29\nOTC|FNMA|n|v|NITE|100|5|2025-12-29\n"
WEEK = date(2025, 12, 26)
PLANNED = {
    "domain": "finra",
    "source": "files",
    "mode": "insert",
    "derivation_version": 1,
    "columns": (),
    "request": {},
}


def found(source: Path, *tiers: str, file_date: date | None = None, first: date | None = None) -> list[tuple[str, str]]:
    return [(str(one.week), one.tier) for one in look(source, tiers, file_date, first, None).files]


def folder(tmp_path: Path, *names: str, content: str = ROWS) -> Path:
    for name in names:
        (tmp_path / name).write_text(content)
    return tmp_path


def test_names_say_weeks_and_tiers_and_the_order_is_that_of_weeks(tmp_path: Path) -> None:
    source = folder(
        tmp_path,
        "finra_otc_weekly_ats_20251229.csv",
        "finra_otc_weekly_otc_20251229.psv",
        "week_2025-12-19_otc.psv",
        "tier1_2025-12-22.csv",
    )
    assert found(source) == [
        ("2025-12-19", "OTC"),
        ("2025-12-19", "NMS_TIER_1"),
        ("2025-12-26", "OTC"),
        ("2025-12-26", "ATS"),
    ]
    assert found(source, "OTC", first=WEEK) == [("2025-12-26", "OTC")]
    assert len(look(source, ("OTC",), None, WEEK, None).outside) == 3


def test_a_name_without_tier_or_date_needs_the_option_or_the_first_row(tmp_path: Path) -> None:
    source = folder(tmp_path, "data.csv")
    (_, why), *_ = look(source, (), None, None, None).refused
    assert "says no tier; give one of OTC, OTC_BLOCKS" in why
    assert found(source, "ATS") == [("2025-12-26", "ATS")]
    assert found(source, "ATS", file_date=date(2025, 12, 22)) == [("2025-12-19", "ATS")]


def test_of_one_file_the_tier_given_counts(tmp_path: Path) -> None:
    (file,) = folder(tmp_path, "finra_otc_weekly_otc_20251229.csv").iterdir()
    assert found(file, "ATS") == [("2025-12-26", "ATS")]
    assert found(file) == [("2025-12-26", "OTC")]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("week_2025-12-25_otc.csv", ROWS.encode(), "a week ends on a Friday: the nearest is 2025-12-26"),
        ("week_9999-12-31_otc.csv", ROWS.encode(), "is at the calendar's end"),
        ("a_otc_20251229.csv", b"", "it is empty"),
        ("a_otc_20251229.csv", HEADER.encode(), "it has a header and no rows"),
        ("a_otc_20251229.csv", b"Symbol|MPID\nA|B\n", "its header lacks tierDescription"),
        ("a_otc_20251229.csv", b"\xff\xfe\x00", "it is no UTF-8 text"),
        ("a_otc_20251229.csv.gz", b"no gzip", "it can't be unpacked"),
        ("a_otc_20251229.csv.gz", gzip.compress(ROWS.encode())[:-12], "it can't be unpacked"),
        (
            "a_otc_20251229.csv.gz",
            gzip.compress(b"x" * (MAX_RECORD_BYTES + 1)),
            "it is over the limit of 16 MiB a file",
        ),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_its_reason_and_the_next_is_taken(
    tmp_path: Path, name: str, content: bytes, why: str
) -> None:
    (tmp_path / name).write_bytes(content)
    folder(tmp_path, "finra_otc_weekly_ats_20251229.csv")
    seen = look(tmp_path, (), None, None, None)
    (checked,) = check(seen)
    assert checked.file.path.name == "finra_otc_weekly_ats_20251229.csv"
    ((path, reason),) = seen.refused
    assert path.name == name
    assert why in reason


def test_files_of_another_kind_are_named(tmp_path: Path) -> None:
    source = folder(tmp_path, "README.md", ".hidden", "finra_otc_weekly_otc_20251229.csv")
    (source / "old").mkdir()
    assert look(source, (), None, None, None).unknown == ["README.md"]


def test_a_name_that_is_no_utf_8_is_said_and_the_other_files_are_taken(tmp_path: Path) -> None:
    source = folder(tmp_path, "finra_otc_weekly_ats_20251229.csv")
    for name in (b"finra_otc_weekly_otc_2025\xff0616.csv", b"notes\xff.txt"):
        (source / os.fsdecode(name)).write_text(ROWS)
    seen = look(source, (), None, None, None)
    assert [one.file.tier for one in check(seen)] == ["ATS"]
    said = list(notes.files(seen, []))
    units = [refused(*one) for one in seen.refused]
    plan = Plan[FinraLocator].model_validate({**PLANNED, "notes": said, "units": units})
    assert plan.sealed().digest
    assert any(note.startswith("can't be used: finra_otc_weekly_otc_2025\\udcff0616.csv: its name") for note in said)
    assert any(note.endswith("notes\\udcff.txt") for note in said)


def test_a_folder_without_files_and_one_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="holds no weekly file"):
        look(tmp_path, (), None, None, None)
    with pytest.raises(UsageError, match="can't be read"):
        look(tmp_path / "nowhere", (), None, None, None)


def test_packed_and_plain_content_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"\xef\xbb\xbf" + ROWS.replace("\n", "\r\n").encode())
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    plain, packed = read(tmp_path / "a.csv"), read(tmp_path / "a.csv.gz")
    assert plain == packed
    assert plain.rows == 2
    assert plain.sha256 == content_hash(plain.text)


def edition(tmp_path: Path, name: str, sha256: str, age: int = 0) -> Checked:
    path = tmp_path / name
    path.write_text(ROWS)
    os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))
    return Checked(WeeklyFile(path, WEEK, "OTC"), sha256, 1)


def test_what_only_has_the_name_of_a_file_is_refused_and_nothing_waits_for_it(tmp_path: Path) -> None:
    folder(tmp_path, "week_2025-12-26_otc.csv", "notes.txt")
    made = {
        "week_2025-12-19_otc.csv": "it is a link to what isn't there",
        "week_2025-12-12_otc.csv": "it is a named pipe, not a file",
        "week_2025-12-05_otc.csv": "it is a folder, not a file",
        "week_2025-11-28_otc.csv": "it is a socket, not a file",
        "week_2025-11-21_otc.csv": "it can't be read: Too many levels of symbolic links",
        "week_2025-11-14_otc.csv.gz": "it is a device, not a file",
        # Its week would be read from its first row.
        "otc.csv": "it is a named pipe, not a file",
    }
    dangling, pipe, inside, bound, loop, device, nameless = (tmp_path / name for name in made)
    dangling.symlink_to(tmp_path / "nowhere")
    os.mkfifo(pipe)
    os.mkfifo(nameless)
    inside.mkdir()
    loop.symlink_to(loop)
    device.symlink_to("/dev/zero")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(bound))
        seen = look(tmp_path, (), None, None, None)
        (taken,) = check(seen)
    assert taken.file.path.name == "week_2025-12-26_otc.csv"
    assert {path.name: why for path, why in seen.refused} == made
    assert seen.unknown == ["notes.txt"]
    with pytest.raises(UsageError, match="named pipe"):
        look(pipe, (), None, None, None)


def test_a_file_that_can_not_be_opened_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file,) = folder(tmp_path, "week_2025-12-26_otc.csv").iterdir()

    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    seen = look(tmp_path, (), None, None, None)
    assert check(seen) == []
    assert seen.refused == [(file, "it can't be read: Permission denied")]


@pytest.mark.parametrize(
    ("names", "newest"),
    [
        # By file date, whatever their age: the name's, else the first row's, which is 2025-12-29.
        (["otc_20251229.csv", "otc_20251230.csv"], "otc_20251230.csv"),
        (["otc_20251230.csv", "otc_20251229.csv"], "otc_20251230.csv"),
        (["week_2025-12-26_otc.psv", "otc_20251228.csv"], "week_2025-12-26_otc.psv"),
        (["week_2025-12-26_otc.psv", "otc_20251230.csv"], "otc_20251230.csv"),
        # Then the one modified last, which is here the first.
        (["otc_20251229.csv", "week_2025-12-26_otc.psv"], "otc_20251229.csv"),
        (["week_2025-12-26_otc.psv", "otc_20251229.csv"], "week_2025-12-26_otc.psv"),
    ],
)
def test_of_several_files_of_a_partition_the_newest_is_taken_when_asked_for(
    tmp_path: Path, names: list[str], newest: str
) -> None:
    files = [edition(tmp_path, name, name, age) for age, name in enumerate(names)]
    (taken,), ((left, instead),) = one_each(files, None, take_newest=True)
    assert taken.file.path.name == newest
    assert left in files
    assert instead == taken != left


def test_several_files_of_a_partition_are_refused_by_name(tmp_path: Path) -> None:
    files = [edition(tmp_path, name, name) for name in ("otc_20251229.csv", "week_2025-12-26_otc.psv")]
    with pytest.raises(UsageError, match=r"OTC 2025-12-26: otc_20251229.csv and week_2025-12-26_otc.psv") as error:
        one_each(files, None, take_newest=False)
    assert "--take-newest" in str(error.value.mend)


def test_files_of_the_same_content_are_one(tmp_path: Path) -> None:
    files = [edition(tmp_path, name, "a") for name in ("otc_20251229.csv", "week_2025-12-26_otc.psv")]
    assert one_each(files, None, take_newest=False) == (files[:1], [(files[1], files[0])])


def test_content_that_is_the_latest_is_not_new(tmp_path: Path) -> None:
    files = [edition(tmp_path, "otc_20251229.csv", "a")]
    assert fresh(files, {(WEEK, "OTC"): "a"}) == ([], files)
    assert fresh(files, {(WEEK, "OTC"): "b"}) == (files, []) == fresh(files, {})

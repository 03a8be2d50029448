"""The demo's commands, without services."""

from pathlib import Path

from rederive.demo import Demo


def test_a_path_with_a_space_stays_one_word(tmp_path: Path) -> None:
    typed: list[list[str]] = []

    def run_command(words: list[str]) -> int:
        typed.append(words)
        return 0

    demo = Demo(tmp_path / "with space", run_command)
    demo._type("apply", str(demo.home / "plan.json"), "--reason", "demo")
    assert typed == [["apply", str(demo.home / "plan.json"), "--reason", "demo"]]

"""The simulation of a deployment: no part carries more than it can, nothing is lost, what dies comes back."""

from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.scale_model import HUNDRED, first_to_give, growth, head, held_against, line
from bench.simulation.bounds import bounds
from bench.simulation.costs import MEASURED, Costs, Deployment
from bench.simulation.growth import grown
from bench.simulation.places import WRITE_BACK_SECONDS
from bench.simulation.play import World, play

_MICRO = 1e-6
COSTS = Costs(
    source="made up", producer=15 * _MICRO, agents=40 * _MICRO, sinks=15 * _MICRO, kafka=20 * _MICRO,
    reading=20 * _MICRO, merging=45 * _MICRO, upkeep=8 * _MICRO, raw=630, derived=650, wal=2_100, serving=600,
    history=700, baseline=120, snapshot=2_000, batch=0.005,
)  # fmt: skip
_DISKS = ("broker disk", "data disk", "wal disk")


def _rounds(of: Deployment, rounds: int) -> Deployment:
    """With so many units in each partition of each run."""
    return replace(of, rows=of.runs * of.partitions * of.unit_rows * rounds)


@st.composite
def deployments(draw: st.DrawFn, /, **fixed: Any) -> Deployment:
    """Small ones of any shape."""

    def some(least: int, most: int) -> int:
        return draw(st.integers(least, most))

    drawn = {
        "partitions": some(1, 24), "agents": some(1, 24), "sinks": some(1, 12), "runs": some(1, 4),
        "machines": some(2, 5), "cores": some(1, 8), "shared_cores": draw(st.sampled_from([0, 0, 2])),
        "postgres_cores": some(1, 16), "wal_disk": some(20, 400) * 1e6, "data_disk": some(50, 800) * 1e6,
        "one_disk": draw(st.booleans()), "fsync": draw(st.sampled_from([0.0, 0.001, 0.02])),
        "contention": draw(st.sampled_from([0.0, 0.05])), "brokers": some(1, 3), "replicas": some(1, 3),
        "seed": some(0, 99),
    }  # fmt: skip
    return _rounds(Deployment(**{**drawn, **fixed}), some(1, 4))


@settings(deadline=None, max_examples=150)
@given(deployments())
def test_no_part_carries_more_than_it_can(of: Deployment) -> None:
    played = play(of, COSTS)
    assert played.rows == of.rows
    for part, most in bounds(of, COSTS).items():
        later = WRITE_BACK_SECONDS if part in _DISKS else 0.0
        assert played.rows / most <= played.seconds + later + 1e-6, part
    assert all(0.0 <= share <= 1.0 + 1e-9 for share in played.used.values()), played.used


@settings(deadline=None, max_examples=100)
@given(deployments(cores=64, shared_cores=0, contention=0.0), st.integers(1, 12))
def test_more_agents_take_nothing_away(of: Deployment, more: int) -> None:
    """But for how units happen to fall into batches, of which there must be some."""
    of = _rounds(of, 8)
    assert play(replace(of, agents=of.agents + more), COSTS).rate >= 0.93 * play(of, COSTS).rate


@settings(deadline=None, max_examples=150)
@given(deployments(), st.none() | st.floats(0.0, 20.0))
def test_what_is_sent_is_applied_once_whoever_dies(of: Deployment, dies: float | None) -> None:
    # One that survives must be in each group.
    of = replace(of, machine_dies=dies, agents=max(2, of.agents), sinks=max(2, of.sinks))
    world = World(of, COSTS)
    played = world.play()
    applied: Counter[int] = Counter()
    for _, partition, rows in played.applied:
        applied[partition] += rows
    assert played.sent == played.rows == of.rows
    assert applied == dict.fromkeys(range(of.partitions), of.rows // of.partitions)
    assert not played.twice
    for sample in played.samples:
        # What a dead agent had sent may wait to be computed again, beside its outcome.
        assert sample.derived + sample.applied <= sum(rows for at, _, rows in played.computed if at <= sample.at)
        assert max(sample.raw, sample.applied) <= sample.sent


@settings(deadline=None, max_examples=15)
@given(st.integers(2, 10), st.floats(1.0, 3.0), st.integers(0, 99))
def test_a_dead_members_partitions_go_on_when_its_session_is_over(machines: int, dies: float, seed: int) -> None:
    of = replace(HUNDRED, partitions=20, agents=10, sinks=4, machines=machines, rows=1_200_000, seed=seed)
    of = replace(of, machine_dies=dies)
    world = World(of, COSTS)
    dead = [number for number in range(of.partitions) if world.agents.owner(number).machine == 0]
    assert dead
    played = world.play()
    for partition in dead:
        after = [at for at, of_partition, _ in played.computed if of_partition == partition and at > dies + 0.2]
        earliest = dies + of.session - of.heartbeat
        assert earliest <= min(after) <= dies + of.session + of.heartbeat + of.hand_over + 2.0
    assert played.rows == of.rows


def test_a_group_without_survivors_stands_still_and_the_play_ends() -> None:
    played = play(replace(HUNDRED, agents=1, sinks=1, rows=500_000, machine_dies=1.0), COSTS)
    assert played.rows < 500_000
    assert played.sent > played.rows


def test_one_seed_is_one_course_of_events() -> None:
    of = replace(HUNDRED, rows=400_000, live_rate=500.0, machine_dies=1.0)
    assert play(of, COSTS) == play(of, COSTS)


def test_bounds_are_what_can_be_reckoned_by_hand() -> None:
    of = Deployment(partitions=100, agents=40, sinks=100, runs=2, postgres_cores=10, wal_disk=210e6, data_disk=1e12)
    found = bounds(of, COSTS)
    assert found["runs"] == pytest.approx(2 / 35e-6, rel=1e-3)
    # 3 partitions an agent at most: as good as 33.3
    assert found["agents"] == pytest.approx(100 / 3 / 40e-6)
    assert found["postgres"] == pytest.approx(10 / 73e-6)
    assert found["wal disk"] == pytest.approx(100_000)
    assert first_to_give(of, COSTS) == "runs"
    assert first_to_give(replace(of, runs=20), COSTS) == "wal disk"


def test_a_replay_that_gives_way_leaves_live_its_time() -> None:
    beside = Deployment(
        partitions=4, agents=4, sinks=4, runs=4, machines=2, postgres_cores=1, rows=150_000, live_rate=50.0,
        live_limit_ms=100.0, live_seconds=12.0,
    )  # fmt: skip
    polite, rude = play(beside, COSTS), play(replace(beside, gives_way=False), COSTS)
    assert polite.live_ms(0.5) < rude.live_ms(0.5)
    assert polite.rows == rude.rows == beside.rows


def test_history_grows_by_captures_and_upkeep_by_rows() -> None:
    one, four = grown(COSTS, 1_000_000, 1, 1e8), grown(COSTS, 1_000_000, 4, 1e8)
    assert (one.history, four.history) == (700e6, 2_800e6)
    assert one.serving == four.serving
    assert grown(COSTS, 2_000_000, 1, 1e8).vacuum == pytest.approx(2 * one.vacuum)
    assert len(growth(COSTS, 1e8)) == 14


def test_what_was_measured_can_be_read_and_said() -> None:
    costs = Costs.read(MEASURED)
    assert costs.source.startswith("python -m bench.scale")
    small = replace(HUNDRED, rows=100_000)
    assert len(line("a", small, costs)) == len(head("a"))
    assert (
        held_against(costs, [{"agents": 1, "sinks": 1, "rows": 20_000, "rows_per_s": 5_000}])[1].split()[-2] == "5,000"
    )

"""Units that are delivered together: all of them, or an error that names one; librdkafka plays the broker."""

import pytest

from producers.sender import Sender
from schemas.errors import Away, Failed
from schemas.unit import Unit
from schemas.wire import RawHeaders

BROKER = {"test.mock.num.brokers": "1"}
# As the settings have it: a client that an error's frames still hold goes on to try, in silence.
GONE = {"bootstrap.servers": "127.0.0.1:1", "log_level": "0"}


def unit(number: int, partition: int | None = None) -> Unit:
    return Unit(RawHeaders("made", key_range=f"row {number}"), None, b"{}", partition)


def test_each_is_delivered_and_has_its_place() -> None:
    sender = Sender(BROKER, "made.log", [0, 1], at_once=True)
    assert sender.deliver([unit(7, 1), unit(8, 3), unit(9)], 30) == [(0, 1, 0), (1, 1, 1), (2, 0, 0)]
    # Numbers begin again with each call.
    assert sender.deliver([unit(10)], 30) == [(0, 0, 1)]
    assert sender.deliver([], 30) == []


def test_what_the_broker_refuses_is_not_taken_for_silence() -> None:
    sender = Sender(BROKER, "made.log", [999], at_once=True)
    with pytest.raises(Failed, match=r"can't be delivered to made\.log") as caught:
        sender.deliver([unit(7)], 30)
    assert type(caught.value) is Failed
    assert "nknown partition" in caught.value.why
    assert "live goes on by itself" in caught.value.mend


def test_a_broker_that_is_silent_is_away() -> None:
    for count, named in ((1, "row 0 can't"), (3, "row 0 and 2 more can't")):
        with pytest.raises(Away, match=f"{named} be delivered to made") as caught:
            Sender(GONE, "made.log", [0], at_once=True).deliver(map(unit, range(count)), 0.2)
        assert caught.value.why == "no answer in 0.2 s"


def test_a_topic_that_is_not_there_is_said() -> None:
    with pytest.raises(Failed, match=r"there is no topic made\.log"):
        Sender(GONE, "made.log", [])

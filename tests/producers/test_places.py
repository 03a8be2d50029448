"""Records of a log, packed into units: each in one, in order, none too large."""

from hypothesis import given
from hypothesis import strategies as st

from producers.places import Pack, Packer, Seen
from schemas.lane import LaneName
from schemas.unit import TARGET_UNIT_BYTES, TARGET_UNIT_ROWS

_RECORDS = st.lists(
    st.tuples(
        st.integers(1, 3),
        st.sampled_from(["snapshots", "others"]),
        st.sampled_from([1, 2, 200, TARGET_UNIT_ROWS, 2 * TARGET_UNIT_ROWS]),
        st.sampled_from([0, 1_000, TARGET_UNIT_BYTES // 2, TARGET_UNIT_BYTES, 5 * TARGET_UNIT_BYTES]),
        st.sampled_from([False, False, False, True]),
    ),
    max_size=60,
)


@given(_RECORDS, st.sampled_from([None, 1, 3]))
def test_each_record_is_in_one_unit_and_none_is_too_large(
    records: list[tuple[int, str, int, int, bool]], most: int | None
) -> None:
    seen: dict[int, Seen] = {}
    offset = 0
    for gap, kind, lines, size, alone in records:
        offset += gap
        seen[offset] = Seen(offset, kind, lines, size, alone)
    packer = Packer(LaneName.LOG, 0, None, most)
    places = [place for one in seen.values() for place in packer.take(one)]
    places += packer.rest()
    packed: list[int] = []
    for place in places:
        if not isinstance(place, Pack):
            packed.append(place.offset)
            continue
        inside = [one for at, one in seen.items() if place.first <= at < place.last]
        assert len(inside) == place.records > 1
        assert sum(one.lines for one in inside) <= TARGET_UNIT_ROWS
        assert sum(one.size for one in inside) <= TARGET_UNIT_BYTES
        assert most is None or place.records <= most
        assert len({one.kind for one in inside}) == 1
        assert not any(one.alone for one in inside)
        packed += [one.offset for one in inside]
    assert packed == list(seen)

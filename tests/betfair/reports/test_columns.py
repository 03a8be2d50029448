import pytest

from rederive.betfair.columns import headings, select
from schemas.betfair.tables import METRICS, SCOPES
from schemas.errors import UsageError


def test_scopes_metrics_and_columns_may_be_mixed() -> None:
    assert select("all") == METRICS
    assert select("tier-a") == SCOPES["tier-a"]
    assert select("book_risk_l3") == SCOPES["l3"]
    assert select("total_volume, risk,home_risk") == ("total_volume", "home_risk", "away_risk", "draw_risk")


@pytest.mark.parametrize("words", ["home_rsk", "tier_a", "snapshot_id", "", " , "])
def test_an_unknown_word_lists_the_valid_ones(words: str) -> None:
    with pytest.raises(UsageError) as caught:
        select(words)
    assert caught.value.exit_code == 2
    text = str(caught.value)
    assert all(scope in text for scope in SCOPES)
    assert all(column.removeprefix("home_") in text for column in METRICS if not column.startswith(("away_", "draw_")))


def test_a_near_word_is_proposed() -> None:
    with pytest.raises(UsageError, match="did you mean home_risk"):
        select("home_rsk")


def test_three_roles_of_a_metric_are_headed_by_role() -> None:
    assert headings(SCOPES["l3"]) == ["Home", "Away", "Draw"]
    assert headings(("home_risk", "away_risk")) == ["home_risk", "away_risk"]
    assert headings(("total_volume",)) == ["total_volume"]

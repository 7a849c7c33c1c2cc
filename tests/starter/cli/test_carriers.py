"""The switch that turns a carrier off, by hand."""

import json

import pytest

from fulfillment.domain.carriers import Carrier
from starter.cli.carriers import misspelled
from tests.starter.cli.conftest import Waybill


def test_a_carrier_is_paused_listed_and_resumed(waybill: Waybill) -> None:
    paused = waybill("carriers", "pause", "UPS", "--why", "strike", "--by", "olga")
    listed = json.loads(waybill("carriers", "--json").stdout)["carriers"]
    resumed = waybill("carriers", "resume", "UPS", "--by", "olga")

    assert "UPS is paused by olga: strike" in paused.stdout
    assert [(one["carrier"], one["use"], one["paused_by"]) for one in listed] == [("UPS", "paused", "olga")]
    assert "UPS is used again" in resumed.stdout


def test_another_reason_for_a_pause_takes_the_place_of_the_first(waybill: Waybill) -> None:
    waybill("carriers", "pause", "UPS", "--why", "strike", "--by", "olga")
    waybill("carriers", "pause", "UPS", "--why", "strike until Monday", "--by", "ben")

    (one,) = json.loads(waybill("carriers", "--json").stdout)["carriers"]

    assert (one["why"], one["paused_by"]) == ("strike until Monday", "ben")


@pytest.mark.parametrize(("name", "told"), [("UPSS", True), ("UPS", False)])
def test_a_name_under_which_no_parcel_left_is_told_with_those_that_are(name: str, told: bool) -> None:
    said = misspelled(Carrier(name=name), ["FedEx", "UPS"])

    assert ("parcels left with FedEx, UPS" in said) is told
    assert misspelled(Carrier(name=name), []) == ""

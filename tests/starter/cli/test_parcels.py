"""Tracking put right on the command line, and the codes that no table knows."""

import json
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Engine

from fulfillment.domain.tracking import CarrierStatus
from fulfillment.settings import real_now
from fulfillment.storage.tables import audit_entries, parcels
from tests.starter.cli.conftest import Waybill
from tests.storage.house import NUMBER, House, a_scan


@pytest.fixture
def delivered(books: Engine) -> House:
    house = House(books).stocked()
    house.time = real_now() - timedelta(hours=48)
    house.shipped()
    house.wait(timedelta(hours=48))
    strange = a_scan(None, code="beamed_up", text="Gone", provider="easypost", is_unknown=True)
    scans = (
        replace(strange, occurred_at=house.time - timedelta(hours=30)),
        a_scan(CarrierStatus.DELIVERED, occurred_at=house.time - timedelta(hours=20)),
    )
    house.shipping.record_report("easypost", "evt_1", "UPS", NUMBER, scans, None, {})
    return house


def test_a_delivery_that_never_was_is_taken_back(delivered: House, waybill: Waybill) -> None:
    words = ("fix-tracking", "SO-1", "SO-1-P1", "--status", "lost", "--reason", "she never had it")

    since = [f"{delivered.time - timedelta(hours=hours):%Y-%m-%dT%H:%M}" for hours in (21, 19)]
    refused = waybill(*words, "--since", since[0], "--request-id", "r-0", "--by", "ann")
    done = waybill(*words, "--since", since[1], "--request-id", "r-1", "--by", "ann")

    assert (refused.exit_code, done.exit_code) == (1, 0)
    assert "was scanned after that" in refused.stderr
    assert "SO-1-P1 is lost now." in done.stdout
    assert delivered.row(parcels)["carrier_status"] == "lost"
    assert delivered.row(audit_entries, command="fix_tracking")["actor"] == "ann"


def test_the_codes_that_no_table_knows_are_listed(delivered: House, waybill: Waybill) -> None:
    (code,) = json.loads(waybill("unknown-codes", "--json").stdout)["codes"]
    shown = waybill("unknown-codes").stdout

    assert (code["provider"], code["code"], code["count"]) == ("easypost", "beamed_up", 1)
    assert "beamed_up" in shown
    assert "Gone" in shown

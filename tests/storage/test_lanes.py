"""What parcels did, read back as what one service did around a lane."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine

from fulfillment.domain.reliability import Circle, Experience, Lane
from fulfillment.storage.lanes import experience
from fulfillment.storage.tables import parcels, shipments, transits
from tests.storage.house import House
from tests.storage.post import an_offer

TODAY = date(2026, 10, 5)
LANE = Lane(location_id="wh-reno", country="US", area="021")
UPS = an_offer("UPS")


class Roads:
    """Parcels that left, written straight into the books."""

    def __init__(self, house: House) -> None:
        self.house, self._n = house, 0
        self._parcel = house.row(parcels, parcel_id=house.shipped())
        self._shipment = house.row(shipments)
        self._went = house.row(transits)
        house.change(transits, {"carrier": "nobody"})

    def went(self, n: int = 1, *, age: int = 0, flags: tuple[str, ...] = (), **how: Any) -> None:
        """Note `n` parcels that left `age` days ago; each took two days unless `how` says otherwise."""
        usual = {
            "carrier": "UPS",
            "carrier_service": "Ground",
            "area": "021",
            "outcome": "delivered",
            "days": 2,
        }
        with self.house.engine.begin() as conn:
            for _ in range(n):
                self._n += 1
                work = {"shipment_id": f"S-{self._n}", "n": self._n + 1}
                conn.execute(shipments.insert().values(self._shipment | work))
                mine = work | {"parcel_id": f"P-{self._n}", "flags": list(flags)}
                conn.execute(parcels.insert().values(self._parcel | mine))
                left = {"parcel_id": f"P-{self._n}", "left_date": TODAY - timedelta(days=age)}
                conn.execute(transits.insert().values(self._went | usual | left | how))

    def seen(self, lane: Lane = LANE) -> dict[Circle, Experience]:
        """Return what is known of UPS Ground by circle, whatever the season."""
        with self.house.engine.connect() as conn:
            found = experience(conn, lane, [UPS], today=TODAY)
        return {one.circle: one for one in found.get(("UPS", "Ground"), ())[3:]}


@pytest.fixture
def roads(engine: Engine) -> Iterator[Roads]:
    return Roads(House(engine).stocked())


def test_parcels_are_counted_in_the_lane_its_zone_and_the_whole_service(roads: Roads) -> None:
    roads.went(3)
    roads.went(2, area="099")
    roads.went(4, area="900")
    roads.went(5, carrier_service="NextDayAir")

    seen = roads.seen()

    assert {circle: round(one.parcels) for circle, one in seen.items()} == {
        Circle.LANE: 3,
        Circle.ZONE: 5,
        Circle.SERVICE: 9,
    }


def test_a_parcel_counts_for_half_as_much_with_every_month_and_for_nothing_after_three(roads: Roads) -> None:
    roads.went(age=0)
    roads.went(age=30)
    roads.went(age=91)

    assert roads.seen()[Circle.LANE].parcels == pytest.approx(1.5)


def test_what_is_under_way_was_lost_damaged_or_came_back_is_told_apart(roads: Roads) -> None:
    roads.went(outcome=None, days=None, age=7)
    roads.went(outcome="lost", days=None)
    roads.went(flags=("damaged",))
    roads.went(outcome="returned", days=None)

    told = sorted((one.out_for, one.lost, one.damaged) for one in roads.seen()[Circle.LANE].seen)

    assert told == [(0, False, True), (0, True, False), (5, False, False)]


def test_of_a_country_without_postal_codes_the_whole_country_is_one_lane(roads: Roads) -> None:
    roads.went(2, country="HK", area="")

    seen = roads.seen(Lane(location_id="wh-reno", country="HK", area=""))

    assert seen[Circle.LANE].parcels == pytest.approx(2)


def test_what_was_done_on_longer_ways_is_taken_as_if_it_had_led_here(roads: Roads) -> None:
    roads.went(area="900", days=5, stated_days=4)

    here = roads.seen()[Circle.SERVICE].seen

    assert [one.days for one in here] == [4]  # a day later than stated; three are stated for this way


def test_what_left_weeks_ago_is_told_from_what_left_lately(roads: Roads) -> None:
    for age in (0, 7, 20, 40, 80):
        roads.went(age=age)

    assert sorted(one.age for one in roads.seen()[Circle.LANE].seen) == [0, 1, 2, 3, 4]

"""EasyPost's own client against the simulator: rates, labels, voids, trackers."""

from typing import Any

import easypost
import easypost.errors
import httpx
import pytest

from_address = {"street1": "1 Dock Rd", "city": "Newark", "state": "NJ", "zip": "07101", "country": "US"}
to_address = {"street1": "5 Elm St", "city": "Portland", "state": "OR", "zip": "97201", "country": "US"}
parcel = {"length": 10, "width": 8, "height": 4, "weight": 24}


@pytest.fixture
def client(simulator: Any) -> Any:
    return easypost.EasyPostClient("k", api_base=f"{simulator.url}/easypost/v2")


def quote(client: Any, reference: str, **more: Any) -> Any:
    fields = {
        "from_address": from_address,
        "to_address": to_address,
        "parcel": parcel,
        "reference": reference,
    }
    return client.shipment.create(**fields | more)


def test_a_shipment_is_quoted_by_every_carrier(client: Any) -> None:
    shipment = quote(client, "SO-200:buy_label:SO-200-P1:1")

    offered = {(rate.carrier, rate.service) for rate in shipment.rates}
    usps = {("USPS", "GroundAdvantage"), ("USPS", "Priority"), ("USPS", "Express")}
    assert offered >= usps | {("UPS", "Ground"), ("FedEx", "FEDEX_GROUND")}
    assert all(rate.id and rate.delivery_days >= 1 and float(rate.rate) > 0 for rate in shipment.rates)
    assert (shipment.reference, shipment.messages) == ("SO-200:buy_label:SO-200-P1:1", [])
    again = client.shipment.retrieve(shipment.id)
    assert [rate.id for rate in again.rates] == [rate.id for rate in shipment.rates]


def test_the_same_parcel_on_the_same_lane_costs_the_same_and_a_heavier_one_more(client: Any) -> None:
    def prices(weight: int) -> list[float]:
        return [float(r.rate) for r in quote(client, "SO-201", parcel=parcel | {"weight": weight}).rates]

    assert prices(24) == prices(24)
    assert all(heavy > light for light, heavy in zip(prices(24), prices(160), strict=True))


def test_a_carrier_that_cannot_carry_it_says_so_in_a_good_answer(client: Any) -> None:
    shipment = quote(client, "SO-202", parcel=parcel | {"weight": 80 * 16})

    assert {rate.carrier for rate in shipment.rates} == {"UPS", "FedEx"}
    (said,) = shipment.messages
    assert (said.carrier, said.type) == ("USPS", "rate_error")
    assert "maximum weight" in said.message


def test_a_carrier_that_is_down_is_a_message_and_the_others_still_quote(client: Any, simulator: Any) -> None:
    simulator.fault("carrier_error", match={"provider": "easypost", "carrier": "UPS", "order": "SO-203"})

    shipment = quote(client, "SO-203:buy_label:P1:1")

    assert {rate.carrier for rate in shipment.rates} == {"USPS", "FedEx"}
    assert [said.carrier for said in shipment.messages] == ["UPS"]


def test_a_carrier_may_fail_at_its_labels_alone(client: Any, simulator: Any) -> None:
    match = {"carrier": "UPS", "route": "POST /v2/shipments/*/buy", "order": "SO-213"}
    simulator.fault("carrier_error", match=match)
    shipment = quote(client, "SO-213:buy_label:P1:1")
    of_ups, of_usps = (next(r for r in shipment.rates if r.carrier == name) for name in ("UPS", "USPS"))

    with pytest.raises(easypost.errors.InvalidRequestError, match="did not respond"):
        client.shipment.buy(shipment.id, rate=of_ups)

    client.shipment.buy(shipment.id, rate=of_usps)
    ledger = simulator.ledger()
    (struck,) = [fault for fault in ledger["faults"] if fault["match"] == match]
    (label,) = [x for x in ledger["labels"] if x["ref"] == shipment.id]
    to = shipment.to_address
    assert struck["fired"] == 1
    assert (label["carrier"], label["to"]) == ("USPS", f"{to.street1}, {to.zip} {to.city}")


def test_a_label_is_bought_once(client: Any, simulator: Any) -> None:
    shipment = quote(client, "SO-204:buy_label:P1:1")
    rate = shipment.lowest_rate()

    bought = client.shipment.buy(shipment.id, rate=rate)
    with pytest.raises(easypost.errors.InvalidRequestError) as second:
        client.shipment.buy(shipment.id, rate=rate)

    assert bought.selected_rate.id == rate.id
    assert bought.tracker.tracking_code == bought.tracking_code
    assert (bought.tracker.status, bought.tracker.shipment_id) == ("pre_transit", shipment.id)
    assert bought.tracker.est_delivery_date > bought.created_at
    assert {fee.type for fee in bought.fees} == {"LabelFee", "PostageFee"}
    picture = httpx.get(bought.postage_label.label_url)
    assert (picture.headers["content-type"], picture.content[:8]) == ("image/png", b"\x89PNG\r\n\x1a\n")
    assert '"SHIPMENT.POSTAGE.EXISTS"' in second.value.http_body
    (label,) = [x for x in simulator.ledger()["labels"] if x["reference"] == "SO-204:buy_label:P1:1"]
    assert (label["tracking_number"], label["cost"]) == (bought.tracking_code, round(float(rate.rate) * 100))


@pytest.mark.parametrize(
    ("carrier", "start", "length"), [("USPS", "94", 22), ("UPS", "1Z", 18), ("FedEx", "", 12)]
)
def test_a_tracking_number_looks_like_its_carriers(
    simulator: Any, carrier: str, start: str, length: int
) -> None:
    code = simulator.label(f"SO-205-{carrier}", carrier)["tracking_code"]

    assert code.startswith(start)
    assert len(code) == length


def test_a_label_not_yet_scanned_is_refunded(client: Any, simulator: Any) -> None:
    bought = simulator.label("SO-206")

    asked = client.shipment.refund(bought["id"])

    assert asked.refund_status == "submitted"
    (label,) = [x for x in simulator.ledger()["labels"] if x["ref"] == bought["id"]]
    assert label["state"] == "refund_submitted"


def test_a_label_already_scanned_is_not_refunded(client: Any, simulator: Any) -> None:
    bought = simulator.label("SO-207")
    scan = {"status": "in_transit", "status_detail": "received_at_origin_facility"}
    simulator.http.post(f"/_sim/parcels/{bought['tracking_code']}/scans", json=scan)

    assert client.shipment.refund(bought["id"]).refund_status == "rejected"


def test_a_submitted_refund_is_paid_after_a_while(fast: Any, wait: Any) -> None:
    client = easypost.EasyPostClient("k", api_base=f"{fast.url}/easypost/v2")
    bought = fast.label("SO-208")
    client.shipment.refund(bought["id"])

    wait(lambda: client.shipment.retrieve(bought["id"]).refund_status == "refunded")


def test_what_is_missing_is_named(client: Any) -> None:
    with pytest.raises(easypost.errors.InvalidRequestError) as incomplete:
        client.shipment.create(to_address=to_address, parcel=parcel)
    with pytest.raises(easypost.errors.NotFoundError):
        client.shipment.retrieve("shp_nowhere")

    assert '"field":"from_address"' in incomplete.value.http_body


def test_without_a_key_nothing_is_answered(simulator: Any) -> None:
    answer = simulator.http.get("/easypost/v2/trackers")

    assert (answer.status_code, answer.json()["error"]["code"]) == (401, "UNAUTHORIZED")
    assert simulator.http.get("/easypost/v2/trackers", auth=("k", "")).status_code == 200


def test_a_tracker_exists_once_per_number(client: Any) -> None:
    first = client.tracker.create(tracking_code="EZ4000000004", carrier="USPS")
    again = client.tracker.create(tracking_code="EZ4000000004", carrier="USPS")

    assert (first.id, first.status) == (again.id, "delivered")
    listed = client.tracker.all(tracking_code="EZ4000000004")["trackers"]
    assert [tracker.id for tracker in listed] == [first.id]
    assert client.tracker.retrieve(first.id).tracking_code == "EZ4000000004"


def test_an_address_is_verified(client: Any) -> None:
    good = client.address.create_and_verify(**to_address)
    bad = client.address.create(
        verify=True, street1="Undeliverable Way", city="Nowhere", zip="00000", country="US"
    )

    assert good.verifications.delivery.success is True
    assert bad.verifications.delivery.success is False
    with pytest.raises(easypost.errors.InvalidRequestError) as refused:
        client.address.create_and_verify(street1="5 Elm St", country="US")
    assert "ADDRESS.VERIFY.FAILURE" in refused.value.http_body


def bought(client: Any, reference: str, **where: Any) -> Any:
    shipment = quote(client, reference, **where)
    return client.shipment.buy(shipment.id, rate=next(r for r in shipment.rates if r.carrier == "USPS"))


def test_a_scan_form_is_made_in_a_while_and_holds_every_number(client: Any, simulator: Any) -> None:
    shipments = [bought(client, f"SO-22{n}:buy_label:P1:1") for n in (1, 2)]

    form = client.scan_form.create(shipments=[{"id": shipment.id} for shipment in shipments])
    seen = [client.scan_form.retrieve(form.id) for _ in range(2)]

    assert [form.status, *(one.status for one in seen)] == ["creating", "creating", "created"]
    assert seen[-1].tracking_codes == [shipment.tracking_code for shipment in shipments]
    printed = httpx.get(seen[-1].form_url)
    assert (printed.headers["content-type"], printed.content[:4]) == ("application/pdf", b"%PDF")
    assert client.shipment.retrieve(shipments[0].id).scan_form.id == form.id
    on = {label["form"] for label in simulator.ledger()["labels"] if label["reference"].startswith("SO-22")}
    assert on == {form.id}


def test_a_shipment_is_on_one_scan_form_and_needs_postage(client: Any) -> None:
    shipment, unpaid = bought(client, "SO-223:buy_label:P1:1"), quote(client, "SO-224:buy_label:P1:1")
    client.scan_form.create(shipments=[{"id": shipment.id}])

    twice = client.scan_form.create(shipments=[{"id": shipment.id}])
    without = client.scan_form.create(shipments=[{"id": unpaid.id}])

    assert (twice.status, without.status) == ("failed", "failed")
    assert "one scan form" in twice.message
    assert "must have postage" in without.message
    with pytest.raises(easypost.errors.InvalidRequestError):
        client.scan_form.create(shipments=[])

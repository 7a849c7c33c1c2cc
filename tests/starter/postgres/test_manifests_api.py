"""The dock over HTTP, on the real books: the list, the carrier's code for it, and what it gives out."""

from typing import Any

import pytest

from fulfillment.domain.scan_forms import FormDocument, FormSnapshot, FormState
from tests.starter.postgres.desk import Desk

LISTS = "/v1/warehouse/manifests"
PDF = b"%PDF-1.4 the form"


@pytest.fixture
async def manifest(api: Any, desk: Desk) -> str:
    desk.house.labeled("SO-1", number="1Z1", mugs=1, teas=0)
    made = await api.post(LISTS, json={"location_id": "wh-reno", "carrier": "UPS"})
    return str(made.json()["manifest_id"])


async def test_a_form_is_asked_for_and_given_out_byte_for_byte(api: Any, desk: Desk, manifest: str) -> None:
    asked = [await api.post(f"{LISTS}/{manifest}/scan_forms") for _ in range(2)]
    form_id = f"{manifest}-F1"
    before = await api.get(f"/v1/warehouse/scan_forms/{form_id}")
    snapshot = FormSnapshot(reference="sf_1", state=FormState.MADE, url="/form.pdf")
    desk.house.scan_forms.made(form_id, snapshot, FormDocument.of(PDF))
    printed = await api.get(f"/v1/warehouse/scan_forms/{form_id}")

    assert [answer.status_code for answer in asked] == [202, 202]
    assert desk.forms == [form_id, form_id]
    (form,) = asked[0].json()["scan_forms"]
    assert (form["form_id"], form["state"], form["parcels"]) == (form_id, "asked", ["SO-1-P1"])
    assert (before.status_code, before.json()["code"]) == (404, "not_found")
    assert (printed.content, printed.headers["content-type"]) == (PDF, "application/pdf")


async def test_a_list_whose_parcels_are_all_on_a_form_says_so(api: Any, desk: Desk, manifest: str) -> None:
    await api.post(f"{LISTS}/{manifest}/scan_forms")
    snapshot = FormSnapshot(reference="sf_1", state=FormState.MADE, url="/form.pdf")
    desk.house.scan_forms.made(f"{manifest}-F1", snapshot, FormDocument.of(PDF))

    again = await api.post(f"{LISTS}/{manifest}/scan_forms")
    unknown = await api.post(f"{LISTS}/M-nowhere/scan_forms")

    assert (again.status_code, again.json()["code"]) == (409, "nothing_for_a_form")
    assert unknown.status_code == 404

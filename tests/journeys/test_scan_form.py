"""The dock asks a carrier for one code for its list, and hands the parcels over with it."""

import asyncio

from devstack.chaos import Arena, Tale
from fulfillment.domain.hand_over import Evidence, Proof
from fulfillment.domain.scan_forms import FormState
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.storage.manifests import ManifestStore
from fulfillment.storage.scan_forms import ScanFormStore
from fulfillment.storage.tables import labels
from tests.journeys.test_one_order import hand_on
from workflows.contract import order_workflow_id, scan_form_workflow_id


async def test_a_list_is_handed_over_with_the_carriers_own_code_for_it(journeys: Arena) -> None:
    shop, order_id = journeys.shop, journeys.new_id("FORM")
    lists, forms = ManifestStore(shop.engine, shop.now), ScanFormStore(shop.engine, shop.now)
    await journeys.place(shop.order(order_id), Tale.CALLED_BACK)
    await journeys.stands(order_id, WorkStatus.LABELED)
    with shop.engine.connect() as conn:
        carrier = conn.execute(labels.select().where(labels.c.order_id == order_id)).one().carrier

    manifest = await asyncio.to_thread(lists.make, "wh-reno", carrier, by="pia")
    form_id = await asyncio.to_thread(forms.ask, manifest.manifest_id, by="pia")
    await shop.processes.get_scan_form(form_id)
    await shop.processes.get_scan_form(form_id)
    said = await shop.client.get_workflow_handle(scan_form_workflow_id(form_id)).result()
    proof = Proof(evidence=Evidence.SCAN_FORM, ref=form_id)
    left = await asyncio.to_thread(
        lists.hand_over, manifest.manifest_id, [f"{order_id}-P1"], by="pia", proof=proof
    )
    await hand_on(journeys, order_id)

    assert said == f"{form_id}: made"
    assert forms.document(form_id).content.startswith(b"%PDF")
    assert [form.state for form in left.forms] == [FormState.MADE]
    assert (await journeys.verdict()).clean
    await asyncio.to_thread(shop.scan, f"{order_id}-P1", CarrierStatus.DELIVERED)
    await hand_on(journeys, order_id)
    assert (await shop.client.get_workflow_handle(order_workflow_id(order_id)).result())[
        "outcome"
    ] == "delivered"

"""A process killed with SIGKILL at any crash point costs time and no facts."""

import asyncio
import sys

import pytest

from devstack import armed
from devstack.chaos import DOOR_POINTS, Arena, Tale, armed_folder, crash_points, in_lanes, worker_points
from devstack.stack import ROOT
from fulfillment.domain.shipment import WorkStatus, parcel_id
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.settings import Settings


def test_every_effect_at_a_provider_has_a_point_before_and_after_it() -> None:
    deeds = ("authorize", "capture", "void", "refund", "buy_label", "void_label", "scan_form")
    moments = ("after_claim", "after_effect", "after_record")

    assert {f"{deed}.{moment}" for deed in deeds for moment in moments} <= set(worker_points())
    assert set(crash_points()) >= DOOR_POINTS


def test_armed_workers_refuse_a_database_that_somebody_needs() -> None:
    settings = Settings(database_url="postgresql://waybill@db.example.com/waybill")

    with pytest.raises(armed.NotEmbedded, match="not on db"):
        armed.check_embedded(settings)


async def test_a_worker_killed_at_any_point_costs_time_and_no_facts(chaos: Arena) -> None:
    points = worker_points()

    await in_lanes([chaos.kill_at(point) for point in points])

    assert {point: chaos.points_fired()[point] for point in points} == dict.fromkeys(points, 1)
    report = await chaos.verdict()
    assert report.clean, "\n".join(report.lines())


async def test_a_door_killed_around_its_commit_is_told_again_and_nothing_happens_twice(chaos: Arena) -> None:
    order_id = chaos.new_id("DOOR")
    await chaos.place(chaos.shop.order(order_id), Tale.BY_HAND)
    await chaos.stands(order_id, WorkStatus.RELEASED)

    await _through_the_door(chaos, "pack", order_id)
    await chaos.stands(order_id, WorkStatus.LABELED)
    await _through_the_door(chaos, "hand_over", order_id)
    await _through_the_door(chaos, "webhook", order_id)
    await asyncio.to_thread(chaos.shop.scan, parcel_id(order_id, 1), CarrierStatus.DELIVERED)
    await _hand_on(chaos, order_id)
    await chaos.ended(order_id)

    assert {point: chaos.points_fired()[point] for point in DOOR_POINTS} == dict.fromkeys(DOOR_POINTS, 1)
    report = await chaos.verdict()
    assert report.clean, "\n".join(report.lines())


async def _through_the_door(chaos: Arena, deed: str, order_id: str) -> None:
    """Do a deed in a process that dies before its commit, in its second life after it, and succeeds in its third."""
    folder = armed_folder(chaos.stack.spec.state)
    for moment in ("before", "after"):
        (folder / f"{deed}.{moment}_commit").touch()
    door = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos.door", str(folder), deed, order_id),
        env=chaos.stack.env,
        cwd=ROOT,
    )
    assert await door.wait() == 0
    await _hand_on(chaos, order_id)


async def _hand_on(chaos: Arena, order_id: str) -> None:
    await chaos.shop.processes.deliver(await asyncio.to_thread(chaos.shop.signals.for_order, order_id))

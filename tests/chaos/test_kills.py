"""A worker killed with SIGKILL at every crash point costs time and no facts."""

import ast
import asyncio
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from devstack import armed
from devstack.chaos import DOOR_POINTS, WORKER_POINTS, Arena, Tale, armed_folder, crash_points, in_lanes
from devstack.stack import ROOT
from fulfillment.domain.shipment import WorkStatus
from fulfillment.domain.tracking import CarrierStatus
from fulfillment.settings import Settings


def test_every_crash_point_of_the_product_is_killed_at() -> None:
    points = crash_points()

    assert sorted(points) == sorted((*WORKER_POINTS, *DOOR_POINTS))


def test_every_effect_at_a_provider_has_a_point_before_and_after_it() -> None:
    deeds = ("authorize", "capture", "void", "refund", "buy_label", "void_label")

    assert {f"{deed}.{moment}" for deed in deeds for moment in ("after_claim", "after_effect", "after_record")} <= set(
        crash_points()
    )


def test_armed_workers_refuse_a_database_that_somebody_needs() -> None:
    settings = Settings(database_url="postgresql://waybill@db.example.com/waybill")

    with pytest.raises(armed.NotEmbedded, match="db.example.com"):
        armed.check_embedded(settings)

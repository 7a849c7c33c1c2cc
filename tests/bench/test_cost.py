"""The guard on what a plain order costs on Temporal: read from the server's own counter."""

import json
import subprocess
import sys

from devstack.bench.cost import (
    BUDGET_ACTIONS,
    BUDGET_EVENTS,
    BUDGET_EXTRA_ACTIONS,
    BUDGET_EXTRA_EVENTS,
)


def test_a_plain_order_and_a_second_shipment_stay_within_their_budgets_of_events_and_actions() -> None:
    command = [sys.executable, "-m", "devstack", "bench", "cost", "--json"]

    measured = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)

    assert measured.returncode == 0, measured.stdout + measured.stderr
    cost = json.loads(measured.stdout)
    assert 40 < cost["events"] <= BUDGET_EVENTS == 56
    assert 10 < cost["actions"] <= BUDGET_ACTIONS == 16
    assert cost["workflows"] == 1
    assert 10 < cost["extra_events"] <= BUDGET_EXTRA_EVENTS == 41
    assert 3 < cost["extra_actions"] <= BUDGET_EXTRA_ACTIONS == 10

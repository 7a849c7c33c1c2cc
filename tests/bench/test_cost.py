"""The guard on what a plain order costs on Temporal: read from the server's own counter."""

import json
import subprocess
import sys

from devstack.bench.cost import BUDGET_ACTIONS, BUDGET_EVENTS


def test_a_plain_order_stays_within_its_budget_of_events_and_actions() -> None:
    command = [sys.executable, "-m", "devstack", "bench", "cost", "--json"]

    measured = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)

    assert measured.returncode == 0, measured.stdout + measured.stderr
    cost = json.loads(measured.stdout)
    assert 40 < cost["events"] <= BUDGET_EVENTS == 56
    assert 10 < cost["actions"] <= BUDGET_ACTIONS == 16
    assert cost["workflows"] == 1

"""The guard on what a plain order costs on Temporal: read from the server's own counter."""

import json
import subprocess
import sys

from devstack.bench.cost import OTHER_PLACE, PLAIN, SAME_PLACE, Cost


def test_a_plain_order_and_a_second_shipment_stay_within_their_budgets_of_events_and_actions() -> None:
    command = [sys.executable, "-m", "devstack", "bench", "cost", "--json"]

    measured = subprocess.run(command, capture_output=True, text=True, timeout=180, check=False)

    assert measured.returncode == 0, measured.stdout + measured.stderr
    costs = json.loads(measured.stdout)
    assert costs["workflows"] == 1
    for what, least, budget, promised in (
        ("plain", Cost(events=40, actions=10), PLAIN, Cost(events=56, actions=16)),
        ("same_place", Cost(events=10, actions=3), SAME_PLACE, Cost(events=20, actions=4)),
        ("other_place", Cost(events=10, actions=3), OTHER_PLACE, Cost(events=25, actions=6)),
    ):
        assert least.within(Cost(**costs[what])), what
        assert Cost(**costs[what]).within(budget), what
        assert budget == promised

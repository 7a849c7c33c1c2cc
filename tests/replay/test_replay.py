"""Orders that began under an earlier release go on under this one."""

from functools import partial
from pathlib import Path

import pytest
from temporalio.client import WorkflowHistory
from temporalio.worker import Replayer

from fulfillment.temporal import plugin
from tests.replay.commands import Command, Commands
from tests.replay.record import CASES, HISTORIES
from workers.worker import WORKFLOWS

_BESIDE = partial(
    Command,
    queue="beside the workflow",
    start_to_close=None,
    schedule_to_close=3.0,
    heartbeat=None,
    retry=(0.2, None, 2),
)
_PAYMENT = partial(
    Command,
    queue="payments-stripe",
    start_to_close=60.0,
    schedule_to_close=None,
    heartbeat=5.0,
    retry=(0.5, 30.0, 0),
)
_CARRIER = partial(
    Command,
    queue="carriers-easypost",
    start_to_close=30.0,
    schedule_to_close=None,
    heartbeat=5.0,
    retry=(0.5, 5.0, 4),
)
PLAIN = [
    _BESIDE("reserve_stock"),
    _PAYMENT("authorize_payments"),
    _CARRIER("buy_label"),
    _PAYMENT("capture_payment"),
    _BESIDE("close_order"),
]
RECORDED = sorted(HISTORIES.glob("*/*.json"))


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: f"{file.parent.name}/{file.stem}")
async def test_an_order_of_every_release_replays(file: Path) -> None:
    await _replay(file)


def test_every_case_is_recorded() -> None:
    assert {case.__name__ for case in CASES} <= {file.stem for file in RECORDED}


async def test_a_plain_order_asks_for_the_same_deeds_in_the_same_way() -> None:
    """Replay sees no change of a timeout, a queue or a retry; this does."""
    commands = Commands()

    await _replay(RECORDED[-1].with_name("plain.json"), commands)

    assert commands.given == PLAIN


async def _replay(file: Path, *interceptors: Commands) -> None:
    replayer = Replayer(workflows=WORKFLOWS, plugins=[plugin(*interceptors)])
    await replayer.replay_workflow(WorkflowHistory.from_json(f"order-{file.stem}", file.read_text()))

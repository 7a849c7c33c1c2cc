"""How patient we are, by kind of work."""

from datetime import timedelta
from typing import Final, TypedDict

from temporalio.common import RetryPolicy
from temporalio.workflow import ActivityCancellationType

from workflows.contract import CARRIERS_QUEUE, PAYMENTS_QUEUE


class Patience(TypedDict, total=False):
    """How long we wait, how we try again, and on which queue.

    Never a schedule-to-close: it would give up a deed whose outcome is unknown.
    """

    task_queue: str
    start_to_close_timeout: timedelta
    heartbeat_timeout: timedelta
    retry_policy: RetryPolicy
    cancellation_type: ActivityCancellationType


class LocalPatience(TypedDict):
    """How long a database deed may take beside the workflow, before it goes the long way."""

    schedule_to_close_timeout: timedelta
    retry_policy: RetryPolicy


_PROVIDER_RETRY: Final = RetryPolicy(
    initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=30)
)

# Beside the workflow, without a trip over the server; after two tries the same deed goes the long way.
DATABASE_FAST: Final[LocalPatience] = {
    "schedule_to_close_timeout": timedelta(seconds=3),
    "retry_policy": RetryPolicy(initial_interval=timedelta(milliseconds=200), maximum_attempts=2),
}
DATABASE: Final[Patience] = {
    "start_to_close_timeout": timedelta(seconds=10),
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(milliseconds=500), maximum_interval=timedelta(seconds=5)
    ),
}
# After this long without a sign of life a deed at a provider is begun again: its worker has crashed. The workers
# beat beside the call, and not before half of it has passed, so that a plain order sends no beat.
_HEARTBEAT: Final = timedelta(seconds=5)
# Longer than the adapter's own read timeout, so that a call ends inside its activity and its outcome is
# recorded as unknown instead of being lost.
PAYMENT: Final[Patience] = {
    "task_queue": PAYMENTS_QUEUE,
    "start_to_close_timeout": timedelta(seconds=60),
    "heartbeat_timeout": _HEARTBEAT,
    "retry_policy": _PROVIDER_RETRY,
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
}
CARRIER: Final[Patience] = {
    "task_queue": CARRIERS_QUEUE,
    "start_to_close_timeout": timedelta(seconds=30),
    "heartbeat_timeout": _HEARTBEAT,
    "retry_policy": _PROVIDER_RETRY,
    "cancellation_type": ActivityCancellationType.WAIT_CANCELLATION_COMPLETED,
}
# A carrier that fails this often in a row is down: people hear of it, and the deed is tried on without end.
CARRIER_FIRST: Final[Patience] = {
    **CARRIER,
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(milliseconds=500),
        maximum_interval=timedelta(seconds=5),
        maximum_attempts=4,
    ),
}
CARRIER_ONCE: Final[Patience] = {**CARRIER, "retry_policy": RetryPolicy(maximum_attempts=1)}
PAYMENT_ONCE: Final[Patience] = {**PAYMENT, "retry_policy": RetryPolicy(maximum_attempts=1)}
# Somebody stands at the desk and waits: after a few tries they are told that nobody answers.
PAYMENT_SOON: Final[Patience] = {
    **PAYMENT,
    "retry_policy": RetryPolicy(
        initial_interval=timedelta(milliseconds=500),
        maximum_interval=timedelta(seconds=2),
        maximum_attempts=4,
    ),
}

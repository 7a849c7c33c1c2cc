"""Notes which deeds a workflow asks for, and how."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from temporalio.worker import (
    Interceptor,
    StartActivityInput,
    StartLocalActivityInput,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
    WorkflowOutboundInterceptor,
)
from temporalio.workflow import ActivityHandle


@dataclass(frozen=True, slots=True)
class Command:
    """One deed. Spans are in seconds; `retry` is the first wait, the longest, and the most attempts (0: no end)."""

    deed: str
    queue: str
    start_to_close: float | None
    schedule_to_close: float | None
    heartbeat: float | None
    retry: tuple[float, float | None, int]


class Commands(Interceptor):
    """Notes the deeds of the workflows it intercepts."""

    def __init__(self) -> None:
        self.given: list[Command] = []

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor]:
        given = self.given

        class Outbound(WorkflowOutboundInterceptor):
            def start_activity(self, input: StartActivityInput) -> ActivityHandle[Any]:
                given.append(_command(input, input.task_queue or "", input.heartbeat_timeout))
                return super().start_activity(input)

            def start_local_activity(self, input: StartLocalActivityInput) -> ActivityHandle[Any]:
                given.append(_command(input, "beside the workflow", None))
                return super().start_local_activity(input)

        class Inbound(WorkflowInboundInterceptor):
            def init(self, outbound: WorkflowOutboundInterceptor) -> None:
                super().init(Outbound(outbound))

        return Inbound


def _command(
    input: StartActivityInput | StartLocalActivityInput, queue: str, heartbeat: timedelta | None
) -> Command:
    retry = input.retry_policy
    assert retry
    return Command(
        deed=input.activity,
        queue=queue,
        start_to_close=_seconds(input.start_to_close_timeout),
        schedule_to_close=_seconds(input.schedule_to_close_timeout),
        heartbeat=_seconds(heartbeat),
        retry=(
            retry.initial_interval.total_seconds(),
            _seconds(retry.maximum_interval),
            retry.maximum_attempts,
        ),
    )


def _seconds(span: timedelta | None) -> float | None:
    return None if span is None else span.total_seconds()

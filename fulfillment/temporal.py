"""How every process of ours speaks Temporal: connection, data converter, sandbox, failure types, firewall."""

import asyncio
import atexit
import dataclasses
import os
import sys
from collections.abc import Callable, Sequence
from datetime import date, timedelta
from typing import Any, Final, NoReturn

from temporalio import workflow
from temporalio.client import Client
from temporalio.converter import (
    AdvancedJSONEncoder,
    CompositePayloadConverter,
    DataConverter,
    DefaultPayloadConverter,
    JSONPlainPayloadConverter,
    JSONTypeConverter,
)
from temporalio.envconfig import ClientConfig
from temporalio.exceptions import ApplicationError, CancelledError, FailureError
from temporalio.plugin import SimplePlugin
from temporalio.runtime import Runtime
from temporalio.worker import (
    HandleSignalInput,
    HandleUpdateInput,
    Interceptor,
    WorkflowInboundInterceptor,
    WorkflowInterceptorClassInput,
)
from temporalio.worker.workflow_sandbox import SandboxedWorkflowRunner, SandboxRestrictions

from fulfillment.domain.errors import FulfillmentError

# Re-importing the domain per workflow costs ten times the CPU, and what a workflow is made of another fifth.
# So only the files that define workflows are imported anew; for the rest ruff's banned-api stands guard.
PASSED_THROUGH: Final = (
    "fulfillment",
    "activities",
    "workflows.casebook",
    "workflows.cockpit",
    "workflows.compensation",
    "workflows.contract",
    "workflows.desk",
    "workflows.facts",
    "workflows.hold_watch",
    "workflows.money",
    "workflows.options",
    "workflows.playbooks",
    "workflows.shipment",
    "workflows.steps",
    "workflows.verbs",
)


class _Encoder(AdvancedJSONEncoder):
    def default(self, o: Any) -> Any:
        if isinstance(o, date):
            return o.isoformat()
        if isinstance(o, timedelta):
            return o.total_seconds()
        return super().default(o)


class _DaysAndSpans(JSONTypeConverter):
    """Promises are dates and policies are spans; the default converter refuses both."""

    def to_typed_value(self, hint: type, value: Any) -> Any:
        if hint is date:
            return date.fromisoformat(value)
        if hint is timedelta:
            return timedelta(seconds=value)
        return JSONTypeConverter.Unhandled


class _PayloadConverter(CompositePayloadConverter):
    def __init__(self) -> None:
        ours = JSONPlainPayloadConverter(encoder=_Encoder, custom_type_converters=[_DaysAndSpans()])
        defaults = DefaultPayloadConverter.default_encoding_payload_converters
        super().__init__(*(ours if isinstance(c, JSONPlainPayloadConverter) else c for c in defaults))


class Firewall(WorkflowInboundInterceptor):
    """No malformed signal or update stops an order; each is shown as rejected."""

    async def handle_signal(self, input: HandleSignalInput) -> None:
        """Let a signal in; what it cannot digest is noted by the workflow."""
        try:
            await super().handle_signal(input)
        except (asyncio.CancelledError, CancelledError):
            raise
        except Exception as error:  # noqa: BLE001 FulfillmentError too: it would fail the whole order
            workflow.instance().command_rejected(input.signal, type(error).__name__)

    async def handle_update_handler(self, input: HandleUpdateInput) -> Any:
        """Let an update in; what it cannot digest fails the update alone."""
        try:
            return await super().handle_update_handler(input)
        except (asyncio.CancelledError, FailureError):
            raise
        except (TypeError, AttributeError, ValueError, KeyError) as error:
            raise ApplicationError(f"{input.update}: {type(error).__name__}", type="BadCommand") from error


class FirewallInterceptor(Interceptor):
    """Puts the firewall before every workflow."""

    def workflow_interceptor_class(
        self, input: WorkflowInterceptorClassInput
    ) -> type[WorkflowInboundInterceptor] | None:
        """Return the firewall."""
        return Firewall


def plugin(*more: Interceptor) -> SimplePlugin:
    """Return what client, worker, replayer and tests all need, said once."""
    return SimplePlugin(
        "waybill",
        data_converter=dataclasses.replace(DataConverter.default, payload_converter_class=_PayloadConverter),
        workflow_runner=SandboxedWorkflowRunner(
            restrictions=SandboxRestrictions.default.with_passthrough_modules(*PASSED_THROUGH)
        ),
        workflow_failure_exception_types=[FulfillmentError],
        interceptors=[FirewallInterceptor(), *more],
    )


async def connect(
    *, runtime: Runtime | None = None, interceptors: Sequence[Interceptor] = (), lazy: bool = False
) -> Client:
    """Connect to the server that the SDK's own environment names: dev server, self-hosted or Cloud.

    A lazy client connects when it is first used, so that whoever only needs it at times starts without the server.
    """
    config = ClientConfig.load_client_connect_config()
    config.setdefault("target_host", "localhost:7233")
    return await Client.connect(**config, plugins=[plugin(*interceptors)], runtime=runtime, lazy=lazy)


def run_process(main: Callable[[], int | None]) -> NoReturn:
    """Run a process that may have spoken to Temporal, and end it with the exit code of `main`.

    The interpreter is not torn down: a thread of the SDK that lets go of Python just then aborts the process with
    "PyGILState_Release: thread state must be current" (github.com/temporalio/sdk-python/issues/300). What was registered
    to run at the end has run, and all that was printed is out.
    """
    try:
        code = main()
    except SystemExit as end:
        code = _code_of(end)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code or 0)


def _code_of(end: SystemExit) -> int | None:
    """Return its exit code; what is no number is a message to be read, and a failure."""
    if end.code is None or isinstance(end.code, int):
        return end.code
    print(end.code, file=sys.stderr)
    return 1

"""`python -m workers [all|QUEUE...]` runs the workers; `python -m workers audit` checks the books."""

import asyncio
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import structlog
from sqlalchemy import Engine

from fulfillment import temporal
from fulfillment.logs import configure
from fulfillment.settings import BadSettings, Settings, load_settings
from workers import audit, wiring
from workers.worker import run_until, workers
from workflows import contract

QUEUES = (contract.ORDERS_QUEUE, contract.PAYMENTS_QUEUE, contract.CARRIERS_QUEUE)
USAGE = f"usage: python -m workers [all|{'|'.join(QUEUES)}...] | python -m workers audit [--json] [--wait SECONDS]"

log = structlog.stdlib.get_logger(__name__)


def main(arguments: Sequence[str], outside: wiring.World | None = None) -> int:
    """Run what the arguments name; return the exit code."""
    if arguments[:1] == ["audit"]:
        return audit.main(arguments[1:])
    queues = QUEUES if list(arguments) in ([], ["all"]) else tuple(arguments)
    if unknown := set(queues) - set(QUEUES):
        print(f"there is no queue {', '.join(sorted(unknown))}\n{USAGE}", file=sys.stderr)
        return 2
    configure()
    try:
        settings = load_settings()
        settings.needed("database_url", "smtp_host", *wiring.NEEDED[settings.carrier])
    except BadSettings as error:
        print(f"workers: {error}", file=sys.stderr)
        return 2
    asyncio.run(work(settings, queues, outside or wiring.world(settings)))
    return 0


async def work(settings: Settings, queues: Sequence[str], outside: wiring.World) -> None:
    """Work on these queues, and send the outbox, until SIGTERM or Ctrl-C; what is begun is finished."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    books = wiring.engine(settings)
    client = await temporal.connect()
    working = workers(client, wiring.deeds(books, outside, settings.clock), queues)
    with_orders = contract.ORDERS_QUEUE in queues
    no_more = threading.Event()
    sending = [*_senders(books, settings, no_more)] if with_orders else []
    await run_until(stopped, working, ready=lambda: _say_ready(settings.ready_file, queues))
    no_more.set()
    for thread in sending:
        await asyncio.to_thread(thread.join)
    books.dispose()


def _senders(books: Engine, settings: Settings, no_more: threading.Event) -> Iterator[threading.Thread]:
    """Start what tells customers and the storefront, each on a thread of its own, until `no_more` is set."""
    runs = {
        "outbox": wiring.outbox_relay(books, settings).run,
        "webhooks": wiring.courier(books, settings).run,
    }
    for name, run in runs.items():
        thread = threading.Thread(target=run, args=(no_more,), name=name)
        thread.start()
        yield thread


def _say_ready(ready_file: Path | None, queues: Sequence[str]) -> None:
    log.info("worker ready", queues=list(queues))
    if ready_file:
        ready_file.touch()


if __name__ == "__main__":
    temporal.run_process(lambda: main(sys.argv[1:]))

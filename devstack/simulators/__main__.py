"""`python -m devstack.simulators`: the outside world as one process on loopback."""

import argparse
from pathlib import Path

from devstack.simulators.app import SimulatorConfig, create_app
from devstack.simulators.clock import epoch
from devstack.simulators.server import server


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m devstack.simulators", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=int, default=8420)
    add("--smtp-port", type=int, default=8425, help="0: no mail server")
    add("--db", type=Path, required=True, help="the SQLite file that is the world's memory")
    add("--speed", type=float, default=7200.0, help="shop seconds per real second")
    add("--anchor", type=epoch, help="the instant (ISO) at which shop time and real time agree")
    add("--seed", type=int, default=1)
    for provider in ("stripe", "easypost", "twilio"):
        add(f"--{provider}-webhook-url")
        add(f"--{provider}-webhook-secret")
    add("--multicapture", action="store_true", help="let a charge be captured in parts")
    add("--webhook-noise", action="store_true", help="3 %% duplicates, 5 %% out of order, 0.5 %% lost")
    return parser.parse_args()


def main() -> None:
    """Run until a signal asks to stop."""
    wanted = vars(_arguments())
    port = wanted.pop("port")
    config = SimulatorConfig(**wanted | {"smtp_port": wanted["smtp_port"] or None})
    server(create_app(config), config.host, port).run()


if __name__ == "__main__":
    main()

"""A running simulator for the tests: the real process, its mail port, and somebody who takes its webhooks."""

import atexit
import json
import smtplib
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx
import pytest

from devstack.ports import Ports

ROOT = Path(__file__).parents[3]
FROM = {
    "name": "Shop",
    "street1": "1 Dock Rd",
    "city": "Newark",
    "state": "NJ",
    "zip": "07101",
    "country": "US",
}
TO = {
    "name": "Ada",
    "street1": "5 Elm St",
    "city": "Portland",
    "state": "OR",
    "zip": "97201",
    "country": "US",
}
PARCEL = {"length": 10, "width": 8, "height": 4, "weight": 24}
T = TypeVar("T")
PORTS = Ports()  # held as long as the tests run
atexit.register(PORTS.release)
STRIPE_SECRET, EASYPOST_SECRET, TWILIO_TOKEN = "whsec_tests", "sécret", "a-twilio-token"


def free_port() -> int:
    return PORTS.any()


def wait_for(ask: Callable[[], T], seconds: float = 8.0) -> T:
    """Return the first truthy answer."""
    end = time.monotonic() + seconds
    while not (answer := ask()):
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
    return answer


class Listener:
    """Takes webhooks and keeps what was sent; refuses as many as it is told to."""

    def __init__(self) -> None:
        self.taken: list[tuple[dict[str, str], bytes]] = []
        self.refusing = 0
        self.refused: list[tuple[dict[str, str], bytes]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        listener = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                listener.take(self.path, dict(self.headers.items()), body, self)

            def log_message(self, *words: object) -> None: ...

        return Handler

    def take(self, path: str, headers: dict[str, str], body: bytes, handler: BaseHTTPRequestHandler) -> None:
        refused = self.refusing > 0
        self.refusing -= refused
        (self.refused if refused else self.taken).append(({"path": path} | headers, body))
        handler.send_response(503 if refused else 204)
        handler.send_header("content-length", "0")
        handler.end_headers()

    def events(self, word: str) -> list[dict[str, Any]]:
        """Return the accepted events whose body mentions a word, in the order they came."""
        return [json.loads(body) for _, body in list(self.taken) if word.encode() in body]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Simulator:
    """The simulator as its own process, which can be killed and started again on the same file."""

    def __init__(self, db: Path, listener: Listener | None = None, speed: float = 1_000_000) -> None:
        self.db, self.speed, self._listener = db, speed, listener
        self.port, self.smtp_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.http = httpx.Client(base_url=self.url, timeout=10.0)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "devstack.simulators", "--db", str(self.db), "--seed", "7"]
        command += ["--port", str(self.port), "--smtp-port", str(self.smtp_port), "--speed", str(self.speed)]
        if self._listener:
            command += ["--stripe-webhook-url", f"{self._listener.url}/stripe"]
            command += ["--stripe-webhook-secret", STRIPE_SECRET]
            command += ["--easypost-webhook-url", f"{self._listener.url}/easypost"]
            command += ["--easypost-webhook-secret", EASYPOST_SECRET]
            command += ["--twilio-webhook-url", f"{self._listener.url}/twilio"]
            command += ["--twilio-webhook-secret", TWILIO_TOKEN]
        self._process = subprocess.Popen(command, cwd=ROOT)
        wait_for(self._answers)

    def _answers(self) -> bool:
        try:
            return self.http.get("/_sim/clock").is_success
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """End the process as a power cut would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def stop(self) -> float:
        """Ask the process to end and return the seconds it took."""
        assert self._process is not None
        began = time.monotonic()
        self._process.terminate()
        self._process.wait(timeout=5)
        return time.monotonic() - began

    def fault(self, kind: str, when: str = "before", **more: Any) -> dict[str, Any]:
        answer = self.http.post("/_sim/faults", json={"kind": kind, "when": when, "times": 1} | more)
        assert answer.status_code == 201, answer.text
        armed: dict[str, Any] = answer.json()
        return armed

    def ledger(self) -> dict[str, Any]:
        found: dict[str, Any] = self.http.get("/_sim/ledger").json()
        return found

    def payment(self, order: str) -> dict[str, Any]:
        """Return the only payment the provider's own books know of an order."""
        (found,) = [payment for payment in self.ledger()["payments"] if payment["order"] == order]
        return dict(found)

    def label(self, reference: str, carrier: str = "USPS") -> dict[str, Any]:
        """Return a shipment with a bought label."""
        auth = {"authorization": "Bearer k"}
        body = {
            "shipment": {"from_address": FROM, "to_address": TO, "parcel": PARCEL, "reference": reference}
        }
        shipment = self.http.post("/easypost/v2/shipments", json=body, headers=auth).json()
        rate = next(rate for rate in shipment["rates"] if rate["carrier"] == carrier)
        path = f"/easypost/v2/shipments/{shipment['id']}/buy"
        bought: dict[str, Any] = self.http.post(path, json={"rate": {"id": rate["id"]}}, headers=auth).json()
        return bought

    def travel(self, reference: str, profile: str, carrier: str = "USPS") -> str:
        """Hand over a parcel of a profile and return its number."""
        self.http.post("/_sim/parcels", json={"match": {"reference": reference}, "profile": profile})
        code: str = self.label(reference, carrier)["tracking_code"]
        self.http.post(f"/_sim/parcels/{code}/handed_over")
        return code

    def arrive(self, code: str) -> dict[str, Any]:
        """Wait until every planned scan has happened and return the tracker."""
        wait_for(
            lambda: all(scan["fired"] for scan in self.http.get(f"/_sim/parcels/{code}").json()["scans"])
        )
        answer = self.http.get(f"/easypost/v2/trackers/{code}", headers={"authorization": "Bearer k"})
        tracker: dict[str, Any] = answer.json()
        return tracker

    def send_mail(
        self, to: str, message_id: str = "<m@shop>", subject: str = "Shipped", text: str = "Hi"
    ) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"], mail["Message-ID"] = "shop@shop", to, subject, message_id
        mail["Date"] = "Mon, 23 Nov 2026 12:00:00 +0000"
        mail.set_content(text)
        mail.add_alternative(f"<p>{text}</p>", subtype="html")
        with smtplib.SMTP("127.0.0.1", self.smtp_port, timeout=5) as client:
            client.send_message(mail)


@pytest.fixture(scope="session")
def listener() -> Iterator[Listener]:
    listener = Listener()
    yield listener
    listener.close()


@pytest.fixture(scope="session")
def shared(tmp_path_factory: pytest.TempPathFactory, listener: Listener) -> Iterator[Simulator]:
    """A world in which ten minutes pass in a second: no hold runs out during a test."""
    yield from _running(Simulator(tmp_path_factory.mktemp("world") / "world.sqlite", listener, speed=600))


@pytest.fixture(scope="session")
def fast(tmp_path_factory: pytest.TempPathFactory, listener: Listener) -> Iterator[Simulator]:
    """A world in which a week passes in half a second: whole journeys end during a test."""
    yield from _running(
        Simulator(tmp_path_factory.mktemp("fast") / "world.sqlite", listener, speed=1_200_000)
    )


def _running(simulator: Simulator) -> Iterator[Simulator]:
    simulator.start()
    yield simulator
    simulator.stop()
    simulator.http.close()


@pytest.fixture
def simulator(shared: Simulator, listener: Listener) -> Iterator[Simulator]:
    """The shared world; each test uses orders of its own and leaves no fault behind."""
    yield shared
    listener.refusing = 0
    shared.http.delete("/_sim/faults")


@pytest.fixture
def mortal(tmp_path: Path, listener: Listener) -> Iterator[Simulator]:
    """A world of the test's own, which it starts and ends as it likes."""
    simulator = Simulator(tmp_path / "world.sqlite", listener, speed=600)
    yield simulator
    simulator.kill()
    simulator.http.close()


@pytest.fixture(scope="session")
def wait() -> Callable[..., Any]:
    """`wait(ask)` returns the first truthy answer."""
    return wait_for

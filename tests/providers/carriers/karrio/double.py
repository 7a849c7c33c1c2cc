"""A stand-in for a Karrio server, at the HTTP boundary: what karrio 2026.1.32 answered, cut to what matters.

It buys, cancels and refuses as that server does, tests/conformance/test_karrio.py holds both against the same tests,
and it can lose an answer after the deed.
"""

import json
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, Any]]

OFFERS = (
    {"carrier_name": "ups", "service": "ups_ground", "total_charge": 9.871, "transit_days": 4},
    {"carrier_name": "usps", "service": "usps_ground_advantage", "total_charge": 7.5, "transit_days": None},
)
NO_RATE = {"carrier_name": "fedex", "code": "RATE.LOCATION.NOSERVICE", "message": "no service there"}
TRACKER = {
    "carrier_name": "ups",
    "tracking_number": "1Z12345E6205277936",
    "status": "in_transit",
    "estimated_delivery": "2026-11-27",
    "events": [
        {
            "date": "2026-11-24",
            "time": "10:39 AM",
            "timestamp": "2026-11-24T10:39:00.000Z",
            "code": "OR",
            "status": "in_transit",
            "location": "RENO, NV, 89501, US",
            "description": "Origin Scan",
        },
    ],
}


class KarrioDouble:
    """The server: `key_1` may call it. `refusal` is what its carriers say to a purchase, `trackers` what they know."""

    def __init__(self) -> None:
        self.shipments: dict[str, dict[str, Any]] = {}
        self.trackers: dict[str, dict[str, Any]] = {}
        self.refusal: Answer | None = None
        self.loses_answers = False
        self.asked: list[tuple[str, str, Any]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def answer(self, method: str, path: str, body: Mapping[str, Any]) -> Answer:
        self.asked.append((method, path, body))
        if path.startswith("/v1/trackers"):
            tracker = self.trackers.get(body["tracking_number"])
            return (202, tracker) if tracker else _error(404, "not_found", "No active carrier connection")
        if path == "/v1/shipments":
            return self._create(body)
        _, _, _, name, *deed = path.split("/")
        shipment = self.shipments.get(name)
        if shipment is None:
            return _error(404, "not_found", "Shipment not found")
        if deed == ["purchase"]:
            return self._purchase(shipment, body)
        return self._cancel(shipment) if deed == ["cancel"] else (200, shipment)

    def _create(self, body: Mapping[str, Any]) -> Answer:
        if body["recipient"]["country_code"] == "XX":
            return _error(400, "validation", 'recipient.country_code: "XX" is not a valid choice.')
        name = f"shp_{len(self.shipments)}"
        rates = [{"id": f"rat_{name}_{n}", "currency": "USD"} | offer for n, offer in enumerate(OFFERS)]
        unsold = {"selected_rate": None, "tracking_number": None, "label_url": None}
        self.shipments[name] = {"id": name, "status": "draft", "rates": rates, "messages": [NO_RATE]} | unsold
        return 201, self.shipments[name]

    def _purchase(self, shipment: dict[str, Any], body: Mapping[str, Any]) -> Answer:
        if shipment["status"] != "draft":
            return _error(
                409, "state_error", f"The shipment is '{shipment['status']}' and cannot be purchased again"
            )
        if self.refusal:
            return self.refusal
        rate = next((rate for rate in shipment["rates"] if rate["id"] == body["selected_rate_id"]), None)
        if rate is None:
            return _error(
                400,
                "service_unavailable",
                "The service you selected is not available for this shipment.",
            )
        url = f"/v1/shipments/{shipment['id']}/label.pdf"
        shipment |= {"status": "created", "selected_rate": rate, "tracking_number": "1Z1", "label_url": url}
        return 200, shipment

    def _cancel(self, shipment: dict[str, Any]) -> Answer:
        if shipment["status"] == "cancelled":
            return 202, shipment
        if shipment["status"] not in ("draft", "created"):
            return _error(409, "state_error", "can not be cancelled anymore...")
        if self.refusal:
            return self.refusal
        shipment["status"] = "cancelled"
        return 200, shipment

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        double = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._serve({})

            def do_POST(self) -> None:
                self._serve(json.loads(self.rfile.read(int(self.headers["content-length"]))))

            def _serve(self, body: Mapping[str, Any]) -> None:
                if self.headers["authorization"] != "Token key_1":
                    self._send(*_error(401, "invalid_token", "Given token not valid"))
                    return
                status, said = double.answer(self.command, self.path, body)
                if double.loses_answers:
                    self.close_connection = True
                    return
                self._send(status, said)

            def _send(self, status: int, body: Mapping[str, Any]) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.send_header("x-request-id", "req_1")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *words: object) -> None: ...

        return Handler


def _error(status: int, code: str, message: str) -> Answer:
    return status, {"errors": [{"code": code, "level": "error", "message": message}]}


def carriers_say(code: str, message: str, status: int = 424) -> Answer:
    """Return what Karrio answers when the carrier behind it refused."""
    return status, {"messages": [{"carrier_name": "ups", "code": code, "message": message}]}

"""The carrier aggregator: shipments, labels and trackers as EasyPost's API speaks them. It knows no keys."""

import random
import struct
import zlib
from types import MappingProxyType
from typing import Any, Final, NoReturn
from uuid import uuid4

from devstack.simulators import rates
from devstack.simulators.clock import Clock, iso
from devstack.simulators.faults import Faults
from devstack.simulators.parcels import Parcels
from devstack.simulators.store import Json, Row, Store, dump, load
from devstack.simulators.wire import Answer, Call, Refusal, Routes, as_json

REFUND_TAKES: Final = 12 * 3600  # shop seconds until a submitted refund is paid
LABEL_TYPES: Final = MappingProxyType(
    {"PNG": "image/png", "PDF": "application/pdf", "ZPL": "application/zpl"}
)
_NO_SUCH_PLACE: Final = "undeliverable"  # words in a street that decide what its verification says
_ONE_OF_SEVERAL: Final = "ambiguous"
_NEXT_DOOR: Final = "misspelt"
_CORRECTED: Final = (_NEXT_DOOR, _ONE_OF_SEVERAL)  # words that are gone from a street as the carriers know it
_CODES: Final = MappingProxyType(
    {
        400: "BAD_REQUEST",
        429: "RATE_LIMITED",
        500: "INTERNAL_SERVER_ERROR",
        502: "BAD_GATEWAY",
        503: "SERVICE_UNAVAILABLE",
        504: "GATEWAY_TIMEOUT",
    }
)


class EasyPost:
    """EasyPost's desk."""

    provider = "easypost"

    def __init__(self, store: Store, clock: Clock, parcels: Parcels, faults: Faults, seed: int) -> None:
        self._store, self._clock, self._parcels = store, clock, parcels
        self._faults, self._seed = faults, seed
        self._routes = Routes(
            [
                ("POST", "/v2/shipments", self._create),
                ("GET", "/v2/shipments/*", self._get),
                ("POST", "/v2/shipments/*/rerate", self._rerate),
                ("POST", "/v2/shipments/*/buy", self._buy),
                ("POST", "/v2/shipments/*/refund", self._refund),
                ("POST", "/v2/scan_forms", self._ask_for_form),
                ("GET", "/v2/scan_forms/*", self._form),
                ("GET", "/v2/trackers", self._trackers),
                ("POST", "/v2/trackers", self._follow),
                ("GET", "/v2/trackers/*", self._tracker),
                ("POST", "/v2/addresses", self._address),
                ("POST", "/v2/addresses/create_and_verify", self._verify),
            ]
        )

    # The wire

    def begin(self, call: Call) -> Answer | None:
        """Let every call in: without keys no two calls are the same."""
        return None

    def end(self, call: Call) -> None:
        """Nothing was noted."""

    def failure(self, status: int, *, retry_after: int | None = None) -> Answer:
        """Return an error of EasyPost itself."""
        code = _CODES.get(status, "INTERNAL_SERVER_ERROR")
        answer = _error(status, code, "Something is wrong on our side. Please try again.")
        if retry_after is not None:
            answer.headers["retry-after"] = str(retry_after)
        answer.headers["x-ep-request-uuid"] = uuid4().hex
        return answer

    def references(self, call: Call) -> list[str]:
        """Return the reference in the body, and the one of the shipment in the path."""
        sent = call.params.get("shipment")
        words = [str(sent["reference"])] if isinstance(sent, dict) and sent.get("reference") else []
        parts = call.path.split("/")
        row = self._store.row("SELECT reference FROM shipments WHERE id = ?", parts[3] if parts[3:] else "")
        return [*words, row["reference"]] if row else words

    def serve(self, call: Call) -> Answer:
        """Answer one call."""
        if not call.headers.get("authorization", "").startswith(("Basic ", "Bearer ")):
            return _error(401, "UNAUTHORIZED", "This api key is no longer active.")
        found = self._routes.find(call.method, call.path)
        if found is None:
            return _error(404, "NOT_FOUND", "The requested resource could not be found.")
        if call.decline_code:
            return _error(422, "SHIPMENT.POSTAGE.FAILURE", "The carrier refused the request.", ["refused"])
        handler, ids = found
        answer = handler(call, *ids)
        answer = self.failure(500) if call.stored_failure else answer
        answer.headers["x-ep-request-uuid"] = uuid4().hex
        return answer

    # Shipments

    def _create(self, call: Call) -> Answer:
        sent = call.params.get("shipment")
        if not isinstance(sent, dict):
            _refuse(422, "PARAMETER.REQUIRED", "Missing required parameter.", _field("shipment"))
        missing = [name for name in ("to_address", "from_address") if not isinstance(sent.get(name), dict)]
        if missing:
            _refuse(422, "PARAMETER.REQUIRED", "Missing required parameter.", *map(_field, missing))
        shipment = self._new_shipment(call, sent)
        self._store.run(
            "INSERT INTO shipments (id, reference, created, doc) VALUES (?, ?, ?, ?)",
            shipment["id"], shipment["reference"] or "", self._clock.now(), dump(shipment),
        )  # fmt: skip
        return as_json(shipment, 201)

    def _rerate(self, call: Call, identity: str) -> Answer:
        """Ask the carriers again; what they said before is not sold any more."""
        shipment = load(self._row(identity)["doc"])
        way = rates.lane(shipment["from_address"], shipment["to_address"], self._seed)
        found, messages = self._quotes(call, shipment["to_address"], shipment["parcel"], way, shipment)
        now = iso(self._clock.now())
        common: Json = {"shipment_id": identity, "created_at": now, "updated_at": now}
        shipment |= {"rates": [rate | common for rate in found], "messages": messages, "updated_at": now}
        self._store.run("UPDATE shipments SET doc = ? WHERE id = ?", dump(shipment), identity)
        return as_json(shipment)

    def _new_shipment(self, call: Call, sent: Json) -> Json:
        identity, now = "shp_" + uuid4().hex, iso(self._clock.now())
        origin, to = self._kept_address(sent["from_address"]), self._kept_address(sent["to_address"])
        parcel = _parcel(sent.get("parcel"), now)
        way = rates.lane(origin, to, self._seed)
        found, messages = self._quotes(call, to, parcel, way, sent)
        common: Json = {"shipment_id": identity, "created_at": now, "updated_at": now}
        return {
            "id": identity, "object": "Shipment", "mode": "test", "created_at": now, "updated_at": now,
            "reference": sent.get("reference"), "status": "unknown", "from_address": origin, "to_address": to,
            "buyer_address": to, "return_address": origin, "parcel": parcel, "batch_id": None,
            "customs_info": sent.get("customs_info"), "options": sent.get("options") or {},
            "rates": [rate | common for rate in found], "messages": messages, "selected_rate": None,
            "postage_label": None, "tracker": None, "tracking_code": None, "refund_status": None,
            "insurance": None, "fees": [], "forms": [], "is_return": False, "scan_form": None,
            "usps_zone": way.zone, "order_id": None,
        }  # fmt: skip

    def _quotes(
        self, call: Call, to: Json, parcel: Json | None, way: rates.Lane, sent: Json
    ) -> tuple[list[Json], list[Json]]:
        """Return rates and messages. A carrier that fails is a message in a good answer."""
        if parcel is None:
            return [], []
        found, messages = rates.quotes(to, parcel, way, self._seed)
        away = [carrier for carrier in rates.CARRIERS if self._is_down(carrier, call, sent)]
        messages += [rates.said_by(carrier, "carrier did not respond in time") for carrier in away]
        found = [rate for rate in found if rate["carrier"] not in away]
        return [{"id": "rate_" + uuid4().hex} | rate for rate in found], messages

    def _get(self, call: Call, identity: str) -> Answer:
        row = self._row(identity)
        return as_json(self._now(row))

    def _now(self, row: Row) -> Json:
        """Return a shipment as it is at this moment: its parcel may have moved, its refund been paid."""
        shipment = load(row["doc"])
        if row["tracking_code"]:
            shipment["tracker"] = tracker = self._parcels.tracker(row["tracking_code"])
            shipment["status"] = tracker["status"]
        if row["refund_at"] is not None and row["refund_at"] <= self._clock.now():
            shipment["refund_status"] = "refunded"
        return shipment

    def _buy(self, call: Call, identity: str) -> Answer:
        row = self._row(identity)
        shipment = load(row["doc"])
        if row["tracking_code"]:
            message = "Postage already exists for this shipment."
            _refuse(422, "SHIPMENT.POSTAGE.EXISTS", message)
        rate = self._chosen(call, shipment)
        if self._is_down(rate["carrier"], call, shipment):  # no refusal: that a fault struck is kept
            return _error(422, "SHIPMENT.POSTAGE.NO_RESPONSE", "The carrier did not respond in time.")
        self._print(call, shipment, rate)
        cents = round(float(rate["rate"]) * 100)
        sql = "UPDATE shipments SET tracking_code = ?, cost = ?, bought = ?, doc = ? WHERE id = ?"
        kept = dump(shipment)
        self._store.run(sql, shipment["tracking_code"], cents, self._clock.now(), kept, identity)
        return as_json(self._now(self._row(identity)))

    def _chosen(self, call: Call, shipment: Json) -> Json:
        wanted = call.params.get("rate")
        name = wanted.get("id") if isinstance(wanted, dict) else wanted
        if not name:
            _refuse(422, "PARAMETER.REQUIRED", "Missing required parameter.", _field("rate"))
        chosen: Json | None = next((rate for rate in shipment["rates"] if rate["id"] == name), None)
        if chosen is None:
            _refuse(422, "SHIPMENT.RATE.NOT_FOUND", "The rate is not this shipment's.", "rate not found")
        return chosen

    def _is_down(self, carrier: str, call: Call, shipment: Json) -> bool:
        references = [str(shipment.get("reference") or "")]
        return self._faults.on_carrier(carrier, call.method, call.path, references)

    def _print(self, call: Call, shipment: Json, rate: Json) -> None:
        reference = str(shipment["reference"] or "")
        code = self._parcels.print_number(rate["carrier"], rate["service"], reference)
        way = rates.lane(shipment["from_address"], shipment["to_address"], self._seed)
        self._parcels.register(
            code, carrier=rate["carrier"], lane=way, days=rate["delivery_days"], reference=reference,
            shipment=shipment["id"],
        )  # fmt: skip
        now, kind = iso(self._clock.now()), str(shipment["options"].get("label_format") or "PNG").upper()
        shipment |= {"tracking_code": code, "selected_rate": rate, "status": "pre_transit", "updated_at": now}
        shipment["fees"] = [_fee("LabelFee", "0.05000"), _fee("PostageFee", rate["rate"])]
        shipment["postage_label"] = {
            "id": "pl_" + uuid4().hex, "object": "PostageLabel", "created_at": now, "updated_at": now,
            "integrated_form": "none", "label_date": now, "label_epl2_url": None, "label_file": None,
            "label_file_type": LABEL_TYPES[kind], "label_pdf_url": None, "label_resolution": 300,
            "label_size": "4x6", "label_type": "default", "label_zpl_url": None, "date_advance": 0,
            "label_url": f"{call.base_url}/easypost/labels/{code}.{kind.lower()}",
        }  # fmt: skip

    def _refund(self, call: Call, identity: str) -> Answer:
        row = self._row(identity)
        if not row["tracking_code"]:
            message = "There is no postage to refund."
            _refuse(422, "SHIPMENT.REFUND.UNAVAILABLE", message)
        shipment = load(row["doc"])
        if shipment["refund_status"] is None:
            self._ask_back(row, shipment)
        return as_json(self._now(self._row(identity)))

    def _ask_back(self, row: Row, shipment: Json) -> None:
        """Note the refund. A parcel the carrier has seen was carried: its postage is spent."""
        used = self._parcels.scanned(row["tracking_code"])
        shipment["refund_status"] = "rejected" if used else "submitted"
        paid_at = None if used else self._clock.now() + REFUND_TAKES
        sql = "UPDATE shipments SET refund_at = ?, doc = ? WHERE id = ?"
        self._store.run(sql, paid_at, dump(shipment), row["id"])

    def _row(self, identity: str) -> Row:
        row = self._store.row("SELECT * FROM shipments WHERE id = ?", identity)
        if row is None:
            _refuse(404, "NOT_FOUND", "The requested resource could not be found.")
        return row

    # Scan forms

    def _ask_for_form(self, call: Call) -> Answer:
        asked = call.params.get("scan_form")  # as EasyPost's own clients send it; its examples send it bare
        sent = (asked if isinstance(asked, dict) else call.params).get("shipments")
        if not isinstance(sent, list) or not sent:
            _refuse(422, "PARAMETER.REQUIRED", "Missing required parameter.", _field("shipments"))
        shipments = [
            self._now(self._row(str(one.get("id") if isinstance(one, dict) else one))) for one in sent
        ]
        why = _no_form(shipments)
        form = self._new_form(shipments, why)
        self._store.run("INSERT INTO scan_forms (id, asked, doc) VALUES (?, 0, ?)", form["id"], dump(form))
        for shipment in shipments if not why else ():
            kept = dump(load(self._row(shipment["id"])["doc"]) | {"scan_form": form})
            self._store.run("UPDATE shipments SET doc = ? WHERE id = ?", kept, shipment["id"])
        return as_json(form, 201)

    def _new_form(self, shipments: list[Json], why: str) -> Json:
        now = iso(self._clock.now())
        return {
            "id": "sf_" + uuid4().hex, "object": "ScanForm", "created_at": now, "updated_at": now,
            "status": "failed" if why else "creating", "message": why or None,
            "address": shipments[0]["from_address"], "form_url": None, "form_file_type": None,
            "tracking_codes": [shipment["tracking_code"] for shipment in shipments], "batch_id": None,
        }  # fmt: skip

    def _form(self, call: Call, identity: str) -> Answer:
        """Answer with a form; one that is asked about for the second time has been made meanwhile."""
        row = self._store.row("SELECT * FROM scan_forms WHERE id = ?", identity)
        if row is None:
            _refuse(404, "NOT_FOUND", "The requested resource could not be found.")
        form = load(row["doc"])
        if form["status"] == "creating" and row["asked"]:
            url = f"{call.base_url}/easypost/forms/{identity}.pdf"
            form |= {"status": "created", "form_url": url, "form_file_type": "application/pdf"}
        sql = "UPDATE scan_forms SET asked = asked + 1, doc = ? WHERE id = ?"
        self._store.run(sql, dump(form), identity)
        return as_json(form)

    # Trackers

    def _trackers(self, call: Call) -> Answer:
        asked = call.params.get("tracking_code") or call.params.get("tracking_codes")
        codes = [str(code) for code in asked.values()] if isinstance(asked, dict) else [str(asked)]
        return as_json({"trackers": self._parcels.trackers(codes if asked else None), "has_more": False})

    def _follow(self, call: Call) -> Answer:
        sent = call.params.get("tracker")
        asked: Json = sent if isinstance(sent, dict) else call.params
        if not asked.get("tracking_code"):
            _refuse(422, "PARAMETER.REQUIRED", "Missing required parameter.", _field("tracking_code"))
        return as_json(self._parcels.follow(str(asked["tracking_code"]), asked.get("carrier")), 201)

    def _tracker(self, call: Call, identity: str) -> Answer:
        tracker = self._parcels.tracker_by_id(identity)
        if tracker is None:
            _refuse(404, "NOT_FOUND", "The requested resource could not be found.")
        return as_json(tracker)

    # Addresses

    def _kept_address(self, sent: Json) -> Json:
        now = iso(self._clock.now())
        names = [
            "name",
            "company",
            "street1",
            "street2",
            "city",
            "state",
            "zip",
            "country",
            "phone",
            "email",
            "residential",
        ]
        kept = {name: sent.get(name) for name in names}
        identity = {"id": "adr_" + uuid4().hex, "object": "Address", "mode": "test"}
        return (
            identity
            | {"created_at": now, "updated_at": now}
            | kept
            | {"country": sent.get("country") or "US"}
        )

    def _address(self, call: Call) -> Answer:
        sent = call.params.get("address")
        if not isinstance(sent, dict):
            _refuse(422, "PARAMETER.REQUIRED", "Missing required parameter.", _field("address"))
        errors = _address_errors(sent)
        address = self._kept_address(sent)
        if call.params.get("verify_strict") and errors:
            _refuse(422, "ADDRESS.VERIFY.FAILURE", "Unable to verify address.", *errors)
        if call.params.get("verify"):
            address |= _as_known(address) | {"verifications": _verifications(errors)}
        return as_json(address, 201)

    def _verify(self, call: Call) -> Answer:
        sent = call.params.get("address")
        fields = sent if isinstance(sent, dict) else call.params
        errors = _address_errors(fields)
        if errors:
            _refuse(422, "ADDRESS.VERIFY.FAILURE", "Unable to verify address.", *errors)
        address = self._kept_address(fields) | {"verifications": _verifications([])}
        return as_json({"address": address}, 201)


def _no_form(shipments: list[Json]) -> str:
    """Return why these shipments cannot be on one form."""
    if any(not shipment["tracking_code"] or shipment["refund_status"] for shipment in shipments):
        return "Every shipment must have postage that was not refunded."
    if any(shipment["scan_form"] for shipment in shipments):
        return "A shipment may only be added to one scan form."
    if len({shipment["selected_rate"]["carrier"] for shipment in shipments}) > 1:
        return "All shipments must be of the same carrier account."
    places = {(one["from_address"]["street1"], one["from_address"]["zip"]) for one in shipments}
    return "All shipments must have the same origin address." if len(places) > 1 else ""


def _parcel(sent: Any, now: str) -> Json | None:
    if not isinstance(sent, dict):
        return None
    sides = {name: sent.get(name) for name in ("length", "width", "height", "predefined_package", "weight")}
    return {"id": "prcl_" + uuid4().hex, "object": "Parcel", "mode": "test", "created_at": now} | sides


def _fee(kind: str, amount: str) -> Json:
    return {"object": "Fee", "type": kind, "amount": amount, "charged": True, "refunded": False}


def _address_errors(address: Json) -> list[Json]:
    """Return what a carrier would find wrong: a missing part, or a place that says it does not exist."""
    required = ("street1", "city", "zip") if (address.get("country") or "US") == "US" else ("street1", "city")
    errors = [_complaint(f"E.{name.upper()}.MISSING", name) for name in required if not address.get(name)]
    street = str(address.get("street1") or "").lower()
    if _NO_SUCH_PLACE in street:
        errors.append(_complaint("E.ADDRESS.NOT_FOUND", "address"))
    if _ONE_OF_SEVERAL in street:
        errors.append(_complaint("E.ADDRESS.MULTIPLE", "address"))
    return errors


def _as_known(address: Json) -> Json:
    """Return what a carrier would write instead: a street that is misspelt lies in the next postal area.

    Where it was one of several as well, that is the one they take it for.
    """
    street, postal = str(address.get("street1") or ""), str(address.get("zip") or "")
    if _NEXT_DOOR not in street.lower() or not postal.isdigit():
        return {}
    words = [word for word in street.split() if word.lower() not in _CORRECTED]
    return {"street1": " ".join(words), "zip": f"{int(postal) + 1:0{len(postal)}d}"}


def _complaint(code: str, name: str) -> Json:
    found = {
        "E.ADDRESS.NOT_FOUND": "Address not found",
        "E.ADDRESS.MULTIPLE": "Multiple addresses were returned",
    }
    text = found.get(code, f"Missing {name}")
    return {"code": code, "field": name, "message": text, "suggestion": None}


def _verifications(errors: list[Json]) -> Json:
    return {"delivery": {"success": not errors, "errors": errors, "details": {}}}


def _field(name: str) -> Json:
    return {"field": name, "message": "cannot be blank"}


def _error(status: int, code: str, message: str, errors: list[Any] | None = None) -> Answer:
    return as_json({"error": {"code": code, "message": message, "errors": errors or []}}, status)


def _refuse(status: int, code: str, message: str, *errors: Any) -> NoReturn:
    answer = _error(status, code, message, list(errors))
    answer.headers["x-ep-request-uuid"] = uuid4().hex
    raise Refusal(answer)


def label_file(code: str, kind: str) -> bytes:
    """Return a label as PNG, PDF or ZPL; the same number always gives the same bytes."""
    match kind:
        case "pdf":
            return _label_pdf(code)
        case "zpl":
            return f"^XA^FO50,300^BY2^BCN,160,Y^FD{code}^FS^XZ\n".encode()
        case _:
            return label_image(code)


def _label_pdf(code: str) -> bytes:
    """Return a page of 4 by 6 inches (288 by 432 points) with the number on it."""
    drawn = f"BT /F1 14 Tf 24 200 Td ({code}) Tj ET".encode()
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 288 432] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>"
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        page,
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(drawn), drawn),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    content, places = b"%PDF-1.4\n", []
    for number, body in enumerate(objects, 1):
        places.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, body)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    count = len(objects) + 1
    trailer = b"trailer\n<< /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (count, len(content))
    return content + b"xref\n0 %d\n0000000000 65535 f \n" % count + table + trailer


def label_image(code: str) -> bytes:
    """Return a 4x6 label as PNG: one bit per pixel, bars drawn from the tracking number."""
    width, height = 384, 576
    bars = random.Random(code).getrandbits(width).to_bytes(width // 8, "big")
    white, ruled = b"\xff" * (width // 8), b"\x00" * (width // 8)
    lines = [
        bars if 300 < y < 460 else ruled if y in (4, 180, 280, 480, 571) else white for y in range(height)
    ]
    pixels = zlib.compress(b"".join(b"\x00" + line for line in lines))
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", pixels), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(name, data) for name, data in chunks)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

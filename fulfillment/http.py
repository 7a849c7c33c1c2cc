"""HTTP, and what its failures mean. The only import of httpx.

A connection that was never made changed nothing. Once a change has been sent, every answer that cannot be read
leaves its outcome unknown. Nothing here tries again: retries are Temporal's.
"""

import ipaddress
import socket
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final, Self
from urllib.parse import urlsplit

import httpx

from fulfillment.domain.provider_errors import (
    AuthConfig,
    NotFound,
    OutcomeUnknown,
    ProviderUnavailable,
    RateLimited,
    Rejected,
)

_CONNECT_TIMEOUT: Final = 3.0
_POOL: Final = httpx.Limits(
    max_connections=64,
    max_keepalive_connections=32,
    # Shorter than the five seconds after which common servers hang up: a change sent into a connection that
    # is being closed would be in doubt for nothing.
    keepalive_expiry=4.0,
)
_NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.ProxyError)
_LOCAL: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_HOOK_TIMEOUT: Final = 20.0
_LARGEST_FILE: Final = 5_000_000  # bytes
_USUAL_WAIT: Final = timedelta(seconds=1)

Form = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """A provider's readable answer. `body` is empty where the answer was no JSON object."""

    status: int
    body: Mapping[str, Any]
    headers: Mapping[str, str]
    request_id: str
    was_change: bool


Explain = Callable[[Reply], Exception | None]


class ProviderHttp:
    """A long-lived connection to one provider; threads may share it.

    `explain` is the provider's own reading of a refusal (status 400 and above); where it has none, the status
    alone decides. `read_timeout` is in seconds. Paths are appended to `base_url`.
    """

    def __init__(
        self,
        name: str,
        base_url: str,
        *,
        headers: Mapping[str, str],
        read_timeout: float,
        request_id_header: str,
        explain: Explain,
    ) -> None:
        self._name, self._explain, self._request_id_header = name, explain, request_id_header
        self._client = httpx.Client(
            base_url=base_url,
            headers=dict(headers),
            timeout=httpx.Timeout(read_timeout, connect=_CONNECT_TIMEOUT),
            limits=_POOL,
            trust_env=not _is_local(base_url),
        )
        self._files = httpx.Client(  # without our key
            timeout=self._client.timeout,
            limits=_POOL,
            trust_env=not _is_local(base_url),
            follow_redirects=True,
        )

    def read(self, path: str, params: Form = ()) -> Reply:
        """Ask for something; any trouble on the way is `ProviderUnavailable`."""
        return self._exchange(self._client.build_request("GET", path, params=list(params)), change=False)

    def submit(self, path: str, form: Form, *, headers: Mapping[str, str]) -> Reply:
        """Send a change as a form.

        Raises:
            OutcomeUnknown: it was sent and no readable answer came.
            ProviderError: see `fulfillment.domain.provider_errors`; and whatever `explain` returns.
        """
        content = str(httpx.QueryParams(list(form))).encode()
        headers = {"content-type": "application/x-www-form-urlencoded", **headers}
        return self._exchange(
            self._client.build_request("POST", path, content=content, headers=headers), change=True
        )

    def post(self, path: str, body: Mapping[str, Any], *, change: bool = True) -> Reply:
        """Send JSON. With `change=False` a repeat is free, so trouble on the way is `ProviderUnavailable`."""
        return self._exchange(self._client.build_request("POST", path, json=body), change=change)

    def ask(self, path: str, body: Mapping[str, Any], *, patience: float) -> Reply:
        """Send a question as JSON and wait `patience` seconds for its answer; trouble is `ProviderUnavailable`."""
        timeout = httpx.Timeout(patience, connect=_CONNECT_TIMEOUT)
        return self._exchange(
            self._client.build_request("POST", path, json=body, timeout=timeout), change=False
        )

    def download(self, url: str) -> bytes:
        """Return a file the provider keeps; on another host nothing goes with it that proves who we are.

        Raises:
            ProviderUnavailable: it is not there (yet), or is larger than anything of this kind.
        """
        try:
            with self._keeper_of(url).stream("GET", url) as response:
                response.raise_for_status()
                return self._content(response)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise ProviderUnavailable(f"{self._name}: no file: {error or type(error).__name__}") from error

    def _keeper_of(self, url: str) -> httpx.Client:
        return self._client if url.startswith(str(self._client.base_url)) else self._files

    def _content(self, response: httpx.Response) -> bytes:
        content = b""
        for part in response.iter_bytes():
            content += part
            if len(content) > _LARGEST_FILE:
                raise ProviderUnavailable(f"{self._name}: a file of more than {_LARGEST_FILE} bytes")
        return content

    def close(self) -> None:
        """Close every connection."""
        self._client.close()
        self._files.close()

    def _exchange(self, request: httpx.Request, *, change: bool) -> Reply:
        try:
            response = self._client.send(request)
        except _NOT_SENT as error:
            raise ProviderUnavailable(f"{self._name} is away: {error or type(error).__name__}") from error
        except httpx.RequestError as error:
            raise self._lost(change, f"no answer: {error or type(error).__name__}") from error
        return self._understood(response, change=change)

    def _understood(self, response: httpx.Response, *, change: bool) -> Reply:
        reply = self._reply(response, change=change)
        if response.is_success and reply is not None:
            return reply
        if response.is_success:
            raise self._lost(change, "an answer that is no JSON object", response)
        if error := self._explain(reply or self._bare(response, change=change)):
            raise error
        raise self._by_status(response, change=change)

    def _reply(self, response: httpx.Response, *, change: bool) -> Reply | None:
        try:
            body = response.json()
        except ValueError:
            return None
        return self._bare(response, change=change, body=body) if isinstance(body, dict) else None

    def _bare(
        self, response: httpx.Response, *, change: bool, body: Mapping[str, Any] | None = None
    ) -> Reply:
        return Reply(
            status=response.status_code,
            body=body or {},
            headers={name.lower(): value for name, value in response.headers.items()},
            request_id=self._request_id(response),
            was_change=change,
        )

    def _by_status(self, response: httpx.Response, *, change: bool) -> Exception:
        status, request_id = response.status_code, self._request_id(response)
        said = f"{self._name} answered {status}"
        if status == 429:
            wait = retry_after(response.headers.get("retry-after", ""))
            return RateLimited(said, retry_after=wait, request_id=request_id)
        if status in (408, 425) or status >= 500:
            return self._lost(change, f"status {status}", response)
        if status in (401, 403):
            return AuthConfig(said, request_id=request_id)
        return (NotFound if status == 404 else Rejected)(said, request_id=request_id)

    def _lost(
        self, change: bool, why: str, response: httpx.Response | None = None
    ) -> OutcomeUnknown | ProviderUnavailable:
        kind = OutcomeUnknown if change else ProviderUnavailable
        request_id = "" if response is None else self._request_id(response)
        return kind(f"{self._name}: {why}", request_id=request_id)

    def _request_id(self, response: httpx.Response) -> str:
        return str(response.headers.get(self._request_id_header, ""))


@contextmanager
def legible(reply: Reply) -> Iterator[None]:
    """Read a good answer; one that lacks what it must hold is as good as lost.

    Raises:
        OutcomeUnknown, ProviderUnavailable: it answered a change, or a mere read.
    """
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        kind = OutcomeUnknown if reply.was_change else ProviderUnavailable
        raise kind(f"an answer we cannot read: {error!r}", request_id=reply.request_id) from error


def retry_after(header: str, *, now: datetime | None = None) -> timedelta:
    """Return how long a Retry-After asks us to wait: seconds or a date (RFC 9110 10.2.3), else one second."""
    if header.strip().isdigit():
        return timedelta(seconds=int(header))
    try:
        until = parsedate_to_datetime(header)
    except ValueError:
        return _USUAL_WAIT
    until = until if until.tzinfo else until.replace(tzinfo=UTC)
    return max(until - (now or datetime.now(UTC)), timedelta(0))


def _is_local(url: str) -> bool:
    """Test whether a URL is on this computer: a proxy of the caller's is not for our own servers."""
    return urlsplit(url).hostname in _LOCAL


class ApiError(Exception):
    """Our own API did not do what was asked."""


class ApiAway(ApiError):
    """Nobody answers, or not in time."""


class ApiRefused(ApiError):
    """The API said no; `problem` is its problem+json, `code` the machine's word for it."""

    def __init__(self, status: int, problem: Mapping[str, Any]) -> None:
        self.status, self.problem = status, problem
        self.code = str(problem.get("code", ""))
        self.detail = str(problem.get("detail") or problem.get("title") or f"status {status}")
        super().__init__(self.detail)


class ApiClient:
    """Our own API as bots, the command line and the audit use it. Threads may share one."""

    def __init__(self, client: httpx.Client) -> None:
        self._client = client

    def get(self, path: str, **params: str | int | None) -> Any:
        """Return the answer's JSON; parameters that are None are left out.

        Raises:
            ApiRefused: the API said no.
            ApiAway: nobody answers.
        """
        return self._send("GET", path, params={name: v for name, v in params.items() if v is not None})

    def post(self, path: str, body: Any = None, *, key: str = "") -> Any:
        """Send JSON and return the answer's; `key` makes a repeat harmless. Raises as `get` does."""
        headers = {"idempotency-key": f'"{key}"'} if key else {}
        return self._send("POST", path, json=body, headers=headers)

    def delete(self, path: str) -> Any:
        """Delete what is there. Raises as `get` does."""
        return self._send("DELETE", path)

    def _send(self, method: str, path: str, **what: Any) -> Any:
        try:
            response = self._client.request(method, path, **what)
        except httpx.RequestError as error:
            base = self._client.base_url
            raise ApiAway(f"{base} does not answer: {error or type(error).__name__}") from error
        if not response.is_success:
            raise ApiRefused(response.status_code, _problem(response))
        return response.json() if response.content else None

    def close(self) -> None:
        """Close every connection."""
        self._client.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()


def api_client(base_url: str, key: str = "", *, read_timeout: float = 30.0) -> ApiClient:
    """Return a client of an API of ours; `key` is its API key. Timeouts are in seconds."""
    return ApiClient(
        httpx.Client(
            base_url=base_url,
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=httpx.Timeout(read_timeout, connect=_CONNECT_TIMEOUT),
            limits=_POOL,
            trust_env=not _is_local(base_url),
        )
    )


class Hook:
    """Posts to addresses that others chose. They may name nothing in our own network, unless `to_private`.

    A name is resolved here and the connection made to what was looked at: a name that says something else a moment
    later (DNS rebinding) gains nothing. Redirects are not followed, and no proxy is asked.
    """

    def __init__(self, *, to_private: bool = False) -> None:
        self._to_private = to_private
        timeout = httpx.Timeout(_HOOK_TIMEOUT, connect=_CONNECT_TIMEOUT)
        self._client = httpx.Client(timeout=timeout, limits=_POOL, trust_env=False)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str]]:
        """Return the status and the headers of the answer, names in small letters; its body is not read.

        Raises:
            ProviderUnavailable: nobody answered, or the address is none that we go to.
        """
        asked = httpx.URL(url)
        try:
            where = asked if self._to_private else asked.copy_with(host=_public_address(asked))
            request = self._client.build_request(
                "POST",
                where,
                content=body,
                headers={**headers, "host": asked.netloc.decode()},
                extensions={"sni_hostname": asked.host},
            )
            response = self._client.send(request, stream=True)
            response.close()
        except (httpx.RequestError, httpx.InvalidURL, OSError) as error:
            raise ProviderUnavailable(f"no answer: {error or type(error).__name__}") from error
        return response.status_code, {name.lower(): value for name, value in response.headers.items()}

    def close(self) -> None:
        """Close every connection."""
        self._client.close()


def _public_address(url: httpx.URL) -> str:
    """Return an address of a host, all of whose addresses are public."""
    port = url.port or (443 if url.scheme == "https" else 80)
    found = [info[4][0] for info in socket.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)]
    if inside := [one for one in found if not ipaddress.ip_address(one).is_global]:
        raise ProviderUnavailable(f"{url.host} is {inside[0]}, which is not on the internet")
    return str(found[0])


def metrics_text(url: str) -> str:
    """Return a page of metrics as Prometheus would read it.

    Raises:
        ApiAway: nobody answers.
    """
    try:
        return httpx.get(url, trust_env=not _is_local(url)).raise_for_status().text
    except httpx.HTTPError as error:
        raise ApiAway(f"{url} does not answer: {error}") from error


def asgi_client(app: Any, *, key: str = "") -> httpx.AsyncClient:
    """Return a client that talks to an ASGI application in this process, for tests of the doors."""
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app),
        base_url="http://waybill.test",
        headers={"authorization": f"Bearer {key}"} if key else {},
    )


def _problem(response: httpx.Response) -> Mapping[str, Any]:
    try:
        said = response.json()
    except ValueError:
        return {"detail": response.text[:300]}
    return said if isinstance(said, dict) else {"detail": str(said)[:300]}

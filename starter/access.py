"""Who may pass which door: API keys with scopes, and tracking links. What is not allowed is denied."""

import hashlib
import hmac
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Final

from fastapi import Depends, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBasic, HTTPBasicCredentials, HTTPBearer

from starter.api.problems import Problem


class Scope(StrEnum):
    """What a key is for."""

    STOREFRONT = "storefront"
    SUPPORT = "support"
    WAREHOUSE = "warehouse"
    OPS = "ops"


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Whoever holds the key. `name` is what the books call them; it never shows the key itself."""

    name: str
    scopes: frozenset[Scope]

    def may(self, *scopes: Scope) -> bool:
        """Test whether any of these scopes is the caller's."""
        return not self.scopes.isdisjoint(scopes)


class UnknownScope(ValueError):
    """A key is given a scope that does not exist: a typing mistake must not become a closed or open door."""


class Keyring:
    """The API keys. Only their digests are kept, and looking one up takes as long as missing it."""

    def __init__(self, api_keys: Mapping[str, Collection[str]]) -> None:
        self._callers = [(_digest(key), _caller(key, scopes)) for key, scopes in api_keys.items()]

    def caller(self, key: str) -> Caller | None:
        """Return who holds this key, or None."""
        digest, found = _digest(key), None
        for known, caller in self._callers:
            if hmac.compare_digest(known, digest):
                found = caller
        return found


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode()).digest()


def _caller(key: str, scopes: Collection[str]) -> Caller:
    if len(key) < 8:
        raise ValueError("an API key needs at least 8 characters")
    return Caller(name=f"key-{_digest(key).hex()[:8]}", scopes=frozenset(_scopes(scopes)))


def _scopes(words: Iterable[str]) -> Iterable[Scope]:
    for word in words:
        if word not in tuple(Scope):
            raise UnknownScope(f"there is no scope `{word}`, only {', '.join(Scope)}")
        yield Scope(word)


_ASK_STAFF: Final = 'Basic realm="Waybill staff: your API key is the password", charset="UTF-8"'
_bearer = HTTPBearer(auto_error=False, description="An API key of WAYBILL_API_KEYS")


class Guard:
    """What stands before a route: lets pass who holds a key with one of these scopes."""

    def __init__(self, *scopes: Scope) -> None:
        self.scopes = frozenset(scopes)

    def passed(self, request: Request, key: str, challenge: str) -> Caller:
        """Return who holds this key.

        Raises:
            Problem: 401 without a known key, 403 when the key is for something else.
        """
        keyring: Keyring = request.app.state.doors.keyring
        caller = keyring.caller(key) if key else None
        if caller is None:
            raise Problem("unauthenticated", headers={"WWW-Authenticate": challenge})
        if not caller.may(*self.scopes):
            wanted = " or ".join(sorted(self.scopes))
            raise Problem("forbidden", f"This needs a key with the scope {wanted}.")
        return caller


class Needs(Guard):
    """The guard of a route for programs: the key is a bearer token."""

    def __call__(
        self, request: Request, credentials: Annotated[HTTPAuthorizationCredentials | None, Depends(_bearer)]
    ) -> Caller:
        """Return the caller; refused as by any guard."""
        return self.passed(request, credentials.credentials if credentials else "", "Bearer")


_basic = HTTPBasic(auto_error=False, description="Any name, and an API key as the password")


class NeedsOnPage(Guard):
    """The guard of a page for staff: the browser asks for the key, which is the password of any name."""

    def __call__(
        self, request: Request, credentials: Annotated[HTTPBasicCredentials | None, Depends(_basic)]
    ) -> Caller:
        """Return the caller; refused as by any guard."""
        return self.passed(request, credentials.password if credentials else "", _ASK_STAFF)


def anyone() -> None:
    """The guard of a public route: it says so, because a route without a guard is refused."""


# 128 random bits, url-safe: `secrets.token_urlsafe(16)`.
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{22}")


def is_tracking_token(text: str) -> bool:
    """Test whether a text can be a tracking token at all; what cannot is not looked up."""
    return _TOKEN.fullmatch(text) is not None

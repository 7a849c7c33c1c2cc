"""A POST and nothing else: plain HTTP/1.1 on kept connections.

A general client costs more per webhook than everything else the simulator does for an order together.
"""

import asyncio
from typing import Final
from urllib.parse import urlsplit

Line = tuple[asyncio.StreamReader, asyncio.StreamWriter]
TROUBLE: Final = (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError)


class Poster:
    """Connections to whoever listens, reused while they live."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout
        self._idle: dict[tuple[str, int], list[Line]] = {}

    async def post(self, url: str, body: bytes, headers: dict[str, str]) -> int:
        """Send the body and return the status.

        Raises:
            one of TROUBLE: nobody is there, or no answer came in time.
        """
        parts = urlsplit(url)
        if parts.scheme != "http" or not parts.hostname:
            raise ValueError(f"webhooks go to plain http addresses, not {url}")
        place = (parts.hostname, parts.port or 80)
        path = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
        async with asyncio.timeout(self._timeout):
            return await self._exchange(place, _request(path, parts.netloc, body, headers))

    async def _exchange(self, place: tuple[str, int], request: bytes) -> int:
        line = self._kept(place) or await asyncio.open_connection(*place)
        reusable = False
        try:
            line[1].write(request)
            status, reusable = await _answer(line[0])
        finally:
            if reusable:
                self._idle.setdefault(place, []).append(line)
            else:
                line[1].close()
        return status

    def _kept(self, place: tuple[str, int]) -> Line | None:
        kept = self._idle.get(place, [])
        while kept:
            reader, writer = kept.pop()
            if not reader.at_eof() and not writer.is_closing():
                return reader, writer
            writer.close()
        return None

    def close(self) -> None:
        """Close every kept connection."""
        for lines in self._idle.values():
            for _, writer in lines:
                writer.close()


def _request(path: str, host: str, body: bytes, headers: dict[str, str]) -> bytes:
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bool]:
    """Return the status, and whether the connection may be used again."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    first, *lines = head.split("\r\n")
    headers = dict(line.split(":", 1) for line in lines if ":" in line)
    status = int(first.split()[1])
    length = headers.get("content-length", "0" if status == 204 else None)
    if length is None:
        return status, False  # a body of unknown length: its end is the connection's
    await reader.readexactly(int(length))
    return status, "close" not in headers.get("connection", "")

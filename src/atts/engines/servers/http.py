"""JSON over HTTP: the only engine file that knows aiohttp. Bounded concurrency, retry, outages, checked bodies."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
import resource
from collections import defaultdict
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from types import TracebackType
from typing import Any, Self, TypeVar

import aiohttp

from atts.engines.servers.limiter import Kind, Limiter
from atts.engines.servers.outage import Outage, WaitedOutage
from atts.engines.servers.refusal import BUSY, HttpError, refusal
from atts.engines.servers.retry import Record, Retry
from atts.errors import AnswerError, EngineError, InputError

T = TypeVar("T")

_LARGEST_BODY = 256 << 20  # bytes
_CONNECT = 10.0  # seconds for a connection to be made
_HEALTH = 20.0  # seconds for a health check, which makes some servers generate a token
_TOLD = 30.0  # seconds for what a server knows without computing anything
_FILES = 16_384
_OUTAGES = 3  # times that one request fails for good on a server that is unhealthy, and is sent again once it is not
_JSON = {"Content-Type": "application/json"}
# A name that does not resolve, a certificate that is not trusted, TLS with a server that speaks none.
_MISTAKES = (
    aiohttp.ClientConnectorDNSError,
    aiohttp.ClientConnectorCertificateError,
    aiohttp.ClientConnectorSSLError,
)

logger = logging.getLogger("atts")


class Http:
    """One server. Requests beyond what it can bear wait for their turn; those that fail in passing are sent again.

    A request is sent again if there is no connection (unless the address itself cannot be right), if no answer comes
    in time or only a part of it, and on the codes 408, 409, 425, 429 and 5xx: after the server's `Retry-After` or an
    exponential wait with jitter. It is sent again once if the answer is faulty, as its reader says, and more often on a
    server that has answered such requests rightly of late. With `patience`, requests to a server that is down wait for
    it so long, all of them together. The key goes into a header and nowhere else.
    """

    def __init__(
        self,
        base_url: str,
        *,
        key: str | None = None,
        concurrency: int = 16,
        timeout: float = 60.0,
        attempts: int = 5,
        first_wait: float = 0.5,
        patience: float = 0.0,
        health: str = "health",
        query: str = "",
    ) -> None:
        """`timeout`, `first_wait` and `patience` are seconds, `timeout` for one attempt; `attempts` counts the first.

        `concurrency` is the most requests at once. `health` is the path that does not answer 5xx if the server is up.
        `query` is part of every address. Raises `InputError` for a key that no header can carry.
        """
        self.base_url = base_url.rstrip("/")
        self.limiter = Limiter(concurrency)
        self._headers = _authorization(key)
        self._timeout = timeout
        self._attempts, self._first_wait = attempts, first_wait
        self._records: defaultdict[str, Record] = defaultdict(Record)
        self.health = health
        self._query = f"?{query}" if query else ""
        self.outage: Outage | None = WaitedOutage(self.base_url, self.healthy, patience) if patience else None
        self._background: set[asyncio.Task[Any]] = set()
        self._session: aiohttp.ClientSession | None = None
        self._reached = False

    async def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """The JSON object that the server answers with; see `ask`."""
        return await self.ask(path, body, _as_it_is)

    async def get(self, path: str) -> Any:
        """The JSON that stands there, an object or not; see `ask`."""
        return await self._persist(path, lambda: self._attempt("GET", path, None, _as_it_is, Kind(path)))

    async def ask(
        self,
        path: str,
        body: Mapping[str, Any] | Callable[[], bytes],
        read: Callable[[dict[str, Any]], T],
        kind: Kind | None = None,
    ) -> T:
        """Post the JSON, and return what `read` makes of the object that the server answers with.

        A body that is a function is asked for the JSON anew at each attempt. Requests of one `kind` (by default, of one
        path) are compared with each other, see `Kind`. `read` may raise a retryable `AnswerError` for an answer that is
        faulty. Raises the last error after the last attempt, and `RunError` if the server stayed down for longer than
        `patience`.
        """
        write = body if callable(body) else partial(_json, body)
        kind = kind or Kind(path)
        return await self._persist(
            kind.name, lambda: self._attempt("POST", path, write(), _of_object(read, self._url(path)), kind)
        )

    async def healthy(self) -> bool:
        """Whether the server says that it is up, asked once."""
        try:
            timeout = aiohttp.ClientTimeout(total=_HEALTH)
            async with self._open().get(self._url(self.health), timeout=timeout) as response:
                return (
                    response.status < 500
                )  # 404 and 403 are what one says that knows no such path, or shows it to nobody
        except (TimeoutError, aiohttp.ClientError):
            return False

    def tell(self, path: str, body: Mapping[str, Any]) -> None:
        """Send something at once, without waiting for an answer or caring for failure."""
        self._spawn(self._quietly(self._exchange("POST", self._url(path), _json(body), self._timeout)))

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        if self.outage is not None:
            self.outage.close()
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _persist(self, kind: str, attempt: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Live through outages of the server; only failures of one that answered are final."""
        outages = 0
        while True:
            try:
                return await self._retry(kind, attempt)
            except HttpError as error:
                # One that refuses connections may say that it is healthy a moment later: it has come back.
                if self.outage is None or not (error.down or (outages < _OUTAGES and await self._ails(error))):
                    raise
                await self.outage.wait(error)
                outages += not error.down
            # All that waited would come at once, and to a server that may still refuse some.
            await asyncio.sleep(random.uniform(0, self._first_wait))

    async def _ails(self, error: HttpError) -> bool:
        """Whether the server failed because it is unhealthy, as it says itself."""
        passing = error.retryable and (error.status == 0 or error.status >= 500)
        return passing and not await self.healthy()

    async def _retry(self, kind: str, attempt: Callable[[], Coroutine[Any, Any, T]]) -> T:
        retry = Retry(self._attempts, self._first_wait, self._records[kind])
        while True:
            try:
                return await attempt()
            except EngineError as error:
                # A server that is gone is waited for instead.
                gone = isinstance(error, HttpError) and error.down and self.outage is not None
                refused = error if isinstance(error, HttpError) else HttpError("")
                wait = retry.wait(error, refused.wait, hung=refused.timed_out and not refused.down)
                if gone or wait is None:
                    raise
            await asyncio.sleep(wait)

    async def _attempt(
        self,
        method: str,
        path: str,
        content: bytes | None,
        read: Callable[[Any], T],
        kind: Kind,
    ) -> T:
        url = self._url(path)
        clock = asyncio.get_running_loop().time
        async with self.limiter.hold():
            started = clock()
            try:
                limit = min(self._timeout, _TOLD) if method == "GET" else self._timeout
                body = _parsed(url, await self._exchange(method, url, content, limit))
            except HttpError as error:
                if error.status in BUSY or error.timed_out:
                    self.limiter.congested(started, clock())
                raise
            seconds = clock() - started
            record = self._records[kind.name]
            try:
                result = read(body)
            except AnswerError:
                record.faulty += 1
                raise
            record.faulty, record.answered = 0, True
            self.limiter.answered(kind.like(result), seconds)
        return result

    def _url(self, path: str) -> str:
        return f"{self.base_url}/{path.lstrip('/')}{self._query}"

    async def _exchange(self, method: str, url: str, content: bytes | None, seconds: float) -> bytes:
        timeout = aiohttp.ClientTimeout(total=seconds, sock_connect=min(_CONNECT, seconds))
        try:
            async with self._open().request(method, url, data=content, headers=_JSON, timeout=timeout) as response:
                self._reached = True
                received = await _limited(response)
                if response.status >= 400:
                    raise refusal(url, response.status, response.headers, received)
                return received
        except aiohttp.ConnectionTimeoutError as error:
            reason = f"no connection in {min(_CONNECT, seconds):g} s"
            raise HttpError(f"{url}: cannot connect: {reason}", retryable=True, timed_out=True, down=True) from error
        except TimeoutError as error:
            raise HttpError(f"{url}: no answer in {seconds:g} s", retryable=True, timed_out=True) from error
        except aiohttp.InvalidURL as error:
            raise HttpError(f"{url}: not a URL") from error
        except _MISTAKES as error:
            # What once worked is no mistake of whoever wrote the address, and may work again.
            again = self._reached
            raise HttpError(f"{url}: cannot connect: {_reason(error)}", retryable=again, down=again) from error
        except aiohttp.ClientConnectorError as error:
            raise HttpError(f"{url}: cannot connect: {_reason(error)}", retryable=True, down=True) from error
        except aiohttp.ClientError as error:
            raise HttpError(f"{url}: {type(error).__name__}: {error}", retryable=True) from error

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            _allow_many_files()
            # The pool is bounded by the limiter, so that waiting is seen there and nowhere else.
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                headers=self._headers,
                cookie_jar=aiohttp.DummyCookieJar(),
            )
        return self._session

    def _spawn(self, work: Coroutine[Any, Any, Any]) -> None:
        task = asyncio.create_task(work)
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    @staticmethod
    async def _quietly(work: Coroutine[Any, Any, Any]) -> None:
        try:
            await work
        except EngineError as error:
            logger.debug("%s", error)


def _allow_many_files() -> None:
    """A thousand requests are a thousand files; shells allow 1,024 by default, and more on request."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if hard == resource.RLIM_INFINITY else min(_FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _authorization(key: str | None) -> dict[str, str]:
    """The header with the key; what surrounds it, as the line break of the file that it was read from, is left out."""
    bare = (key or "").strip()
    if not bare:
        return {}
    if not bare.isprintable():
        raise InputError("the API key holds a line break or another control character: set it anew in the environment")
    return {"Authorization": f"Bearer {bare}"}


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, separators=(",", ":")).encode()


def _as_it_is(body: Any) -> Any:
    return body


async def _limited(response: aiohttp.ClientResponse) -> bytes:
    if (response.content_length or 0) <= _LARGEST_BODY and response.content_length is not None:
        return await response.read()
    pieces, size = [], 0
    async for piece in response.content.iter_any():
        size += len(piece)
        if size > _LARGEST_BODY:
            break
        pieces.append(piece)
    if size > _LARGEST_BODY:
        raise HttpError(f"{response.url}: the answer is longer than {_LARGEST_BODY >> 20} MiB")
    return b"".join(pieces)


def _reason(error: aiohttp.ClientError) -> str:
    """Why there is no connection, in the words of the system."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return str(error.certificate_error)
    if not isinstance(error, aiohttp.ClientConnectorError):
        return str(error)
    cause = error.os_error
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return f"there is no host of this name ({cause.strerror or cause})"
    plain = not isinstance(error, aiohttp.ClientConnectorSSLError) and cause.errno
    return os.strerror(cause.errno) if plain and cause.errno else str(cause.strerror or cause)


def _parsed(url: str, content: bytes) -> Any:
    """The JSON of an answer; raises what its status would have raised, where a server says 200 and means an error."""
    try:
        body = json.loads(content)
    except ValueError as error:
        raise AnswerError(f"{url}: the answer is not JSON", retryable=True) from error
    if isinstance(body, dict) and (body.get("object") == "error" or body.get("error")):
        inner = body["error"] if isinstance(body.get("error"), dict) else body
        code = inner.get("code")
        raise refusal(url, code if isinstance(code, int) and code >= 400 else 500, {}, content)
    return body


def _of_object(read: Callable[[dict[str, Any]], T], url: str) -> Callable[[Any], T]:
    """The reader, for answers that are objects."""

    def checked(body: Any) -> T:
        if not isinstance(body, dict):
            raise AnswerError(f"{url}: the answer is not a JSON object, but a {type(body).__name__}", retryable=True)
        return read(body)

    return checked

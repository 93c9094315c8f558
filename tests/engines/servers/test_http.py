"""JSON over HTTP against a real server: what is sent again, after how long, and what is refused at once."""

from __future__ import annotations

import asyncio
import resource
import socket
import sys
import time
from contextlib import ExitStack
from typing import Any

import pytest
from aiohttp import web

from atts.engines.servers.http import Http
from atts.engines.servers.refusal import HttpError
from atts.errors import AnswerError, EngineError, InputError
from tests.polling import until

PATH = "chat/completions"


def client(server: Any, **changes: Any) -> Http:
    return Http(server.url, **({"first_wait": 0.01, "timeout": 60.0} | changes))


async def test_the_key_goes_into_the_header_and_into_no_message(openai_server: Any) -> None:
    openai_server.script = lambda body, number: web.Response(status=401, text="no such key")
    async with client(openai_server, key="sk-secret") as http:
        with pytest.raises(HttpError) as caught:
            await http.post(PATH, {})
    assert openai_server.headers[0]["Authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in str(caught.value)
    assert "401 no such key" in str(caught.value)
    assert len(openai_server.bodies) == 1


async def test_a_key_may_end_its_line_but_not_hold_one(openai_server: Any) -> None:
    async with client(openai_server, key=" sk-secret\r\n") as http:
        await http.post(PATH, {})
    assert openai_server.headers[0]["Authorization"] == "Bearer sk-secret"
    with pytest.raises(InputError, match="API key holds a line break") as refused:
        client(openai_server, key="sk-secret\nsk-other")
    assert "sk-secret" not in str(refused.value)


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_passing_refusals_are_sent_again(openai_server: Any, status: int) -> None:
    def script(body: dict[str, Any], number: int) -> web.StreamResponse:
        return web.Response(status=status) if number < 2 else web.json_response({"fine": True})

    openai_server.script = script
    async with client(openai_server) as http:
        assert await http.post(PATH, {"a": 1}) == {"fine": True}
    assert openai_server.bodies == [{"a": 1}] * 3


async def test_retry_after_is_honoured(openai_server: Any) -> None:
    def script(body: dict[str, Any], number: int) -> web.StreamResponse:
        return web.Response(status=429, headers={"Retry-After": "0.4"}) if number == 0 else web.json_response({})

    openai_server.script = script
    begun = time.monotonic()
    async with client(openai_server) as http:
        await http.post(PATH, {})
    assert time.monotonic() - begun >= 0.4


async def test_attempts_are_bounded(openai_server: Any) -> None:
    openai_server.script = lambda body, number: web.Response(status=503, text="busy")
    async with client(openai_server, attempts=3) as http:
        with pytest.raises(HttpError, match="503 busy") as caught:
            await http.post(PATH, {})
    assert caught.value.retryable
    assert len(openai_server.bodies) == 3


async def test_a_server_that_is_silent_too_long_is_asked_again(openai_server: Any) -> None:
    async def slow() -> web.StreamResponse:
        await asyncio.sleep(5)
        return web.json_response({})

    openai_server.script = lambda body, number: slow() if number == 0 else web.json_response({"second": True})
    async with client(openai_server, timeout=1.0) as http:
        assert await http.post(PATH, {}) == {"second": True}


async def test_no_server_at_all() -> None:
    async with Http("http://127.0.0.1:1/v1", attempts=2, first_wait=0.01) as http:
        with pytest.raises(HttpError) as caught:
            await http.post(PATH, {})
    assert caught.value.status == 0


async def test_the_reason_of_a_refusal_is_the_systems() -> None:
    async with Http("http://127.0.0.1:1", attempts=1) as http:
        with pytest.raises(HttpError, match=r"cannot connect: Connection refused$"):
            await http.post(PATH, {})


@pytest.mark.parametrize("mistake", ["name", "tls"])
async def test_an_address_that_cannot_be_right_is_not_waited_for(openai_server: Any, mistake: str) -> None:
    port = openai_server.url.split(":")[2]
    url = "http://no-such-host.invalid:1" if mistake == "name" else f"https://127.0.0.1:{port}"
    async with Http(url, patience=3600, attempts=8, first_wait=600) as http:
        with pytest.raises(HttpError, match="cannot connect: ") as caught:
            await http.post(PATH, {})
    assert not caught.value.retryable


async def test_a_connection_that_is_not_made_is_told_from_an_answer_that_does_not_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("atts.engines.servers.http._CONNECT", 0.5)
    with socket.socket() as full, ExitStack() as waiting:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for _ in range(4):  # its queue of connections is full, and further ones hear nothing
            earlier = waiting.enter_context(socket.socket())
            earlier.setblocking(False)
            earlier.connect_ex(full.getsockname())
        async with Http(f"http://127.0.0.1:{full.getsockname()[1]}", attempts=1, timeout=60) as http:
            with pytest.raises(HttpError, match=r"cannot connect: no connection in 0\.5 s"):
                await http.post(PATH, {})


@pytest.mark.parametrize(("text", "message"), [("not json", "not JSON"), ("[1]", "not a JSON object")])
async def test_a_body_that_is_no_object_is_an_error(openai_server: Any, text: str, message: str) -> None:
    openai_server.script = lambda body, number: web.Response(text=text)
    async with client(openai_server) as http:
        with pytest.raises(EngineError, match=message):
            await http.post(PATH, {})


async def test_concurrency_is_bounded(openai_server: Any) -> None:
    async def slow() -> web.StreamResponse:
        await asyncio.sleep(0.02)
        return web.json_response({})

    openai_server.script = lambda body, number: slow()
    async with client(openai_server, concurrency=3) as http:
        await asyncio.gather(*(http.post(PATH, {}) for _ in range(20)))
    assert openai_server.most_open == 3


async def test_a_shell_that_allows_few_files_is_asked_for_more(openai_server: Any) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        openai_server.script = lambda body, number: web.json_response({})
        async with client(openai_server) as http:
            await http.post(PATH, {})
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == min(16_384, hard if hard > 0 else 16_384)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def ok(request: web.Request) -> web.Response:
    return web.json_response({"fine": True})


async def test_a_server_that_is_back_before_its_health_is_asked_loses_no_request() -> None:
    """It begins to listen between the refusal and the look at its health: nothing but a restart."""
    application = web.Application()
    application.add_routes([web.get("/health", ok), web.post("/x", ok)])
    runner = web.AppRunner(application)
    await runner.setup()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]

    class Restarted(Http):
        async def healthy(self) -> bool:
            if not runner.sites:
                await web.TCPSite(runner, "127.0.0.1", port).start()
            return await super().healthy()

    async with Restarted(f"http://127.0.0.1:{port}", patience=60, first_wait=0.01, concurrency=64) as http:
        answers = await asyncio.gather(*(http.post("x", {}) for _ in range(64)))
    assert answers == [{"fine": True}] * 64
    await runner.cleanup()


async def test_a_server_that_hangs_is_given_up_after_two_tries_unless_it_has_answered(openai_server: Any) -> None:
    async def script(body: dict[str, Any], number: int) -> web.StreamResponse:
        if number in hanging:
            await asyncio.sleep(3600)
        return web.json_response({"fine": True})

    openai_server.script = script
    hanging = range(2)
    async with client(openai_server, timeout=1.0) as http:
        with pytest.raises(HttpError, match="no answer in 1 s"):
            await http.post(PATH, {})
        assert len(openai_server.bodies) == 2
        assert await http.post(PATH, {}) == {"fine": True}
        hanging = range(3, 6)
        assert await http.post(PATH, {}) == {"fine": True}
    assert len(openai_server.bodies) == 7


async def test_restarts_lose_no_request() -> None:
    """A process that is killed and started again, over and over, with many requests under way.

    The port stays reserved between two servers: the system would give a free one to any outgoing connection, also to
    one that asks for the server, which is then connected with itself.
    """
    reserved = socket.socket()
    reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    reserved.bind(("127.0.0.1", 0))
    port = reserved.getsockname()[1]
    command = [sys.executable, "-m", "atts.testing", "sglang", "scripted:6,0.1", "--port", str(port)]

    async def start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.DEVNULL)

    server = await start()
    body = {"input_ids": [65], "sampling_params": {"max_new_tokens": 1}}
    done = 0
    stopped = asyncio.Event()

    async def ask(http: Http) -> None:
        nonlocal done
        while not stopped.is_set():
            await http.post("generate", body)
            done += 1

    try:
        async with Http(f"http://127.0.0.1:{port}", patience=300, attempts=8, timeout=300, concurrency=64) as http:
            tasks = [asyncio.create_task(ask(http)) for _ in range(64)]
            for _ in range(3):
                seen = done
                await until(lambda seen=seen: done > seen + 64, 300)  # type: ignore[misc]
                server.kill()
                await server.wait()
                server = await start()
            seen = done
            await until(lambda: done > seen + 64, 300)
            stopped.set()
            await asyncio.gather(*tasks)
    finally:
        reserved.close()
        server.kill()
        await server.wait()


async def test_an_answer_in_the_wrong_form_is_asked_for_once_more_by_a_server_that_knows_no_better(
    openai_server: Any,
) -> None:
    def read(answer: dict[str, Any]) -> str:
        try:
            return str(answer["text"])
        except KeyError as error:
            raise AnswerError("no text", retryable=True) from error

    right = 0
    openai_server.script = lambda body, number: web.json_response({"text": "a"} if number < right else {})
    async with client(openai_server, attempts=8) as http:
        with pytest.raises(AnswerError):
            await http.ask(PATH, {}, read)
        assert len(openai_server.bodies) == 2
        right = 3
        assert await http.ask(PATH, {}, read) == "a"
        with pytest.raises(AnswerError):
            await http.ask(PATH, {}, read)
        assert len(openai_server.bodies) == 3 + 8  # it has known better; now it is doubted again
        with pytest.raises(AnswerError):
            await http.ask(PATH, {}, read)
        assert len(openai_server.bodies) == 3 + 8 + 2


async def test_time_outs_are_complaints_and_refused_connections_are_none(openai_server: Any) -> None:
    async def slow() -> web.StreamResponse:
        await asyncio.sleep(60)
        return web.json_response({})

    openai_server.script = lambda body, number: slow()
    async with client(openai_server, timeout=0.2, attempts=1, concurrency=64) as http:
        before = http.limiter.limit
        with pytest.raises(HttpError, match="no answer in"):
            await http.post(PATH, {})
        assert http.limiter.limit < before
    async with Http("http://127.0.0.1:1", attempts=1, concurrency=64) as http:
        with pytest.raises(HttpError, match="refused"):
            await http.post(PATH, {})
        assert http.limiter.limit == before


class Ailing(Http):
    """On a server that says that it is unhealthy; counts how often it is waited for."""

    waited = 0

    async def healthy(self) -> bool:
        return False

    async def wait(self, cause: Exception) -> None:
        self.waited += 1

    def stand_in(self) -> None:
        self.outage = self  # type: ignore[assignment]


@pytest.mark.parametrize(("status", "waits"), [(408, 0), (409, 0), (429, 0), (400, 0), (500, 3), (503, 3)])
async def test_what_an_unhealthy_server_finds_wrong_with_a_request_is_not_waited_out(
    openai_server: Any, status: int, waits: int
) -> None:
    openai_server.script = lambda body, number: web.Response(status=status)
    http = Ailing(openai_server.url, attempts=1, first_wait=0.001, timeout=60.0)
    http.stand_in()
    with pytest.raises(HttpError, match=str(status)):
        await http.post(PATH, {})
    assert http.waited == waits
    http.outage = None
    await http.close()


async def test_requests_that_waited_for_a_server_do_not_come_all_at_once(openai_server: Any) -> None:
    came: list[float] = []

    def script(body: dict[str, Any], number: int) -> web.StreamResponse:
        if number < 20:
            return web.Response(status=500)
        came.append(time.monotonic())
        return web.json_response({})

    openai_server.script = script
    http = Ailing(openai_server.url, attempts=1, first_wait=2.0, timeout=60.0, concurrency=64)
    http.stand_in()
    await asyncio.gather(*(http.post(PATH, {}) for _ in range(20)))
    assert len(came) == 20 and max(came) - min(came) > 0.8
    http.outage = None
    await http.close()


async def test_a_host_that_was_reached_once_is_no_mistake(openai_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def unknown(*_: Any, **__: Any) -> None:
        raise OSError("no such host")

    def script(body: dict[str, Any], number: int) -> web.StreamResponse:
        response = web.json_response({})
        response.force_close()  # so that the next request needs a connection of its own
        return response

    openai_server.script = script
    url = openai_server.url.replace("127.0.0.1", "localhost")
    for reached in (True, False):
        async with Http(url, attempts=1) as http:
            if reached:
                await http.post(PATH, {})
            monkeypatch.setattr(http._open().connector, "_resolve_host", unknown)
            with pytest.raises(HttpError, match="no host of this name") as caught:
                await http.post(PATH, {})
            assert (caught.value.retryable, caught.value.down) == (reached, reached)

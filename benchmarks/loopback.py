"""A server that answers at once, for benchmarks of whoever asks: SGLang's native answers, made beforehand.

    python benchmarks/loopback.py TOKENS    prints its port

Every generation is the same TOKENS tokens; every score is of these. Prompts are of ids from FIRST_ID on.
"""

from __future__ import annotations

import asyncio
import json
import sys

FIRST_ID = 1000


def _bodies(tokens: int) -> dict[str, bytes]:
    ids = [32 + place % 90 for place in range(tokens)]  # bytes that are characters
    meta = {"prompt_tokens": 1, "completion_tokens": tokens, "cached_tokens": 0}
    length = {"type": "length", "length": tokens}
    written = {"output_token_logprobs": [[-0.5, token, None] for token in ids], "finish_reason": length}
    read = {"input_token_logprobs": [[None, 1, None], *([-0.5, token, None] for token in ids)], "finish_reason": length}
    text = bytes(ids).decode()
    return {
        "write": json.dumps({"text": text, "output_ids": ids, "meta_info": meta | written}).encode(),
        "score": json.dumps({"text": "", "output_ids": [], "meta_info": meta | read}).encode(),
        "/model_info": b'{"model_path":"loopback","tokenizer_path":"bytes"}',
        "/server_info": b'{"version":"0.5.23"}',
        "/v1/models": b'{"data":[{"id":"loopback","max_model_len":1000000}]}',
    }


class Loopback(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, as far as the benchmarks need it."""

    def __init__(self, bodies: dict[str, bytes]) -> None:
        self._bodies = bodies
        self._received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember where to answer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is there whole."""
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = bytes(self._received[:end])
            lines = head.lower().split(b"\r\n")
            lengths = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")]
            whole = end + 4 + sum(lengths)
            if len(self._received) < whole:
                return
            body = bytes(self._received[end + 4 : whole])
            del self._received[:whole]
            self._answer(head, body)

    def _answer(self, head: bytes, body: bytes) -> None:
        path = head.split(b" ", 2)[1].decode()
        scored = b'"max_new_tokens":0' in body[-600:] or b'"max_new_tokens": 0' in body[-600:]
        content = self._bodies.get(path) or self._bodies["score" if scored else "write"]
        self._transport.write(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(content) + content
        )


async def main(tokens: int) -> None:
    """Serve on a free port until standard input ends."""
    loop = asyncio.get_running_loop()
    bodies = _bodies(tokens)
    server = await loop.create_server(lambda: Loopback(bodies), "127.0.0.1", 0, backlog=4096)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))

"""The process that holds a model: JSON lines in on standard input, JSON lines out, gone when its parent is gone.

A process of its own, because a forward pass holds the interpreter for milliseconds at a time: the event loop of the
parent stays free, and the draft and the target compute at the same time.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Iterable
from typing import IO, Any

from atts.launch.lifeline import follow_parent, lines


class Worker:
    """Reads requests, answers them as they finish.

    A request is `{"id", "call", …arguments}`; its answer `{"id", "result"}` or `{"id", "error", "retryable"}`.
    """

    def __init__(self, model: Any, out: IO[bytes]) -> None:
        self._model = model
        self._out = out
        self._lock = threading.Lock()
        self._forward: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._generating: dict[str, dict[str, Any]] = {}
        self._closing = threading.Event()

    def serve(self, requests: Iterable[bytes]) -> None:
        """Answer until they end."""
        threads = [threading.Thread(target=run, daemon=True) for run in (self._run_forward, self._run_collect)]
        for thread in threads:
            thread.start()
        for request in requests:
            self._dispatch(json.loads(request))
        self._closing.set()
        self._forward.put(None)

    def _dispatch(self, request: dict[str, Any]) -> None:
        call = request["call"]
        if call == "cancel":
            self._model.cancel(request["target"])
            self._generating.pop(request["target"], None)
        elif call == "generate":
            self._attempt(request, self._generate)
        elif call in ("score", "next_token"):
            self._forward.put(request)
        else:
            self._attempt(request, self._answer_at_once)

    def _attempt(self, request: dict[str, Any], handle: Any) -> None:
        try:
            handle(request)
        except Exception as error:  # whatever a model raises is the answer to this request, not the worker's end
            traceback.print_exc()
            self._generating.pop(request["id"], None)
            self._send({"id": request["id"], "error": f"{type(error).__name__}: {error}"})

    def _answer_at_once(self, request: dict[str, Any]) -> None:
        arguments = {key: value for key, value in request.items() if key not in ("id", "call")}
        result = getattr(self._model, request["call"])(**arguments)
        self._send({"id": request["id"], "result": result})

    def _generate(self, request: dict[str, Any]) -> None:
        if len(request["prefix"]) >= self._model.context_length:
            raise ValueError(f"the context of {len(request['prefix'])} tokens leaves no room to write")
        self._generating[request["id"]] = request
        self._model.submit(
            request["id"], request["prefix"], request["max_tokens"], request["stop"], request["sampling"]
        )

    def _run_forward(self) -> None:
        while (request := self._forward.get()) is not None:
            self._attempt(request, self._compute)

    def _compute(self, request: dict[str, Any]) -> None:
        if request["call"] == "next_token":
            self._send({"id": request["id"], "result": self._model.next_token(request["prefix"], request["top"])})
            return
        values, cached = self._model.score(request["prefix"], request["continuation"])
        self._send({"id": request["id"], "result": {"log_probabilities": values, "cached": cached}})

    def _run_collect(self) -> None:
        while not self._closing.is_set():
            finished = self._model.collect(timeout=0.5)
            if finished is not None:
                self._finish(*finished)
            elif (failure := self._model.failure()) is not None:
                for request in list(self._generating):
                    self._generating.pop(request, None)
                    self._send({"id": request, "error": f"generation stopped: {failure}"})
                self._closing.wait(0.5)

    def _finish(self, name: str, ids: list[int], log_probabilities: list[float], error: str | None) -> None:
        request = self._generating.pop(name, None)
        if request is None:
            return  # cancelled
        if error is not None:
            self._send({"id": name, "error": error})
            return
        kept, text, finish = self._model.finish(ids, request["stop"])
        result = {
            "ids": ids[:kept],
            "text": text,
            "finish": finish,
            "log_probabilities": log_probabilities[:kept],
            "completion": len(ids),
        }
        self._send({"id": name, "result": result})

    def _send(self, answer: dict[str, Any]) -> None:
        line = json.dumps(answer, separators=(",", ":")).encode() + b"\n"
        with self._lock:
            self._out.write(line)
            self._out.flush()


def main() -> None:
    """Load the model that the arguments name and serve it on the standard streams."""
    follow_parent()
    requests = lines(sys.stdin.buffer)
    # Answers get the real standard output; whatever a library prints goes to standard error.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    status = 1
    try:
        Worker(_load(), out).serve(requests)
        status = 0
    except Exception:
        traceback.print_exc()
    finally:
        with contextlib.suppress(OSError):
            sys.stderr.flush()
        # Threads of the model may be in the middle of a step whose result nobody waits for; none may outlive this.
        os._exit(status)


def _load() -> Any:
    parser = argparse.ArgumentParser()
    parser.add_argument("path")
    parser.add_argument("--device")
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--template", type=json.loads, default={}, help="variables of the chat template, as JSON")
    parser.add_argument("--end-tokens", type=json.loads, default=[], help="further ids that end a text, as JSON")
    parser.add_argument("--longest", type=int)
    parser.add_argument("--writers", type=int, required=True)
    arguments = parser.parse_args()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

    import torch
    import transformers

    torch.set_num_threads(arguments.threads)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    from atts.engines.local.model import LocalModel

    return LocalModel(
        arguments.path,
        arguments.device,
        template=arguments.template,
        end_tokens=arguments.end_tokens,
        longest=arguments.longest,
        writers=arguments.writers,
    )


if __name__ == "__main__":
    main()

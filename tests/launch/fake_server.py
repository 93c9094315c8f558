"""A process that behaves like a model server as far as a launcher can see: slow to be healthy, with children.

usage: fake_server.py PORT [--mark TEXT] [--delay SECONDS] [--stubborn] [--fail WORDS] [--live SECONDS] [--model DIR]
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("--mark", default="", help="by which a test finds this process and its children")
    parser.add_argument("--delay", type=float, default=0.2, help="seconds until it is healthy")
    parser.add_argument("--stubborn", action="store_true", help="ignore SIGTERM")
    parser.add_argument("--fail", help="say this and end before being healthy")
    parser.add_argument("--live", type=float, help="end after so many seconds")
    return parser.parse_known_args()[0]


def start_children(mark: str) -> None:
    """A worker in the server's group, and one that has left it for a session of its own; both ignore SIGTERM."""
    code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
    for apart in (False, True):
        subprocess.Popen([sys.executable, "-c", code, mark], start_new_session=apart)


class Health(BaseHTTPRequestHandler):
    healthy_from = 0.0

    def do_GET(self) -> None:
        self.send_response(200 if time.monotonic() >= self.healthy_from else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        print(format % args, flush=True)


def main() -> None:
    options = parsed()
    if options.stubborn:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    start_children(options.mark)
    if options.fail:
        print(f"RuntimeError: {options.fail}\nsome more words", flush=True)
        sys.exit(3)
    if options.live is not None:
        timer = threading.Timer(options.live, lambda: signal.raise_signal(signal.SIGKILL))
        timer.daemon = True
        timer.start()
    Health.healthy_from = time.monotonic() + options.delay
    ThreadingHTTPServer(("127.0.0.1", options.port), Health).serve_forever()


if __name__ == "__main__":
    main()

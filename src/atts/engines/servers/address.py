"""Where a server is: an address as people write it, taken apart."""

from __future__ import annotations

import re
from dataclasses import dataclass

from atts.errors import InputError

_SECRET = re.compile(r"(^|[&;])[^=&;]*(key|token|secret|password|sig)[^=&;]*=", re.IGNORECASE)
_VERSION = re.compile(r"/v\d+\w*$")


@dataclass(frozen=True, slots=True)
class Address:
    """`http://host[:port][/path][?query][#model]`: `url` is the part before the query, without a slash at its end."""

    url: str
    query: str = ""
    model: str = ""

    @property
    def root(self) -> str:
        """The server itself, of which the address may name the part that speaks OpenAI's interface."""
        return self.url.removesuffix("/v1")

    @property
    def interfaces(self) -> tuple[str, ...]:
        """Where OpenAI's interface may be below the address, likeliest first: as given, or below `v1/`."""
        if _VERSION.search(self.url):
            return ("",)
        bare = self.url.count("/") == 2
        return ("v1/", "") if bare else ("", "v1/")


def parse_address(scheme: str, text: str) -> Address:
    """The address; raises `InputError` unless it is one.

    A user's name or password, and a key in the query, are refused and not repeated: addresses are shown, and saved with
    a run.
    """
    plain, _, model = text.strip().partition("#")
    plain, _, query = plain.partition("?")
    if re.match(r"[^/]*//[^/]*@", plain) or _SECRET.search(query):
        raise InputError(
            f"{scheme}: an address takes no user name or password, and no key (it goes into ATTS_DRAFT_API_KEY,"
            " ATTS_TARGET_API_KEY or ATTS_API_KEY)"
        )
    found = re.fullmatch(r"(https?)://+([^\s/,?#]+)((?:/[^\s,?#]*)?)", plain)
    if found is None or re.search(r"[\s,]", query):
        raise InputError(f"{scheme}:{text.strip()}: write it as {scheme}:http://host:port")
    path = re.sub(r"/{2,}", "/", found[3]).rstrip("/")
    return Address(f"{found[1]}://{found[2]}{path}", query, model.strip())

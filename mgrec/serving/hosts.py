"""Hosts: addresses that need keys, and host names that requests may use."""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mgrec.errors import RequestError
from mgrec.serving.answers import error

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
ADDRESS = "<address>"  # means any numeric address; not a valid name

# A name or an IPv4 address, or an IPv6 address in brackets; then the port.
_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.%]{2,64}\])(?::[0-9]{1,5})?", re.ASCII)
_NAME = re.compile(r"\*|(\*\.)?[A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,64}\]", re.ASCII)


def check_exposure(host: str, *, has_keys: bool, no_keys: bool) -> None:
    """Refuse to listen beyond loopback without keys, unless `no_keys` is set.

    Raises
    ------
    RequestError
        If keys are missing, or both given and declined.
    """
    if has_keys and no_keys:
        raise RequestError("serve: found --api-key-file and --no-keys, expected one of them")
    if not has_keys and not no_keys and not is_loopback(host):
        raise RequestError(
            f"serve: --host {host}: other machines could read and change everything; expected"
            " --api-key-file FILE, or --no-keys to allow it"
        )


def allowed(host: str, names: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the hosts that requests may name.

    These are loopback's and `names`. Without names: the address that the server listens on and,
    beyond loopback, the machine's name; if it listens on all addresses, any numeric address.
    Another site can point its name to this server (DNS rebinding), but not a number.

    Raises
    ------
    RequestError
        If a name is not valid.
    """
    for name in names:
        if not _NAME.fullmatch(name):
            raise RequestError(f"host {name!r}: expected a name, '*.' and a name, or '*' for any")
    if names:
        return (*LOOPBACK, *(name.lower() for name in names))
    bare = host.strip("[]").lower()
    own = f"[{bare}]" if ":" in bare else bare
    if is_loopback(host):
        return (*LOOPBACK, own)
    everywhere = (ADDRESS,) if bare in ("", "0.0.0.0", "::") else (own,)
    return (*LOOPBACK, socket.gethostname().lower(), *everywhere)


def is_loopback(host: str) -> bool:
    """Whether an address can be reached from this machine only."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


class HostGuard:
    """ASGI middleware that refuses requests for other hosts: 400."""

    def __init__(self, app: ASGIApp, hosts: Sequence[str]) -> None:
        self.app = app
        self.names = {name.lower() for name in hosts if not name.startswith("*")}
        self.suffixes = tuple(name[1:].lower() for name in hosts if name.startswith("*."))
        self.any = "*" in hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or self.any or self._knows(Headers(scope=scope).get("host", "")):
            await self.app(scope, receive, send)
            return
        line = "host: found an unknown name, expected one that 'mgrec serve --allowed-host' names"
        await error(400, line)(scope, receive, send)

    def _knows(self, header: str) -> bool:
        found = _HOST.fullmatch(header)
        if found is None:
            return False
        name = found.group(1).lower()
        if name in self.names or name.endswith(self.suffixes):
            return True
        return ADDRESS in self.names and _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True

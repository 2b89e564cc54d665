"""The URI of a pymongo client, so that the native half can open its own connection to the same servers."""

from __future__ import annotations

from typing import Any, Callable, Dict, Mapping, Optional, Tuple
from urllib.parse import quote_plus, urlencode

# What is taken over: pymongo's name of an option, its name in a URI, and how its value is written there.
_OPTIONS: Dict[str, Tuple[str, Callable[[Any], str]]] = {
    "appname": ("appName", str),
    "authmechanism": ("authMechanism", str),
    "authsource": ("authSource", str),
    "connecttimeoutms": ("connectTimeoutMS", lambda seconds: str(int(seconds * 1000))),
    "directconnection": ("directConnection", lambda on: "true" if on else "false"),
    "loadbalanced": ("loadBalanced", lambda on: "true" if on else "false"),
    "replicaset": ("replicaSet", str),
    "serverselectiontimeoutms": ("serverSelectionTimeoutMS", lambda seconds: str(int(seconds * 1000))),
    "tls": ("tls", lambda on: "true" if on else "false"),
    "tlsallowinvalidcertificates": ("tlsAllowInvalidCertificates", lambda on: "true" if on else "false"),
    "tlscafile": ("tlsCAFile", str),
    "tlscertificatekeyfile": ("tlsCertificateKeyFile", str),
}

# Ways to prove who one is that need more than a URI can hold, or that the native half has not.
_NOT_TAKEN = {"GSSAPI", "MONGODB-OIDC"}


def of_client(client: Any) -> str:
    """The URI of a ``MongoClient`` or ``AsyncMongoClient``: servers, user, and the options that a URI can hold.

    The servers are those that the client was given, not those that it found, so that a position that was kept is still
    known for its own when the members of the set have changed.
    """
    options = client.options
    given: Mapping[str, Any] = options._options
    credentials = options.pool_options._credentials
    mechanism = getattr(credentials, "mechanism", None)
    if mechanism in _NOT_TAKEN:
        raise ValueError(f"the authentication {mechanism} cannot be taken from a client: give uri=")
    if options.auto_encryption_opts is not None:
        raise ValueError("automatic encryption cannot be taken from a client: give uri=")

    srv = getattr(client, "_resolve_srv_info", {})
    if srv.get("is_srv"):
        scheme, hosts = "mongodb+srv", srv["fqdn"]
    else:
        scheme, hosts = "mongodb", ",".join(_host(host, port) for host, port in sorted(client._seeds, key=str))

    query = {}
    for name, (written, write) in _OPTIONS.items():
        value = given.get(name)
        if value is not None:
            query[written] = write(value)
    user = ""
    if credentials is not None and credentials.username:
        user = _user(credentials.username, credentials.password)
        if credentials.source:
            query["authSource"] = credentials.source
    return f"{scheme}://{user}{hosts}/?{urlencode(query)}"


def _user(name: str, password: Optional[str]) -> str:
    return quote_plus(name) + (f":{quote_plus(password)}" if password is not None else "") + "@"


def _host(host: str, port: Optional[int]) -> str:
    if host.startswith("/"):
        return quote_plus(host)
    if ":" in host and not host.startswith("["):
        host = f"[{host}]"
    return host if port is None else f"{host}:{port}"

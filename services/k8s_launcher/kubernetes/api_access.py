"""The way to the Kubernetes API: credentials, TLS, connections. All of kubernetes_asyncio that is used."""

from __future__ import annotations

import json
import os
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
from kubernetes_asyncio import config as access
from kubernetes_asyncio.client.configuration import Configuration
from kubernetes_asyncio.config.config_exception import ConfigException
from yaml import YAMLError

from services.k8s_launcher.kubernetes.api_errors import ApiMisconfigured
from services.k8s_launcher.kubernetes.api_settings import ApiSettings
from services.k8s_launcher.kubernetes.objects import Kind, Object
from services.k8s_launcher.kubernetes.settings import KubernetesSettings

_SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


@dataclass(frozen=True)
class Call:
    """One call: what it does in the API's words, and how HTTP says it."""

    verb: str
    kind: Kind
    path: str
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    method: str = "GET"
    body: Object | Sequence[Object] | None = None
    """The operations of a JSON patch are a sequence."""
    content_type: str = "application/json"

    @property
    def is_watch(self) -> bool:
        return self.verb == "watch"

    def __str__(self) -> str:
        return f"{self.verb} {self.path}"


class Link:
    """Connections with one set of credentials."""

    def __init__(self, configuration: Configuration, settings: ApiSettings) -> None:
        self._configuration = configuration
        self._user_agent = settings.user_agent
        # The library's own client looks for a ~/.netrc and a proxy at each call, in threads of their own.
        self._proxy = configuration.proxy or _proxy_of_environment(str(configuration.host))
        tls = _tls(configuration)
        self._calls = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=settings.connections, ssl=tls))
        # Each holds a connection for as long as it lasts; they must not take those of calls.
        self._watches = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, ssl=tls))

    @staticmethod
    async def open(settings: KubernetesSettings) -> Link:
        """By the kubeconfig of the settings, the pod's service account, or the kubeconfig of the environment.

        Raises `ApiMisconfigured`.
        """
        return Link(await _configuration(settings), settings.api)

    async def send(self, call: Call, timeout: aiohttp.ClientTimeout) -> aiohttp.ClientResponse:  # noqa: ASYNC109
        """The answer, whatever its status; its body still to be read. Raises as aiohttp does."""
        headers = {
            "Accept": "application/json",
            # The API is near: to pack its answers costs both sides more than it saves.
            "Accept-Encoding": "identity",
            "Content-Type": call.content_type,
            "User-Agent": self._user_agent,
        }
        token = await self._token()
        if token:
            headers["Authorization"] = token
        session = self._watches if call.is_watch else self._calls
        return await session.request(
            call.method,
            f"{self._configuration.host}{call.path}",
            params=call.query,
            headers=headers,
            data=json.dumps(call.body, separators=(",", ":")).encode() if call.body is not None else None,
            timeout=timeout,
            proxy=self._proxy,
            proxy_headers=self._configuration.proxy_headers,
            server_hostname=self._configuration.tls_server_name,
        )

    async def _token(self) -> str:
        """A service account's is read anew each minute: the kubelet replaces it."""
        try:
            settings = await self._configuration.auth_settings()
        except ConfigException as error:
            raise OSError(f"the service account's token cannot be read: {error}") from error
        return str(settings.get("BearerToken", {}).get("value") or "").strip()

    async def close(self) -> None:
        """End all connections, watches too."""
        await self._calls.close()
        await self._watches.close()


def _has_service_account() -> bool:
    return (_SERVICE_ACCOUNT / "token").exists()


async def _configuration(settings: KubernetesSettings) -> Configuration:
    configuration = Configuration()
    try:
        if settings.kubeconfig is None and settings.context is None and _has_service_account():
            access.load_incluster_config(
                client_configuration=configuration,
                token_filename=str(_SERVICE_ACCOUNT / "token"),
                cert_filename=str(_SERVICE_ACCOUNT / "ca.crt"),
            )
        else:
            path = settings.kubeconfig or os.environ.get("KUBECONFIG") or Path.home() / ".kube" / "config"
            await access.load_kube_config(
                config_file=str(path),
                context=settings.context,
                client_configuration=configuration,
                persist_config=False,
            )
    except (ConfigException, YAMLError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        # The last are how its reader says that a file is empty or not what it expects.
        raise ApiMisconfigured(f"the access to Kubernetes cannot be read: {error}") from error
    return configuration


def _tls(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, keyfile=configuration.key_file)
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    # Many clusters' certificates lack extensions that newer Pythons ask for, and other clients do not.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return context


def _proxy_of_environment(host: str) -> str | None:
    """`$HTTPS_PROXY` and the like, unless `$NO_PROXY` says that the API is to be reached without."""
    address = urlsplit(host)
    return None if proxy_bypass(address.netloc) else getproxies().get(address.scheme)

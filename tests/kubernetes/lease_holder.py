"""A launcher that only leads, as a process of its own: `python lease_holder.py KUBECONFIG NAMESPACE IDENTITY SETTINGS`.

Prints `leads` when it does, `stopped` when its work was cancelled, and `released` when it ends cleanly (SIGTERM).
"""

from __future__ import annotations

import asyncio
import signal
import sys

import structlog

from services.k8s_launcher.kubernetes.api import Api
from services.k8s_launcher.kubernetes.lease import Leadership, lead
from services.k8s_launcher.kubernetes.lease_settings import LeaseSettings
from services.k8s_launcher.kubernetes.settings import KubernetesSettings


def say(word: str) -> None:
    print(word, flush=True)


async def work(leadership: Leadership) -> None:
    say("leads")
    try:
        await asyncio.Event().wait()
    finally:
        say(f"stopped, holds: {leadership.holds}")


async def main(kubeconfig: str, namespace: str, identity: str, settings: str) -> None:
    api = await Api.open(KubernetesSettings.model_validate({"kubeconfig": kubeconfig}))
    leading = asyncio.ensure_future(lead(api, namespace, identity, LeaseSettings.model_validate_json(settings), work))
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, leading.cancel)
    try:
        await asyncio.wait((leading,))
    finally:
        await api.close()
    if leading.cancelled():
        say("released")
    else:
        leading.result()


if __name__ == "__main__":
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    asyncio.run(main(*sys.argv[1:]))

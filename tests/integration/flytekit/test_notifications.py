"""Notifications of launch plans, through unmodified flytekit: mailed by a stack, and posted, also when it dies."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

from aiohttp import web

from flightlog_cli.stack_process import StackProcess
from tests.integration.executions import ended
from tests.integration.scheduler.receivers import mail_server, web_server


def text_of(mail: Any) -> str:
    return mail.get_payload(decode=True).decode()


async def test_a_launch_plan_tells_people_how_its_runs_end(
    stack: StackProcess,
    receiver_ports: tuple[int, int],
    remote: Any,
    workflow_module: Callable[[str], Any],
    register: Callable[..., Any],
) -> None:
    module = workflow_module("notifying")
    register(module.inverting)
    plan = remote.register_launch_plan(
        module.notifying, version="remote-1", project="flytesnacks", domain="development"
    )

    def run(x: int) -> str:
        execution = remote.execute(plan, inputs={"x": x})
        ended(remote, execution, nodes=False)
        return execution.id.name

    mail_port, web_port = receiver_ports
    async with mail_server(mail_port) as mailbox, web_server(web_port) as receiver:
        killed = stack.pids["scheduler"]

        async def kill_the_scheduler(request: web.Request) -> web.StreamResponse:
            await asyncio.to_thread(stack.kill, "scheduler")
            return web.Response()

        receiver.answers = [kill_the_scheduler]
        succeeded = await asyncio.to_thread(run, 4)
        await receiver.until(lambda: len(receiver.posts) == 2)
        failed = await asyncio.to_thread(run, 0)
        await receiver.until(lambda: len(receiver.posts) == 3)
        await mailbox.until(4)
        await asyncio.to_thread(stack.wait_for_part, "scheduler", after=killed)
        listed = await asyncio.to_thread(stack.cli_json, "deliveries", "ls", "--project", "flytesnacks")
        of_it = ("--sink", "ops", "--execution", f"flytesnacks/development/{failed}")
        assert await asyncio.to_thread(stack.cli_json, "deliveries", "retry", *of_it) == {"retried": 0}
        assert await asyncio.to_thread(stack.cli_json, "deliveries", "replay", *of_it) == {"replayed": 1}
        await receiver.until(lambda: len(receiver.posts) == 4)

    mails = {
        recipients[0]: (mail["Subject"].strip(), text_of(mail))
        for recipients, mail in mailbox.mails
        if "ada" not in str(recipients)
    }
    assert set(mails) == {"channel@corp.slack.example", "on-call@pagerduty.example"}
    subject, text = mails["channel@corp.slack.example"]
    assert subject == 'Notice: Execution "notifying.inverting" has succeeded in "development".'
    assert f"Execution {succeeded} of launch plan notifying, version remote-1, has succeeded" in text
    subject, text = mails["on-call@pagerduty.example"]
    assert subject == 'Notice: Execution "notifying.inverting" has failed in "development".'
    assert f"Execution {failed} of" in text
    assert "division by zero" in text
    to_ada = [mail["Message-ID"] for recipients, mail in mailbox.mails if recipients == ("ada@corp.example",)]
    assert len(set(to_ada)) == 2

    # The first one was sent, but not recorded: it is sent again, and known by its id.
    first, again, other, replayed = (json.loads(post.body) for post in receiver.posts)
    assert (first, other) == (again, replayed)
    assert (first["data"]["execution"]["name"], first["type"]) == (succeeded, "flightlog.execution.succeeded")
    assert (other["data"]["execution"]["name"], other["type"]) == (failed, "flightlog.execution.failed")
    assert "division by zero" in other["data"]["error"]["message"]
    ours = [one for one in listed if one["execution_id"]["name"] in (succeeded, failed)]
    assert sorted((one["sink"], one["event"]) for one in ours) == sorted(
        [("email", "succeeded")] * 2 + [("email", "failed")] * 2 + [("ops", "succeeded"), ("ops", "failed")]
    )
    assert {one["event_id"] for one in ours if one["sink"] == "ops"} == {first["id"], other["id"]}

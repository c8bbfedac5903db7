"""What is sent: texts of e-mails, CloudEvents, signatures; and who is to get it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flyteidl.admin.common_pb2 import (
    EmailNotification,
    Notification,
    PagerDutyNotification,
    SlackNotification,
)
from flyteidl.admin.execution_pb2 import ExecutionMetadata, ExecutionSpec, NotificationList
from flyteidl.core.execution_pb2 import ExecutionError, WorkflowExecution
from flyteidl.core.identifier_pb2 import LAUNCH_PLAN, WORKFLOW, Identifier, WorkflowExecutionIdentifier
from google.protobuf.timestamp_pb2 import Timestamp

from flightlog_protos.execution.v1 import facts_pb2 as facts
from services.scheduler.deliveries import cloudevents, signing, templates
from services.scheduler.deliveries.events import END_FACTS, ExecutionEvent, event_of
from services.scheduler.deliveries.notifications import emails
from services.scheduler.deliveries.settings import DeliverySettings, WebhookSettings
from services.scheduler.deliveries.sinks import host_of, presentable
from services.scheduler.deliveries.smtp import message

CREATED_AT, ENDED_AT = Timestamp(seconds=1_700_000_000), Timestamp(seconds=1_700_000_060, nanos=5_000_000)
SUCCEEDED, FAILED, ABORTED = WorkflowExecution.SUCCEEDED, WorkflowExecution.FAILED, WorkflowExecution.ABORTED
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def created(*notifications: Notification) -> facts.ExecutionCreated:
    return facts.ExecutionCreated(
        id=WorkflowExecutionIdentifier(project="flytesnacks", domain="production", name="f1"),
        spec=ExecutionSpec(
            launch_plan=Identifier(
                resource_type=LAUNCH_PLAN, project="flytesnacks", domain="production", name="nightly", version="v7"
            ),
            metadata=ExecutionMetadata(mode=ExecutionMetadata.SCHEDULED, principal="ada"),
        ),
        workflow_id=Identifier(
            resource_type=WORKFLOW, project="shared", domain="development", name="train.wf", version="v3"
        ),
        notifications=NotificationList(notifications=notifications),
        config=facts.ResolvedConfig(labels={"team": "blue"}),
        created_at=CREATED_AT,
    )


def failed(*notifications: Notification, text: str = "cannot <do> this") -> ExecutionEvent:
    error = ExecutionError(code="USER:Bad", message=text, kind=ExecutionError.USER)
    fact = facts.ExecutionFailed(error=error, occurred_at=ENDED_AT)
    event = event_of("cause-1", fact, created(*notifications), traceparent="00-ab-cd-01")
    assert event is not None
    return event


def succeeded(*notifications: Notification) -> ExecutionEvent:
    event = event_of("cause-1", facts.ExecutionSucceeded(occurred_at=ENDED_AT), created(*notifications))
    assert event is not None
    return event


def settings(**given: Any) -> DeliverySettings:
    return DeliverySettings.model_validate(given)


def to(*recipients: str, phases: tuple[Any, ...] = (FAILED,), template: str = "") -> Notification:
    return Notification(phases=phases, email=EmailNotification(recipients_email=recipients, template=template))


# --- e-mails ---------------------------------------------------------------------------------------------------------


def test_every_notification_about_the_phase_is_an_email_of_its_own() -> None:
    event = failed(
        to("a@h.org", "b@h.org", "a@h.org"),
        to("c@h.org", phases=(SUCCEEDED,)),
        Notification(phases=[SUCCEEDED, FAILED], slack=SlackNotification(recipients_email=["s@slack.com"])),
        Notification(phases=[FAILED], pager_duty=PagerDutyNotification(recipients_email=["p@pagerduty.com"])),
    )
    found = emails(event, settings())
    assert [list(one.email.recipients) for one in found] == [
        ["a@h.org", "b@h.org"],
        ["s@slack.com"],
        ["p@pagerduty.com"],
    ]
    assert len({one.event_id for one in found}) == 3
    assert [one.event_id for one in emails(event, settings())] == [one.event_id for one in found]


def test_nothing_is_mailed_about_other_phases_and_by_nobody_who_asked_for_nothing() -> None:
    assert not emails(succeeded(to("a@h.org")), settings())
    assert not emails(failed(), settings())
    assert {"ExecutionSucceeded", "ExecutionFailed", "ExecutionAborted"} == END_FACTS


def test_default_texts_name_what_flyte_names() -> None:
    (one,) = emails(failed(to("a@h.org")), settings(html=False))
    assert one.email.subject == 'Notice: Execution "train.wf" has failed in "production".'
    assert one.email.body == (
        "Execution f1 of launch plan nightly, version v7, has failed in project flytesnacks, domain production. "
        "The execution failed with error: [cannot <do> this]."
    )


def test_all_of_flytes_keys_with_or_without_blanks_are_filled_in_and_nothing_else() -> None:
    keys = ["project", "domain", "name", "phase", "error"]
    keys += [
        f"{owner}.{part}" for owner in ("workflow", "launch_plan") for part in ("project", "domain", "name", "version")
    ]
    template = "|".join(f"{{{{ {key} }}}}|{{{{{key}}}}}" for key in keys) + "|{{ unknown }}|{ name }"
    values = [
        *("flytesnacks", "production", "f1", "succeeded", ""),
        *("shared", "development", "train.wf", "v3"),
        *("flytesnacks", "production", "nightly", "v7"),
    ]
    filled = templates.fill(template, templates.values(succeeded()), escape=False)
    assert filled.split("|") == [value for value in values for _ in range(2)] + ["{{ unknown }}", "{ name }"]


def test_values_are_escaped_in_html_and_never_filled_in_again() -> None:
    event = failed(to("a@h.org"), text="<b>{{ name }}</b>\r\nBcc: x@h.org")
    (one,) = emails(event, settings(email={"subject": "{{ error }}", "body": "<p>{{error}}</p>"}))
    assert one.email.body.startswith("<p> The execution failed with error: [&lt;b&gt;{{ name }}&lt;/b&gt;")
    assert one.email.subject == "The execution failed with error: [<b>{{ name }}</b> Bcc: x@h.org]."
    assert message(one, ["a@h.org"], "f@h.org")["Bcc"] is None


def test_a_template_is_the_name_of_a_configured_one_or_the_body_itself() -> None:
    known = settings(templates={"short": {"subject": "{{ name }}!", "body": "see {{ name }}"}}, html=False)
    event = failed(to("a@h.org", template="short"), to("a@h.org", template="own text of {{ name }}"))
    first, second = emails(event, known)
    assert (first.email.subject, first.email.body) == ("f1!", "see f1")
    assert (second.email.subject[:6], second.email.body) == ("Notice", "own text of f1")


def test_an_email_carries_the_events_id() -> None:
    (one,) = emails(failed(to("a@h.org", "b@h.org")), settings())
    written = message(one, ["a@h.org", "b@h.org"], "robot@corp.example")
    assert written["Message-ID"] == f"<{one.event_id}@corp.example>"
    assert written["X-Flightlog-Event"] == one.event_id
    assert (written["To"], written["From"]) == ("a@h.org, b@h.org", "robot@corp.example")
    assert written["Date"] == "Tue, 14 Nov 2023 22:14:20 +0000"
    assert written.get_content_type() == "text/html"


# --- CloudEvents -----------------------------------------------------------------------------------------------------


def hook(**given: Any) -> WebhookSettings:
    return WebhookSettings.model_validate({"name": "ops", "url": "https://ops.example/hook", **given})


def test_a_cloudevent_says_what_ended_and_how() -> None:
    (post,) = cloudevents.posts(failed(), hook(), source="/flightlog", host="https://ops.example")
    assert post.http.content_type == "application/cloudevents+json; charset=utf-8"
    document = json.loads(post.http.body)
    data = document.pop("data")
    assert document == {
        "specversion": "1.0",
        "id": post.event_id,
        "source": "/flightlog",
        "type": "flightlog.execution.failed",
        "subject": "flytesnacks/production/f1",
        "time": "2023-11-14T22:14:20.005000Z",
        "datacontenttype": "application/json",
        "traceparent": "00-ab-cd-01",
    }
    assert data == {
        "execution": {"project": "flytesnacks", "domain": "production", "name": "f1"},
        "phase": "FAILED",
        "launch_plan": {
            "type": "launch_plan",
            "project": "flytesnacks",
            "domain": "production",
            "name": "nightly",
            "version": "v7",
        },
        "workflow": {
            "type": "workflow",
            "project": "shared",
            "domain": "development",
            "name": "train.wf",
            "version": "v3",
        },
        "mode": "SCHEDULED",
        "principal": "ada",
        "labels": {"team": "blue"},
        "created_at": "2023-11-14T22:13:20.000000Z",
        "occurred_at": "2023-11-14T22:14:20.005000Z",
        "error": {"code": "USER:Bad", "kind": "USER", "message": "cannot <do> this"},
    }


def test_an_abort_says_why() -> None:
    abort = facts.AbortRequested(cause="enough", principal="bob")
    event = event_of("e", facts.ExecutionAborted(occurred_at=ENDED_AT), created())
    assert event is not None
    data = cloudevents.document(replace(event, abort=abort), "id", "/x")["data"]
    assert (data["phase"], data["abort"]) == ("ABORTED", {"cause": "enough", "principal": "bob"})


def test_the_id_is_the_sinks_own_and_always_the_same() -> None:
    def event_id(event: ExecutionEvent, name: str) -> str:
        (post,) = cloudevents.posts(event, hook(name=name), source="/", host="h")
        return post.event_id

    assert event_id(failed(), "ops") == event_id(failed(), "ops")
    assert len({event_id(failed(), "ops"), event_id(failed(), "other"), event_id(succeeded(), "ops")}) == 3


@pytest.mark.parametrize(
    ("filters", "hears"),
    [
        ({}, True),
        ({"phases": ["SUCCEEDED"]}, False),
        ({"phases": ["SUCCEEDED", "FAILED"]}, True),
        ({"projects": ["flytesnacks", "x"]}, True),
        ({"projects": ["x"]}, False),
        ({"domains": ["production"]}, True),
        ({"domains": ["development"]}, False),
        ({"launch_plans": ["nightly"]}, True),
        ({"launch_plans": ["train.wf"]}, False),
        ({"labels": {"team": "blue"}}, True),
        ({"labels": {"team": "blue", "more": ""}}, False),
    ],
)
def test_filters_say_what_a_webhook_hears(filters: dict[str, Any], hears: bool) -> None:
    assert cloudevents.wants(hook(**filters), failed()) is hears


def test_an_execution_that_is_created_or_started_is_an_event_for_those_who_want_it() -> None:
    queued = event_of("e", created(), created())
    running = event_of("e", facts.ExecutionStarted(occurred_at=ENDED_AT), created())
    assert queued is not None
    assert running is not None
    assert (queued.phase, queued.happened_at, running.phase) == ("QUEUED", CREATED_AT.ToDatetime(UTC), "RUNNING")
    assert cloudevents.wants(hook(phases=["QUEUED"]), queued)
    assert not cloudevents.wants(hook(), running)
    assert event_of("e", facts.NodeStarted(), created()) is None


# --- signatures ------------------------------------------------------------------------------------------------------


def test_signatures_are_those_of_standard_webhooks() -> None:
    signed = signing.headers(
        [signing.key_of(SECRET)], "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
    )
    assert signed == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_while_secrets_change_there_is_a_signature_of_each() -> None:
    other = "whsec_" + "QUJD" * 10
    keys = [signing.key_of(SECRET), signing.key_of(other)]
    both = signing.headers(keys, "m", 1, b"{}")["webhook-signature"].split(" ")
    assert both == [signing.headers([key], "m", 1, b"{}")["webhook-signature"] for key in keys]
    assert "webhook-signature" not in signing.headers([], "m", 1, b"{}")


@pytest.mark.parametrize(
    "secret", ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_???", "whsec_QUJD", "whsec_" + "QUJD" * 30]
)
def test_what_is_no_secret_is_refused_and_not_repeated(secret: str) -> None:
    with pytest.raises(ValueError, match="signing secret") as refused:
        signing.key_of(secret)
    assert secret.removeprefix("whsec_") not in str(refused.value)


# --- secrets ---------------------------------------------------------------------------------------------------------


def test_settings_show_no_secret() -> None:
    url = "https://user:hunter22@hooks.example:8443/services/T0K3N?key=abcdef"
    known = settings(
        smtp={"host": "mail", "user": "u", "password": "hunter22"},
        webhooks=[{"name": "ops", "url": url, "secrets": [SECRET], "headers": {"Authorization": "Bearer hunter22"}}],
        openlineage=[{"name": "marquez", "url": url, "api_key": "hunter22"}],
    )
    shown = known.model_dump_json() + repr(known) + str(known)
    assert not any(secret in shown for secret in ("hunter22", "T0K3N", "abcdef", SECRET))
    assert host_of(url) == "https://hooks.example:8443"
    assert host_of("http://[::1]:80/T0K3N") == "http://[::1]:80"


@pytest.mark.parametrize(
    "wrong",
    [
        {"webhooks": [{"name": "ops", "url": "ftp://hunter22"}]},
        {"webhooks": [{"name": "ops", "url": "https://h:hunter22/"}]},
        {"webhooks": [{"name": "ops", "url": "https://h:99999/hunter22"}]},
        {"webhooks": [{"name": "ops", "url": "https://[hunter22"}]},
        {"webhooks": [{"name": "ops", "url": "https://u:hunter22℀@h"}]},
        {"webhooks": [{"name": "email", "url": "https://hunter22"}]},
        {"webhooks": [{"name": "Ops!", "url": "https://hunter22"}]},
        {"webhooks": [{"name": "ops", "url": "https://h", "secrets": ["hunter22"]}]},
        {"webhooks": [{"name": "ops", "url": "https://h", "phases": ["TIMED_OUT"]}]},
        {"webhooks": [{"name": "ops", "url": "https://h", "secret": "hunter22"}]},
        {"webhooks": [{"name": "a", "url": "https://h"}], "openlineage": [{"name": "a", "url": "https://h"}]},
        {"webhooks": [{"name": "ops", "url": "https://h", "headers": {"x-key": "a\nhunter22"}}]},
        {"smtp": {"password": ["hunter22"]}},
    ],
)
def test_wrong_settings_are_refused_without_repeating_them(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="DeliverySettings") as refused:
        settings(**wrong)
    assert "hunter22" not in str(refused.value)


def test_what_a_receiver_says_is_shortened_and_shown_without_secrets() -> None:
    shown = presentable("key hunter22!\n\0 at  /services/T0K3N " + "x" * 5000, ["hunter22", "/services/T0K3N", "", "x"])
    assert shown.startswith("key ***! at *** xxx")
    assert len(shown) == 1000


# --- answers of receivers --------------------------------------------------------------------------------------------


def test_answers_decide_about_further_tries() -> None:
    from services.scheduler.deliveries.delivery import Delivered, Failed
    from services.scheduler.deliveries.webhook import judged

    now = datetime(2026, 3, 1, tzinfo=UTC)
    assert isinstance(judged(204, {}, "", now), Delivered)
    for status, final in ((301, True), (400, True), (401, True), (404, True), (410, True), (408, False), (425, False)):
        outcome = judged(status, {}, "why", now)
        assert isinstance(outcome, Failed)
        assert (outcome.final, f"answered {status}: why" in outcome.reason) == (final, True)
    for value, pause in (("120", 120), ("Sun, 01 Mar 2026 00:01:00 GMT", 60), ("Sat, 28 Feb 2026 00:00:00 GMT", 0)):
        outcome = judged(503, {"Retry-After": value}, "", now)
        assert outcome == Failed("answered 503", pause=timedelta(seconds=pause))
    assert judged(429, {"Retry-After": "soon"}, "", now) == Failed("answered 429")

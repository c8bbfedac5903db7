"""A launch plan that tells people how its runs end."""

from flytekit import Email, LaunchPlan, PagerDuty, Resources, Slack, WorkflowExecutionPhase, task, workflow


@task(requests=Resources(cpu="100m", mem="200Mi"))
def inverse(x: int) -> float:
    return 1 / x


@workflow
def inverting(x: int) -> float:
    return inverse(x=x)


notifying = LaunchPlan.get_or_create(
    inverting,
    name="notifying",
    notifications=[
        Email(phases=[WorkflowExecutionPhase.SUCCEEDED, WorkflowExecutionPhase.FAILED], recipients_email=["ada@corp.example"]),
        Slack(phases=[WorkflowExecutionPhase.SUCCEEDED], recipients_email=["channel@corp.slack.example"]),
        PagerDuty(phases=[WorkflowExecutionPhase.FAILED], recipients_email=["on-call@pagerduty.example"]),
    ],
)

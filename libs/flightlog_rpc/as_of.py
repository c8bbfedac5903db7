"""Reads as of a moment: the metadata `flightlog-as-of` of a call that is otherwise the one that everybody makes.

The value is a time (RFC 3339, with a zone) or a sequence of the stream that the answering service has its answers from:
EXECUTION for executions, their nodes, attempts and signals, REGISTRY for what is registered. A call that does not read,
or whose answer has no past, is refused with it: an answer of now would be taken for one of then.
"""

import time

from flightlog_log import Log
from flightlog_rpc.context import CallContext
from flightlog_rpc.errors import invalid, out_of_range
from flightlog_rpc.moments import Moment, moment_of
from flightlog_rpc.routing import short_name

METADATA = "flightlog-as-of"


def _of(service: str, names: str) -> list[str]:
    return [f"/flyteidl.service.{service}/{name}" for name in names.split()]


ANSWERED: frozenset[str] = frozenset(
    [
        *_of(
            "AdminService",
            """
            GetExecution GetExecutionData ListExecutions
            GetNodeExecution GetDynamicNodeWorkflow ListNodeExecutions ListNodeExecutionsForTask GetNodeExecutionData
            GetTaskExecution ListTaskExecutions GetTaskExecutionData
            GetTask ListTaskIds ListTasks
            GetWorkflow ListWorkflowIds ListWorkflows
            GetLaunchPlan GetActiveLaunchPlan ListActiveLaunchPlans ListLaunchPlanIds ListLaunchPlans
            GetProject ListProjects GetDomains
            ListNamedEntities GetNamedEntity GetDescriptionEntity ListDescriptionEntities
            GetProjectDomainAttributes GetProjectAttributes GetWorkflowAttributes ListMatchableAttributes
            GetVersion
            """,
        ),
        *_of("DataProxyService", "GetData CreateDownloadLink CreateDownloadLocation"),
        *_of("SignalService", "ListSignals"),
    ]
)
"""What is answered as of a moment. GetDomains, GetVersion and CreateDownloadLocation say the same as of any."""


def asked(method: str, call: CallContext) -> Moment | None:
    """The moment that a call asks about; None: now.

    Raises:
        RpcError: INVALID_ARGUMENT when the metadata says no moment, or the method is not answered as of one.
    """
    if METADATA not in call.metadata:
        return None
    if method not in ANSWERED:
        raise invalid(
            f"{short_name(method)} cannot be called with the metadata {METADATA}: it is not a read of the past"
        )
    text = call.value(METADATA)
    moment = moment_of(text)
    if moment is None:
        raise invalid(
            f"invalid value for {METADATA}: {text!r} is neither a time of RFC 3339 with its zone, "
            "such as 2026-01-31T12:00:00Z, nor a sequence, such as 42"
        )
    return moment


async def sequence_of(log: Log, stream: str, moment: Moment) -> int:
    """The sequence of a stream's last envelope that counts at a moment.

    Raises:
        RpcError: OUT_OF_RANGE before the stream's first envelope, behind its last, and in the future.
        LogUnavailable: the log cannot be asked.
    """
    extent = await log.extent(stream)
    if not extent.first:
        raise out_of_range(f"there is nothing as of {moment.text}: the log {stream} is empty")
    if moment.time is None:
        if moment.sequence > extent.last:
            raise out_of_range(f"there is no sequence {moment.text} yet: the log {stream} ends at {extent.last}")
        if moment.sequence < extent.first:
            raise out_of_range(
                f"there is nothing as of sequence {moment.text}: the log {stream} begins at {extent.first}"
            )
        return moment.sequence
    wanted = moment.time.ToNanoseconds()
    if wanted > time.time_ns():
        raise out_of_range(f"{moment.text} is yet to come: the log {stream} ends now, at sequence {extent.last}")
    if wanted < extent.began.ToNanoseconds():
        raise out_of_range(
            f"there is nothing as of {moment.text}: the log {stream} begins at {extent.began.ToJsonString()}, "
            f"with sequence {extent.first}"
        )
    return max(extent.first, await log.sequence_at(stream, moment.time))

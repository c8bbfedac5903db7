"""The one table that says which service answers which method (DESIGN §1).

The public port's forwarding, the edge's routing and the coverage page are all made from it.
"""

from collections.abc import Mapping

from flightlog_rpc.methods import METHODS

_ADMIN = "/flyteidl.service.AdminService/"
_DATA = "/flyteidl.service.DataProxyService/"
_SIGNAL = "/flyteidl.service.SignalService/"
_AUTH = "/flyteidl.service.AuthMetadataService/"
_IDENTITY = "/flyteidl.service.IdentityService/"
_DATACATALOG = "/datacatalog.DataCatalog/"
_CACHE = "/flyteidl.cacheservice.CacheService/"
_HISTORY = "/flightlog.history.v1.HistoryService/"


# Our own services, all of whose methods have one owner.
_OWN: Mapping[str, str] = {
    "flightlog.execution.v1.QueueService": "execution",
    "flightlog.catalog.v1.CatalogService": "catalog",
    "flightlog.catalog.v1.LineageService": "catalog",
    "flightlog.scheduler.v1.ScheduleService": "scheduler",
    "flightlog.scheduler.v1.DeliveryService": "scheduler",
}


def _full(prefix: str, names: str) -> list[str]:
    return [prefix + name for name in names.split()]


_OWNED: Mapping[str, list[str]] = {
    "registry": [
        *_full(
            _ADMIN,
            """
            CreateTask GetTask ListTaskIds ListTasks
            CreateWorkflow GetWorkflow ListWorkflowIds ListWorkflows
            CreateLaunchPlan GetLaunchPlan GetActiveLaunchPlan ListActiveLaunchPlans ListLaunchPlanIds ListLaunchPlans
            UpdateLaunchPlan RegisterProject UpdateProject GetProject ListProjects GetDomains
            ListNamedEntities GetNamedEntity UpdateNamedEntity
            GetDescriptionEntity ListDescriptionEntities
            UpdateProjectDomainAttributes GetProjectDomainAttributes DeleteProjectDomainAttributes
            UpdateProjectAttributes GetProjectAttributes DeleteProjectAttributes
            UpdateWorkflowAttributes GetWorkflowAttributes DeleteWorkflowAttributes
            ListMatchableAttributes
            """,
        ),
        *_full(_DATA, "CreateUploadLocation"),
        *_full(_HISTORY, "DestroyKeys"),
    ],
    "execution": [
        *_full(
            _ADMIN,
            """
            CreateExecution RelaunchExecution RecoverExecution GetExecution UpdateExecution GetExecutionData
            ListExecutions TerminateExecution GetExecutionMetrics
            GetNodeExecution GetDynamicNodeWorkflow ListNodeExecutions ListNodeExecutionsForTask GetNodeExecutionData
            GetTaskExecution ListTaskExecutions GetTaskExecutionData
            CreateWorkflowEvent CreateNodeEvent CreateTaskEvent
            GetVersion
            """,
        ),
        *_full(_DATA, "CreateDownloadLocation CreateDownloadLink GetData"),
        *_full(_SIGNAL, "GetOrCreateSignal ListSignals SetSignal"),
        *_full(
            _HISTORY,
            "GetStateAt DiffExecutions ExplainWaiting ExportHistory ImportHistory DeleteExecution",
        ),
        *_full(_AUTH, "GetOAuth2Metadata GetPublicClientConfig"),
        *_full(_IDENTITY, "UserInfo"),
    ],
    "catalog": [
        *_full(
            _DATACATALOG,
            """
            CreateDataset GetDataset CreateArtifact GetArtifact AddTag ListArtifacts ListDatasets UpdateArtifact
            GetOrExtendReservation ReleaseReservation
            """,
        ),
        *_full(_CACHE, "Get Put Delete GetOrExtendReservation ReleaseReservation"),
    ],
    "history": _full(_HISTORY, "ListEvents WatchEvents ListAudit VerifyChain GetArchive"),
}

OWNERS: Mapping[str, str] = {
    **{method: service for service, methods in _OWNED.items() for method in methods},
    **{name: _OWN[method.service] for name, method in METHODS.items() if method.service in _OWN},
}
"""Full method name -> the service that answers it, for every method of the Flyte surface and of our own services."""

_OWN_SERVED = frozenset(
    {
        "flightlog.catalog.v1.CatalogService",
        "flightlog.catalog.v1.LineageService",
        "flightlog.execution.v1.QueueService",
        "flightlog.scheduler.v1.DeliveryService",
        "flightlog.scheduler.v1.ScheduleService",
    }
)

_NOT_SERVED = frozenset(
    [
        *_full(
            _ADMIN,
            """
            GetExecutionMetrics
            CreateWorkflowEvent CreateNodeEvent CreateTaskEvent
            """,
        ),
        *_full(_AUTH, "GetOAuth2Metadata GetPublicClientConfig"),
        *_full(_IDENTITY, "UserInfo"),
        *_full(
            _HISTORY,
            """
            """,
        ),
        *(name for name, method in METHODS.items() if method.service in _OWN and method.service not in _OWN_SERVED),
    ]
)

SERVED: frozenset[str] = frozenset(OWNERS) - _NOT_SERVED
"""The methods this release answers. All others are UNIMPLEMENTED, with a sentence."""

_ABOUT_AUTHENTICATION = (_AUTH, _IDENTITY)


def without_authentication(method: str) -> bool:
    """Whether a method stays unserved for as long as authentication is off. An answer with empty endpoints would send
    clients to log in at "" (admin-contract T9)."""
    return method.startswith(_ABOUT_AUTHENTICATION)


def short_name(method: str) -> str:
    """`AdminService/GetTask` for `/flyteidl.service.AdminService/GetTask`."""
    service, _, name = method.lstrip("/").rpartition("/")
    return f"{service.rpartition('.')[2]}/{name}"


def sentence(method: str) -> str:
    """What an UNIMPLEMENTED answer says. It names the method, and who will serve or does serve it."""
    owner = OWNERS.get(method)
    if owner is None:
        return f"{method} is not a method of this server"
    if without_authentication(method):
        return f"{short_name(method)} is not available: authentication is off on this server"
    if method in SERVED:
        return f"{short_name(method)} is served by the {owner} service, which this address does not reach"
    return f"{short_name(method)} is not served by this release; the {owner} service will serve it"

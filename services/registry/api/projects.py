"""RegisterProject, UpdateProject, GetProject, ListProjects, GetDomains (admin-contract §1.7)."""

from flyteidl.admin import project_pb2

from flightlog_read import SqlWhere
from flightlog_rpc import CallContext
from flightlog_types import validation
from services.registry import domain
from services.registry import store as stores
from services.registry.api import requests
from services.registry.checks.projects import check_project, check_project_update
from services.registry.projection.queries import PROJECT
from services.registry.refusals import missing, not_found
from services.registry.store import Store


async def register_project(
    store: Store, request: project_pb2.ProjectRegisterRequest, call: CallContext
) -> project_pb2.ProjectRegisterResponse:
    """A new project."""
    if not request.HasField("project"):
        raise missing("project")
    check_project(request.project)
    await store.change_project(
        request.project.id,
        lambda state: domain.register_project(state, request.project, stores.now()),
        call.cause(),
    )
    return project_pb2.ProjectRegisterResponse()


async def update_project(
    store: Store, request: project_pb2.Project, call: CallContext
) -> project_pb2.ProjectUpdateResponse:
    """Change a project. That it is there is checked before what is to change."""
    validation.require_text(request.id, "project_id")
    if await store.project(request.id) is None:
        raise not_found(f"project [{request.id}] not found")
    check_project_update(request)
    await store.change_project(
        request.id, lambda state: domain.update_project(state, request, stores.now()), call.cause()
    )
    return project_pb2.ProjectUpdateResponse()


async def get_project(store: Store, request: project_pb2.ProjectGetRequest, _: CallContext) -> project_pb2.Project:
    """One project with all configured domains, straight from the log."""
    validation.require_text(request.id, "project_id")
    state = await store.project(request.id)
    if state is None:
        raise not_found(f"project [{request.id}] not found")
    return _with_domains(store, state.project)


async def list_projects(store: Store, request: project_pb2.ProjectListRequest, _: CallContext) -> project_pb2.Projects:
    """Projects by id; without filters the archived ones are left out. A limit of 0 means all."""
    listing = requests.listing(
        PROJECT,
        (),
        request.filters,
        request.sort_by if request.HasField("sort_by") else None,
        request.limit,
        request.token,
        "ListProjects",
        unlimited=True,
    )
    if not request.filters:
        listing = listing.and_(SqlWhere(f"r.state <> {project_pb2.Project.ARCHIVED}"))
    found = await (await store.caught_up()).projects(listing)
    return project_pb2.Projects(
        projects=[_with_domains(store, project) for project in found], token=listing.page.next_token(len(found))
    )


async def get_domains(store: Store, _: project_pb2.GetDomainRequest, __: CallContext) -> project_pb2.GetDomainsResponse:
    """The configured domains."""
    return project_pb2.GetDomainsResponse(domains=_domains(store))


def _with_domains(store: Store, project: project_pb2.Project) -> project_pb2.Project:
    answer = project_pb2.Project()
    answer.CopyFrom(project)
    answer.domains.extend(_domains(store))
    return answer


def _domains(store: Store) -> list[project_pb2.Domain]:
    return [project_pb2.Domain(id=one.id, name=one.name) for one in store.settings.domains]

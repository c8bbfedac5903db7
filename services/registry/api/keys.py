"""DestroyKeys: a project's personal data becomes unreadable."""

from flightlog_protos.history.v1.deletion_pb2 import DestroyKeysRequest, DestroyKeysResponse
from flightlog_rpc import CallContext
from flightlog_types import validation
from services.registry import domain
from services.registry import store as stores
from services.registry.refusals import not_found
from services.registry.store import Store


async def destroy_keys(store: Store, request: DestroyKeysRequest, call: CallContext) -> DestroyKeysResponse:
    """Destroy all keys that a project's personal data was sealed with so far.

    That they are destroyed is recorded first: who dies between the two finds it on the log. Who asked for it is sealed
    with a key that is made before, as is all that comes.
    """
    validation.require_text(request.project, "project")
    if await store.project(request.project) is None:
        raise not_found(f"project [{request.project}] not found")
    keys = store.log.keys
    ids = await keys.ids(request.project)
    if not ids:
        return DestroyKeysResponse()
    await keys.make(request.project)
    await store.change_project(
        request.project,
        lambda _: domain.destroy_keys(request.project, ids, request.reason, stores.now()),
        call.cause(),
    )
    await keys.destroy(request.project, ids)
    await store.forget(request.project)
    return DestroyKeysResponse(destroyed=len(ids))

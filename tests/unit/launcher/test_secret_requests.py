"""Secrets that tasks ask for: where they are looked for, and where flytekit finds them."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from flyteidl.core.security_pb2 import Secret
from hypothesis import given
from hypothesis import strategies as st

from services.k8s_launcher.process.secret_requests import Granted, Secrets
from services.k8s_launcher.settings import SecretSettings
from services.k8s_launcher.task_templates import NotLaunchable

Make = Callable[..., Secrets]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Secrets of files by name and of variables by name."""

    def secrets(files: dict[str, bytes] | None = None, **variables: str) -> Secrets:
        for name, content in (files or {}).items():
            path = tmp_path / "given" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return Secrets(SecretSettings.model_validate({"directory": tmp_path / "given"}), variables)

    return secrets


def grant(secrets: Secrets, folder: Path, **request: object) -> Granted:
    return secrets.granted([Secret(**request)], folder)  # type: ignore[arg-type]


def test_variable_has_the_name_under_which_flytekit_looks(make: Make, tmp_path: Path) -> None:
    secrets = make({"Db/Password": b"s3cr3t\n"})
    granted = grant(
        secrets, tmp_path, group="Db", key="Password", mount_requirement=Secret.ENV_VAR, env_var="DB_PASSWORD"
    )
    assert granted.variables["_FSEC_DB_PASSWORD"] == granted.variables["DB_PASSWORD"] == "s3cr3t"
    assert granted.files == {}


@pytest.mark.parametrize("requirement", [Secret.ANY, Secret.FILE])
def test_file_has_the_name_under_which_flytekit_looks(
    make: Make, tmp_path: Path, requirement: Secret.MountType
) -> None:
    secrets = make({"Db/v2/Password": b"\x00\xff"})
    granted = grant(
        secrets,
        tmp_path / "s",
        group="Db",
        group_version="v2",
        key="Password",
        mount_requirement=requirement,
        env_var="WHERE",
    )
    granted.write(tmp_path / "s")
    path = tmp_path / "s" / "db" / "v2" / "password"
    assert path.read_bytes() == b"\x00\xff"
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert granted.variables == {
        "WHERE": str(path),
        "FLYTE_SECRETS_ENV_PREFIX": "_FSEC_",
        "FLYTE_SECRETS_DEFAULT_DIR": str(tmp_path / "s"),
    }


def test_writing_twice_replaces(make: Make, tmp_path: Path) -> None:
    for value in (b"one", b"two"):
        grant(make({"g/k": value}), tmp_path, group="g", key="k").write(tmp_path / "s")
    assert (tmp_path / "s" / "g" / "k").read_bytes() == b"two"
    assert [path.name for path in (tmp_path / "s" / "g").iterdir()] == ["k"]


def test_launcher_variable_stands_in_where_there_is_no_file(make: Make, tmp_path: Path) -> None:
    secrets = make({"g/other": b"file"}, FLIGHTLOG_SECRET_MY_GROUP_API_KEY="value", PATH="/bin")
    granted = grant(secrets, tmp_path, group="my-group", key="api.key")
    assert granted.files == {"my-group/api.key": b"value"}


def test_group_as_a_whole_gives_all_its_keys(make: Make, tmp_path: Path) -> None:
    # A secret mounted by Kubernetes keeps its own bookkeeping in the same folder.
    secrets = make({"g/A": b"a", "g/b": b"b", "g/..data": b"", "h/c": b"c"})
    assert grant(secrets, tmp_path, group="g").files == {"g/a": b"a", "g/b": b"b"}


def test_nothing_is_granted_that_was_not_asked_for(make: Make, tmp_path: Path) -> None:
    secrets = make({"g/a": b"a", "g/b": b"b"}, FLIGHTLOG_SECRET_G_C="c")
    assert grant(secrets, tmp_path, group="g", key="b").files == {"g/b": b"b"}
    assert secrets.granted([], tmp_path) == Granted()


@pytest.mark.parametrize("requirement", [Secret.ANY, Secret.ENV_VAR])
def test_missing_secret_is_an_error_of_the_user_that_says_where_it_belongs(
    make: Make, tmp_path: Path, requirement: Secret.MountType
) -> None:
    with pytest.raises(NotLaunchable) as refused:
        grant(make({"g/a": b"hidden"}), tmp_path, group="g", key="k", mount_requirement=requirement)
    assert (refused.value.code, refused.value.system, refused.value.recoverable) == ("SecretNotFound", False, False)
    assert str(tmp_path / "given" / "g" / "k") in refused.value.message
    assert "FLIGHTLOG_SECRET_G_K" in refused.value.message
    assert "hidden" not in refused.value.message


def test_folder_that_cannot_be_read_is_no_fault_of_the_user(make: Make, tmp_path: Path) -> None:
    secrets = make({"g/k": b"v"})
    with pytest.raises(NotLaunchable) as refused:
        grant(secrets, tmp_path, group="g", key="k" * 300)
    assert (refused.value.code, refused.value.system, refused.value.recoverable) == ("SecretNotFound", True, True)


@pytest.mark.parametrize(
    "request_",
    [
        {},
        {"group": "..", "key": "k"},
        {"group": "g", "key": "../g/k"},
        {"group": "g/k"},
        {"group": "g", "mount_requirement": Secret.ENV_VAR},
        {"group": "g", "key": "binary", "mount_requirement": Secret.ENV_VAR},
        {"group": "g", "key": "nul", "mount_requirement": Secret.ENV_VAR},
    ],
)
def test_request_that_cannot_be_met_in_its_form_is_refused(
    make: Make, tmp_path: Path, request_: dict[str, object]
) -> None:
    secrets = make({"g/k": b"value", "g/binary": b"\xff", "g/nul": b"a\0b"})
    with pytest.raises(NotLaunchable) as refused:
        grant(secrets, tmp_path, **request_)
    assert refused.value.code == "BadTaskSpecification"
    assert "value" not in refused.value.message


def test_one_name_for_a_file_and_a_folder_is_refused(make: Make, tmp_path: Path) -> None:
    secrets = make(FLIGHTLOG_SECRET_G="a", FLIGHTLOG_SECRET_G_K="b")
    with pytest.raises(NotLaunchable, match="one file and as a folder"):
        secrets.granted([Secret(group="g"), Secret(group="g", key="k")], tmp_path)


def test_values_are_not_in_what_is_printed_of_them(make: Make, tmp_path: Path) -> None:
    granted = grant(make({"g/k": b"hidden"}), tmp_path, group="g", key="k", mount_requirement=Secret.ENV_VAR)
    assert "hidden" not in repr(granted)


@given(group=st.text(min_size=1, max_size=12), key=st.text(max_size=12))
def test_no_name_leads_out_of_the_folder(tmp_path_factory: pytest.TempPathFactory, group: str, key: str) -> None:
    base = tmp_path_factory.mktemp("base")
    (base / "given").mkdir()
    (base / "outside").write_bytes(b"not for you")
    secrets = Secrets(SecretSettings.model_validate({"directory": base / "given"}), {})
    with pytest.raises(NotLaunchable):
        grant(secrets, base, group=group, key=key)

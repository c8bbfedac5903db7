"""The data folder: one user at a time, secrets of its own, ports that stay."""

from __future__ import annotations

import socket
import stat
from pathlib import Path

import pytest

from flightlog_cli.embedded.child import StackError
from flightlog_cli.embedded.folder import DataFolder, is_free


def test_second_user_is_told_who_has_the_folder(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    with pytest.raises(StackError, match=r"in use by another `flightlog up` \(process \d+\)"):
        DataFolder(tmp_path)
    folder.release()
    DataFolder(tmp_path).release()


def test_credentials_are_made_once_and_differ_between_folders(tmp_path: Path) -> None:
    first, second = DataFolder(tmp_path / "a"), DataFolder(tmp_path / "b")
    assert first.credentials() == first.credentials()
    assert first.credentials().nats_password != second.credentials().nats_password
    assert stat.S_IMODE((tmp_path / "a" / "credentials.json").stat().st_mode) == 0o600
    first.release()
    second.release()


def test_port_stays_while_it_is_free(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    port = folder.port("nats", "127.0.0.1")
    assert folder.port("nats", "127.0.0.1") == port
    assert folder.port("s3", "127.0.0.1") != port
    with socket.socket() as other:
        other.bind(("127.0.0.1", port))
        other.listen()
        assert not is_free("127.0.0.1", port)
        assert folder.port("nats", "127.0.0.1") != port
    folder.release()


def test_socket_folder_of_a_long_path_is_short_enough_for_the_kernel(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path / ("deep" * 30))
    assert len(str(folder.socket_folder() / ".s.PGSQL.5432")) < 108
    folder.release()

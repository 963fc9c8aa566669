"""Make this deployment's secrets, once, on volumes that its containers alone mount: `prepare.py FOLDER`.

FOLDER/redis      users.acl: who may do what in Redis, by the hashes of their passwords; probe-password, for its health
                  check; admin-password, for people
FOLDER/init       redis-password of the user that may load functions; authority: what certificates are made with
FOLDER/worker     redis-password of the workers
FOLDER/gateway    redis-password of the gateway; page-token-key; tenants.toml and first-key, a key of the tenant
                  `default` for its admin; server.pem and server-key.pem, its certificate; ca.pem, what clients check
                  that by
FOLDER/console    cookie-secret, by which the console seals its cookies, and copies of ca.pem, server.pem and
                  server-key.pem; only where there is this folder

    SPARRING_HOSTS    names and addresses in that certificate beside localhost and `gateway`, separated by spaces

Whatever is there stays as it is, but for the certificate: it is made anew when the names change, or after ten months.
"""

import hashlib
import os
import secrets
import subprocess
import sys
import time
from pathlib import Path

RULES = Path(__file__).with_name("users.acl")
USERS = {
    "admin": "redis/admin-password",
    "probe": "redis/probe-password",
    "init": "init/redis-password",
    "gateway": "gateway/redis-password",
    "worker": "worker/redis-password",
}
CERTIFICATE_KEPT_S = 300 * 86_400
# A certificate, its key, and what it is checked by.
PAIR = ("ca.pem", "server-key.pem", "server.pem")


def put(path: Path, text: str) -> None:
    """Write a file that nobody but its owner may read, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.touch(mode=0o600)
    partial.write_text(text)
    partial.replace(path)


def secret(path: Path) -> str:
    """Return what a file holds; a new secret where there is no file yet."""
    if not path.exists():
        put(path, secrets.token_urlsafe(32))
    return path.read_text()


def access_list(passwords: dict[str, str]) -> str:
    """Return Redis' list of users, the hash of each password filled in."""
    text = RULES.read_text()
    for user, password in passwords.items():
        text = text.replace(f"#@{user}@", f"#{hashlib.sha256(password.encode()).hexdigest()}")
    return text


def sparring(*arguments: str) -> str:
    """Run our own command and return what it prints."""
    return subprocess.run(["sparring", *arguments], check=True, stdout=subprocess.PIPE, text=True).stdout


def first_key(folder: Path) -> None:
    """Make a tenant and its admin's key, unless there are tenants."""
    tenants = folder / "tenants.toml"
    if not tenants.exists():
        made = sparring(
            "keys", "new", "--tenant", "default", "--id", "first", "--role", "admin", "--file", str(tenants)
        )
        put(folder / "first-key", made.split()[0])


def certificate(folder: Path, authority: Path, hosts: list[str]) -> None:
    """Make the gateway's certificate, by an authority whose key the gateway does not see."""
    made_for, current = folder / "hosts", folder / "server.pem"
    wanted = " ".join(hosts)
    fresh = current.exists() and time.time() - current.stat().st_mtime < CERTIFICATE_KEPT_S
    if fresh and made_for.exists() and made_for.read_text() == wanted:
        return
    sparring("credentials", str(authority), *(word for host in hosts for word in ("--host", host)))
    for name in PAIR:
        put(folder / name, (authority / name).read_text())
    put(made_for, wanted)


def prepare(folder: Path, hosts: list[str]) -> None:
    """Make what is not there yet."""
    put(folder / "redis" / "users.acl", access_list({user: secret(folder / path) for user, path in USERS.items()}))
    secret(folder / "gateway" / "page-token-key")
    first_key(folder / "gateway")
    certificate(folder / "gateway", folder / "init" / "authority", hosts)
    if (folder / "console").is_dir():
        secret(folder / "console" / "cookie-secret")
        for name in PAIR:
            put(folder / "console" / name, (folder / "gateway" / name).read_text())


if __name__ == "__main__":
    names = ["localhost", "127.0.0.1", "gateway", *os.environ.get("SPARRING_HOSTS", "").split()]
    prepare(Path(sys.argv[1]), list(dict.fromkeys(names)))

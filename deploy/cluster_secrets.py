"""Make this release's Secrets, once, in the cluster that runs it: `cluster_secrets.py PART=SECRET ...`.

What `prepare.py` makes on volumes, kept in one Secret for each of its folders: `redis=demo-redis` keeps the folder
`redis` as the Secret `demo-redis`. A Secret that is there is read first, and what it holds stays as it is but for the
gateway's certificate, which `prepare.py` makes anew when the names change, or after ten months. So an upgrade, or a
second run of this, changes nothing else.

    SPARRING_HOSTS     names and addresses in that certificate beside localhost and `gateway`, separated by spaces

Runs in a Job of the Helm chart (deploy/helm/sparring), with an account that may create Secrets, and read and change
these. A file in a folder of a folder is kept under both names with two underscores between them.
"""

from __future__ import annotations

import base64
import json
import os
import ssl
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509

PREPARE = Path(__file__).with_name("prepare.py")
ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# The chart has Redis' pod fill in the list of users itself, so that new rules reach it without a new Secret.
LEFT_OUT = ("users.acl",)
FOLDED = "__"
TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Cluster:
    """The Secrets of one namespace, by the Kubernetes API."""

    address: str
    namespace: str
    token: str
    authority: Path | None

    @classmethod
    def from_inside(cls, account: Path = ACCOUNT) -> Cluster:
        """The cluster that this pod runs in, as its account."""
        host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
        host = f"[{host}]" if ":" in host else host
        namespace, token = ((account / name).read_text().strip() for name in ("namespace", "token"))
        return cls(f"https://{host}:{port}", namespace, token, account / "ca.crt")

    def read(self, name: str) -> dict[str, bytes] | None:
        """Return what a Secret holds; None where there is none of this name."""
        try:
            found = self._call("GET", f"/{name}")
        except urllib.error.HTTPError as error:
            if error.code != 404:
                raise
            return None
        return {key: base64.b64decode(value) for key, value in (found.get("data") or {}).items()}

    def create(self, name: str, data: dict[str, bytes]) -> None:
        """Make a Secret; fails where one of this name has come meanwhile, and the Job then begins again."""
        labels = {"app.kubernetes.io/name": "sparring", "app.kubernetes.io/component": "secrets"}
        metadata = {"name": name, "labels": labels}
        self._call(
            "POST", "", {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata} | _data(data)
        )

    def change(self, name: str, data: dict[str, bytes]) -> None:
        """Put these keys into a Secret, and leave its others as they are."""
        self._call("PATCH", f"/{name}", _data(data))

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        request = urllib.request.Request(  # noqa: S310 - the address is the cluster's own, always https in a pod
            f"{self.address}/api/v1/namespaces/{self.namespace}/secrets{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": kind, "Accept": "application/json"},
        )
        trust = ssl.create_default_context(cafile=None if self.authority is None else str(self.authority))
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=trust) as answer:  # noqa: S310 - as above
            found: dict[str, Any] = json.load(answer)
        return found


def _data(data: dict[str, bytes]) -> dict[str, dict[str, str]]:
    return {"data": {key: base64.b64encode(value).decode() for key, value in data.items()}}


def unpack(folder: Path, data: dict[str, bytes]) -> None:
    """Write what a Secret holds into a folder, with the certificate's own age, by which it is renewed."""
    folder.mkdir(mode=0o700, parents=True)
    for key, value in data.items():
        path = folder / key.replace(FOLDED, "/")
        path.parent.mkdir(mode=0o700, exist_ok=True)
        path.touch(mode=0o600)
        path.write_bytes(value)
        if path.name == "server.pem":
            made = x509.load_pem_x509_certificate(value).not_valid_before_utc.timestamp()
            os.utime(path, (made, made))


def pack(folder: Path) -> dict[str, bytes]:
    """Return what a folder holds, as a Secret's keys and values."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name not in LEFT_OUT]
    return {str(path.relative_to(folder)).replace("/", FOLDED): path.read_bytes() for path in files}


def keep(cluster: Cluster, secrets: dict[str, str]) -> None:
    """Read the Secret of each part, make what is missing, and write back what is new."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        held = {part: cluster.read(name) for part, name in secrets.items()}
        for part, data in held.items():
            unpack(folder / part, {} if data is None else data)
        subprocess.run([sys.executable, str(PREPARE), str(folder)], check=True)
        for part, name in secrets.items():
            before, now = held[part], pack(folder / part)
            if before is None:
                cluster.create(name, now)
                print(f"{name}: made, with {', '.join(now)}")
                continue
            new = {key: value for key, value in now.items() if before.get(key) != value}
            if new:
                cluster.change(name, new)
            print(f"{name}: {'new are ' + ', '.join(new) if new else 'complete'}")


if __name__ == "__main__":
    keep(Cluster.from_inside(), dict(argument.split("=", 1) for argument in sys.argv[1:]))

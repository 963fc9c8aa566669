"""Exit 0 if the console in this container answers /healthz, over TLS where it has a certificate."""

import http.client
import os
import ssl
import sys

TIMEOUT_S = 5.0


def healthy(port: int, *, tls: bool) -> bool:
    """Say whether the console at a port of the loopback is alive."""
    if tls:
        # It asks itself, on the loopback: whose certificate that is, is for browsers to judge.
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=TIMEOUT_S, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT_S)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == http.client.OK
    except (OSError, http.client.HTTPException) as error:
        print(error, file=sys.stderr)
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    listen = os.environ["SPARRING_CONSOLE_LISTEN"]
    sys.exit(0 if healthy(int(listen.rpartition(":")[2]), tls=bool(os.environ.get("SPARRING_TLS_CERT_FILE"))) else 1)

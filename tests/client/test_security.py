"""Keys and certificates: who asks, over what, and what is said where the two ends do not fit."""

from __future__ import annotations

import asyncio

import grpc
import pytest
import sparring
from sparring import errors
from sparring.security import is_loopback

from services.cli.authority import Authority

KEY = "spk_ci_" + "a" * 43


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"), days=10)


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("stranger"), days=10)


def pair(issued):
    return issued.key.read_bytes(), issued.certificate.read_bytes()


@pytest.fixture
def secure(fake, authority):
    """`secure(host, mutual)`: the address of a service with TLS."""
    running = []

    def start(host="127.0.0.1", *, mutual=False):
        roots = authority.files.certificate.read_bytes() if mutual else None
        credentials = grpc.ssl_server_credentials([pair(authority.server([host], days=1))], roots, mutual)
        running.append(fake.Server(credentials))
        return running[-1]

    yield start
    for server in running:
        server.stop()


def call(server, **options):
    with sparring.connect(server.target, timeout_s=5, **options) as client:
        return client.catalog.info()


def test_every_call_carries_the_key(connect, service, tmp_path):
    client = connect(key=KEY)
    service.add_job(events=2)
    list(client.jobs.watch("j"))
    client.artifacts.download(client.artifacts.upload(b"x").name, tmp_path / "got")
    client.tenant()
    assert {rpc for rpc, _ in service.keys} >= {"WatchJob", "UploadArtifact", "DownloadArtifact", "GetTenant"}
    assert {key for _, key in service.keys} == {f"Bearer {KEY}"}


def test_a_call_without_a_key_carries_none(either, service):
    either.catalog.info()
    assert service.keys == [("GetServerInfo", "")]


@pytest.mark.parametrize(
    "target", ["gateway.example.org:50051", "10.0.0.7:50051", "dns:///gateway:1", "[2001:db8::1]:5"]
)
@pytest.mark.parametrize("opened", [sparring.connect, sparring.connect_async])
def test_a_key_does_not_leave_this_machine_in_plain_text(target, opened):
    with pytest.raises(errors.InvalidArgument, match="plain text") as caught:
        opened(target, key=KEY)
    assert caught.value.reason == "PLAINTEXT_KEY"
    assert KEY not in str(caught.value)


def test_a_key_goes_out_in_plain_text_where_that_is_said_to_be_right():
    sparring.connect("10.0.0.7:50051", key=KEY, allow_plaintext_key=True).close()


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1:1",
        "127.3.2.1:1",
        "localhost:1",
        "LOCALHOST",
        "[::1]:1",
        "::1",
        "unix:/run/s",
        "ipv4:127.0.0.1:1,127.0.0.2:2",
    ],
)
def test_what_is_on_this_machine(target):
    assert is_loopback(target)
    sparring.connect(target, key=KEY).close()


@pytest.mark.parametrize(
    "target", ["127.0.0.1.example.org:1", "localhost.example.org", "ipv4:127.0.0.1:1,10.0.0.1:1", "", "xds:///a"]
)
def test_what_is_not_surely_on_this_machine(target):
    assert not is_loopback(target)


@pytest.mark.parametrize("key", ["", "two words", "line\nbreak", "ümlaut"])
def test_what_no_header_can_hold_is_no_key(key):
    with pytest.raises(errors.InvalidArgument) as caught:
        sparring.connect(key=key)
    assert not key or key not in str(caught.value)


def test_settings_do_not_show_the_key():
    with sparring.connect(key=KEY) as client:
        assert KEY not in repr(client._caller.settings)


def test_tls_trusts_the_authority_of_the_file(secure, authority):
    server = secure()
    assert call(server, tls_ca=authority.files.certificate, key=KEY).version
    assert server.service.keys == [("GetServerInfo", f"Bearer {KEY}")]


def test_an_asyncio_upload_goes_over_tls_with_the_key(secure, authority):
    server = secure()

    async def upload():
        async with sparring.connect_async(server.target, tls_ca=authority.files.certificate, key=KEY) as client:
            return await client.artifacts.upload(b"bytes")

    assert asyncio.run(upload()).name in server.service.artifacts
    assert {key for _, key in server.service.keys} == {f"Bearer {KEY}"}


def test_a_client_certificate_opens_a_service_that_asks_for_one(secure, authority):
    own = authority.client("ci", days=1)
    server = secure(mutual=True)
    assert call(server, tls_ca=authority.files.certificate, tls_cert=own.certificate, tls_key=own.key).version


def test_plain_text_to_a_service_with_tls_says_what_to_give(secure):
    with pytest.raises(errors.Unreachable, match="if it speaks TLS, give the certificate of its authority as tls_ca"):
        call(secure())


def test_tls_to_a_service_in_plain_text_says_what_to_leave_out(server, authority):
    with pytest.raises(errors.Unreachable, match="speaks plain text") as caught:
        call(server, tls_ca=authority.files.certificate)
    assert caught.value.reason == "TLS_MISMATCH"


def test_a_certificate_of_another_authority_is_refused(secure, stranger):
    server = secure()
    with pytest.raises(errors.Unreachable, match="another authority"):
        call(server, tls_ca=stranger.files.certificate)
    with pytest.raises(errors.Unreachable, match="another authority"):
        call(server, tls=True)
    assert server.service.calls == []


def test_a_certificate_for_another_name_is_refused(secure, authority):
    with pytest.raises(errors.Unreachable, match="not for this name"):
        call(secure("gateway.example.org"), tls_ca=authority.files.certificate)


def test_a_service_that_asks_for_client_certificates_refuses_those_of_others(secure, authority, stranger):
    own = stranger.client("ci", days=1)
    server = secure(mutual=True)
    for options in ({}, {"tls_cert": own.certificate, "tls_key": own.key}):
        with pytest.raises(errors.Unreachable, match="if it asks for client certificates"):
            call(server, tls_ca=authority.files.certificate, **options)
    assert server.service.calls == []


def test_a_key_of_another_certificate_says_so(secure, authority):
    one, other = authority.client("one", days=1), authority.client("other", days=1)
    with pytest.raises(errors.Unreachable, match="the key is that of the certificate"):
        call(secure(mutual=True), tls_ca=authority.files.certificate, tls_cert=one.certificate, tls_key=other.key)


def test_a_certificate_without_its_key_and_a_file_that_is_not_there_are_refused(authority, tmp_path):
    with pytest.raises(errors.InvalidArgument, match="go together"):
        sparring.connect(tls_cert=authority.files.certificate)
    with pytest.raises(errors.InvalidArgument, match="tls_ca: can't read"):
        sparring.connect(tls_ca=tmp_path / "nothing")


def test_who_is_asking_is_shown(either, service):
    assert either.tenant() == service.tenant


def test_the_audit_log_goes_through_all_pages(either, service):
    service.audit = [{"rpc": f"JobService.{number}"} for number in range(5)]
    assert [entry.rpc for entry in either.audit(page_size=2)] == [f"JobService.{number}" for number in range(5)]
    assert [request.page_token for request in service.requests("ListAuditEntries")] == ["", "2", "4"]

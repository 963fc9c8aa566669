"""The tenants file: read whole, or refused with everything that is wrong with it."""

import datetime as dt

import pytest

from services.errors import Unauthenticated
from services.jobs.record import Quota
from services.tenants.keys import hash_key, new_key
from services.tenants.parse import TenantsFileError, parse, read
from services.tenants.table import Credential, KeyExpired, Role

SHA = "ab" * 32

GOOD = f"""
[tenants.vision]
max_queued_jobs = 1000
max_running_jobs = 8
max_artifact_bytes = 10_000_000_000
max_giga_ops = 1e9
weight = 2
[[tenants.vision.keys]]
id = "ci"
sha256 = "{SHA}"
role = "submit"
expires = 2027-01-01T00:00:00Z
[[tenants.vision.keys]]
id = "robot"
certificate = "robot-7"
role = "admin"
[tenants.empty]
"""


def at(year):
    return dt.datetime(year, 1, 1, tzinfo=dt.UTC).timestamp()


def test_a_file_is_read_whole():
    tenants = parse(GOOD)
    assert tenants.quotas == {
        "vision": Quota(
            max_queued_jobs=1000, max_running_jobs=8, max_artifact_bytes=10**10, max_giga_ops=1e9, weight=2.0
        ),
        "empty": Quota(),
    }
    key = tenants.find(Credential(sha256=SHA), at(2026))
    assert (key.tenant, key.id, key.role, key.expires_s) == ("vision", "ci", Role.SUBMIT, at(2027))
    robot = tenants.find(Credential(certificate="robot-7"), at(2100))
    assert (robot.tenant, robot.id, robot.role, robot.expires_s) == ("vision", "robot", Role.ADMIN, None)


def test_what_is_no_key_says_why():
    tenants = parse(GOOD)
    for credential, now_s, reason in (
        (Credential(), at(2026), "KEY_MISSING"),
        (Credential(sha256="cd" * 32), at(2026), "KEY_UNKNOWN"),
        (Credential(certificate=SHA), at(2026), "KEY_UNKNOWN"),
        (Credential(sha256="robot-7"), at(2026), "KEY_UNKNOWN"),
        (Credential(sha256=SHA), at(2027), "KEY_EXPIRED"),
    ):
        with pytest.raises(Unauthenticated) as caught:
            tenants.find(credential, now_s)
        assert caught.value.reason == reason
        assert SHA not in str(caught.value)
    with pytest.raises(KeyExpired) as caught:
        tenants.find(Credential(sha256=SHA), at(2027) + 1)
    assert caught.value.key.tenant == "vision"


KEY = f'[[tenants.t.keys]]\nid = "k"\nsha256 = "{SHA}"\nrole = "read"\n'


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", "tenants: has no tenant"),
        ("tenants = 3", "tenants: must be a table"),
        ("[tenants.t]\n[other]", "other: is none of tenants"),
        ("[tenants.Vision]", "tenants.Vision: the name of a tenant"),
        (f"[tenants.{'t' * 41}]", "the name of a tenant"),
        ("[tenants]\nt = 1", "tenants.t: must be a table"),
        ("[tenants.t]\nmax_jobs = 1", "tenants.t.max_jobs: is none of"),
        ("[tenants.t]\nmax_queued_jobs = -1", "tenants.t.max_queued_jobs: must be a whole number"),
        ("[tenants.t]\nmax_running_jobs = 1.5", "tenants.t.max_running_jobs: must be a whole number"),
        ("[tenants.t]\nmax_artifact_bytes = true", "tenants.t.max_artifact_bytes: must be a whole number"),
        (f"[tenants.t]\nmax_artifact_bytes = {2**60}", "tenants.t.max_artifact_bytes: must be a whole number"),
        ("[tenants.t]\nmax_giga_ops = nan", "tenants.t.max_giga_ops: must be a number"),
        ("[tenants.t]\nmax_giga_ops = inf", "tenants.t.max_giga_ops: must be a number"),
        (f"[tenants.t]\nmax_giga_ops = {10**400}", "tenants.t.max_giga_ops: must be a number"),
        ("[tenants.t]\nweight = 0", "tenants.t.weight: must be above 0"),
        ('[tenants.t]\nweight = "1"', "tenants.t.weight: must be a number"),
        ("[tenants.t]\nkeys = 1", "tenants.t.keys: must be tables"),
        ("[tenants.t]\nkeys = [1]", "tenants.t.keys[0]: must be a table"),
        (KEY.replace('"k"', '"a_b"'), "tenants.t.keys[0].id: must be set to lower-case"),
        (KEY.replace('id = "k"', ""), "tenants.t.keys[0].id: must be set"),
        (KEY.replace('"read"', '"root"'), "tenants.t.keys[0].role: must be one of read, submit, admin"),
        (KEY.replace('role = "read"', ""), "tenants.t.keys[0].role: must be one of"),
        (KEY.replace('"read"', "[1]"), "tenants.t.keys[0].role: must be one of"),
        (KEY.replace(SHA, SHA.upper()), "tenants.t.keys[0].sha256: must be the SHA-256"),
        (KEY.replace("sha256", "sha1"), "tenants.t.keys[0].sha1: is none of"),
        (KEY + 'certificate = "c"', "tenants.t.keys[0]: must have exactly one of sha256, certificate"),
        (KEY.replace(f'sha256 = "{SHA}"', ""), "tenants.t.keys[0]: must have exactly one of"),
        (KEY.replace(f'sha256 = "{SHA}"', 'certificate = ""'), "tenants.t.keys[0].certificate: must be a common name"),
        (KEY + "expires = 2027-01-01T00:00:00", "tenants.t.keys[0].expires: must be a time with its zone"),
        (KEY + "expires = 2027-01-01", "tenants.t.keys[0].expires: must be a time with its zone"),
        (KEY + 'expires = "never"', "tenants.t.keys[0].expires: must be a time with its zone"),
        (KEY + KEY.replace(SHA, "cd" * 32), "tenants.t.keys[1].id: 'k' stands here twice"),
        (KEY + KEY.replace("tenants.t", "tenants.u"), "tenants.u.keys[0]: is the same as key 'k' of tenant 't'"),
        ("[tenants.t", "is not TOML"),
        ("a = " + "[" * 100_000, "is not TOML"),
    ],
)
def test_what_is_wrong_is_named_by_its_path(text, path):
    with pytest.raises(TenantsFileError) as caught:
        parse(text)
    assert path in str(caught.value)


def test_everything_that_is_wrong_is_named_at_once():
    text = "[tenants.T]\nweight = 0\nmax_queued_jobs = -1\n" + KEY.replace('"read"', '"root"').replace(SHA, "x")
    with pytest.raises(TenantsFileError) as caught:
        parse(text)
    assert str(caught.value).count(";") == 4


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "t").write_bytes(b"\xff\xfe")
    with pytest.raises(TenantsFileError, match="is not UTF-8"):
        read(tmp_path / "t")


def test_a_key_is_random_and_known_by_its_hash_alone():
    texts = {new_key("ci-7") for _ in range(50)}
    assert len(texts) == 50
    for text in texts:
        assert text.startswith("spk_ci-7_")
        assert len(text) == len("spk_ci-7_") + 43
    text = texts.pop()
    tenants = parse(KEY.replace(SHA, hash_key(text)))
    assert tenants.find(Credential(sha256=hash_key(text)), 0.0).id == "k"
    for wrong in ("", "a_b", "A", "x" * 41, "a\n"):
        with pytest.raises(ValueError, match="the id of a key"):
            new_key(wrong)

"""What people bring: files to upload, by chooser and by drag and drop, and a key to log in with."""

from __future__ import annotations

import base64
import io
import re
from urllib.parse import urlsplit

import numpy as np
import pytest
import sparring
from playwright.sync_api import expect

from services.local import LocalStack
from services.local.readiness import Probe
from services.tenants.keys import hash_key, new_key

DROP = """([name, data]) => {
    const held = new DataTransfer();
    held.items.add(new File([Uint8Array.from(atob(data), (one) => one.charCodeAt(0))], name));
    return held;
}"""


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def drop(page, name, content):
    held = page.evaluate_handle(DROP, [name, base64.b64encode(content).decode()])
    page.dispatch_event(".drop", "drop", {"dataTransfer": held})


def test_a_model_is_uploaded_from_a_file(open_page, console_stack, trained, tmp_path):
    path = tmp_path / "copy.safetensors"
    with sparring.connect(console_stack.target) as client:
        path.write_bytes(b"".join(client.artifacts.chunks(client.models.get(trained).weights)))
    page = open_page("/models")
    page.get_by_label("Weights").set_input_files(path)
    page.get_by_label("Architecture").select_option("wong_cnn")
    page.get_by_label("Name").fill("brought")
    page.get_by_role("button", name="Upload").click()
    expect(page).to_have_url(re.compile("/models/brought$"))
    expect(page.locator("#model-state")).to_have_text("ready", timeout=60_000)


def test_a_dataset_is_uploaded_by_drag_and_drop_and_shows_its_pictures(open_page):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)
    page = open_page("/datasets")
    drop(page, "pictures.npy", npy(pixels))
    drop(page, "labels.npy", npy(np.arange(40) % 4))
    page.get_by_label("Classes").fill("4")
    page.get_by_label("Name").fill("squares")
    page.get_by_role("button", name="Upload").click()
    expect(page).to_have_url(re.compile("/datasets/squares$"))
    expect(page.locator(".state").first).to_have_text("ready", timeout=60_000)
    expect(page.locator("#samples img")).to_have_count(32, timeout=60_000)
    expect(page.get_by_role("region", name="Classes of all").get_by_role("row")).to_have_count(5)


def test_a_file_that_is_none_is_refused_on_the_page(open_page, complaints):
    complaints.expected.append("status of 400")
    page = open_page("/models")
    drop(page, "virus.safetensors", b"MZ this is no safetensors file")
    page.get_by_role("button", name="Upload").click()
    expect(page.get_by_role("alert").filter(has_text="safetensors")).to_be_visible()
    expect(page.get_by_role("button", name="Upload")).to_be_enabled()


@pytest.fixture(scope="module")
def locked(tmp_path_factory):
    """A stack that asks for keys, with its console, and a key that opens it."""
    folder, key = tmp_path_factory.mktemp("locked"), new_key("reader")
    tenants = folder / "tenants.toml"
    tenants.write_text(
        f'[tenants.lab]\n[[tenants.lab.keys]]\nid = "reader"\nsha256 = "{hash_key(key)}"\nrole = "admin"\n'
    )
    asks = {"SPARRING_TENANTS_FILE": str(tenants)}
    with LocalStack(0, folder / "data", console=True, gateway_environment=asks, probe=Probe(key=key)) as stack:
        yield stack, key


def test_a_key_opens_the_console_and_log_out_closes_it(open_page, complaints, locked):
    stack, key = locked
    # Its console is restarted under it, too.
    complaints.expected.extend(["status of 401", "net::ERR_"])
    page = open_page("/account", base=stack.console)
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.get_by_label("Key").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_be_visible()
    page.get_by_label("Key").fill(key)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Audit log")).to_be_visible()
    assert urlsplit(page.url).path == "/account"
    (cookie,) = page.context.cookies()
    assert (cookie["httpOnly"], cookie["sameSite"]) == (True, "Strict")
    assert key not in cookie["value"]
    stack.restart("console")
    stack.wait_until_ready()
    page.reload()
    expect(page.get_by_role("heading", name="Audit log")).to_be_visible()
    page.get_by_role("button", name="Log out").click()
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()
    page.goto(f"{stack.console}/jobs")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()

"""Who may ask: hosts, origins, tokens and kinds of bodies."""

import hmac
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from served import TOKEN, client_of

from perisphere.serve import guard
from perisphere.serve.guard import COOKIE, Guard, name_of
from perisphere.serve.refused import RefusedError
from perisphere.serve.settings import Settings

OURS = {"host": "localhost"}
JSON = {"content-type": "application/json"}


def status(settings: Settings, method: str, path: str, **headers: str) -> int:
    """The status that the guard answers with, 200 where it lets the request pass."""
    try:
        Guard(settings).check(method, path, {name.replace("_", "-"): text for name, text in headers.items()})
    except RefusedError as refused:
        return refused.status
    return 200


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8000", "LOCALHOST", "127.0.0.1:1", "[::1]:8000", "[::1]", "127.8.0.1"]
)
def test_this_machine_is_called_by_its_own_names(host: str) -> None:
    assert status(Settings(), "GET", "/about", host=host) == 200


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "localhost.evil.example", "evil.example:8000", "localhost@evil.example"),
        *("127.0.0.1.nip.io", "[::1].evil.example", "[::1", "localhost:80:80", "localhost:x", "10.0.0.1"),
        *("0.0.0.0", "localhost ", "2130706433", "0x7f000001"),
    ],
)
def test_a_name_that_was_rebound_to_this_machine_is_refused(host: str) -> None:
    assert status(Settings(), "GET", "/about", host=host) == 403
    assert status(Settings(), "GET", "/health", host=host) == 403


@given(st.text(max_size=30))
def test_no_other_name_passes(host: str) -> None:
    ours = name_of(host) in ("localhost", "127.0.0.1", "::1") or name_of(host).startswith("127.")
    assert ours or status(Settings(), "GET", "/about", host=host) == 403


def test_names_and_addresses_that_were_given_pass() -> None:
    named = Settings(hosts=frozenset(["Photos.Example"]))
    assert status(named, "GET", "/about", host="photos.example:8443") == 200
    assert status(named, "GET", "/about", host="192.168.0.7") == 403
    everywhere = Settings(any_address=True)
    assert status(everywhere, "GET", "/about", host="192.168.0.7:8000") == 200
    assert status(everywhere, "GET", "/about", host="photos.example") == 403


@pytest.mark.parametrize("method", ["POST", "DELETE", "PUT", "PATCH"])
@pytest.mark.parametrize(
    ("origin", "expected"),
    [
        ("http://localhost:8000", 200),
        ("https://localhost:8000", 200),
        ("http://localhost:3000", 403),
        ("http://localhost", 403),
        ("https://evil.example", 403),
        ("null", 403),
        ("", 403),
    ],
)
def test_a_page_of_another_site_changes_nothing(method: str, origin: str, expected: int) -> None:
    headers = {"host": "localhost:8000", "origin": origin, **JSON}
    assert status(Settings(), method, "/items/1", **headers) == expected
    assert status(Settings(), "GET", "/about", **headers) == 200


@pytest.mark.parametrize("kind", ["", "text/plain", "application/x-www-form-urlencoded", "text/plain;image/"])
def test_bodies_that_a_form_could_send_are_refused(kind: str) -> None:
    assert status(Settings(), "POST", "/search", **OURS, content_type=kind) == 415


@pytest.mark.parametrize(
    "kind", ["application/json; charset=utf-8", "multipart/form-data; boundary=x", "image/x"]
)
def test_bodies_of_other_kinds_pass(kind: str) -> None:
    assert status(Settings(), "POST", "/search", **OURS, content_type=kind) == 200


@pytest.mark.parametrize(
    "shown",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN}x",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer é",
    ],
)
def test_without_the_token_nothing_is_told(shown: str) -> None:
    settings = Settings(token=TOKEN)
    for path in ("/about", "/images/1/original", "/metrics", "/openapi.json", "/uploads/x/thumbnail"):
        assert status(settings, "GET", path, **OURS, authorization=shown) == 401
    assert status(settings, "POST", "/", **OURS, **JSON, authorization=shown) == 401
    for path in ("/health", "/", "/static/page.js"):
        assert status(settings, "GET", path, **OURS, authorization=shown) == 200


def test_with_the_token_all_is_told() -> None:
    settings = Settings(token=TOKEN)
    assert status(settings, "GET", "/about", **OURS, authorization=f"Bearer {TOKEN}") == 200
    assert status(settings, "GET", "/about", **OURS, authorization=f"bearer  {TOKEN}") == 200
    cookie = f"other=1; {COOKIE}={Guard(settings).cookie}"
    assert status(settings, "GET", "/about", **OURS, cookie=cookie) == 200
    assert status(settings, "GET", "/about", **OURS, cookie=f"{COOKIE}={TOKEN}") == 401
    assert status(settings, "GET", "/about", **OURS, cookie=f"{COOKIE}=") == 401


def test_tokens_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return hmac.compare_digest(one, other)

    monkeypatch.setattr(
        guard, "hmac", type("h", (), {"compare_digest": staticmethod(compare), "new": hmac.new})
    )
    assert (
        status(
            Settings(token=TOKEN), "GET", "/about", **OURS, authorization="Bearer a", cookie="perisphere=b"
        )
        == 401
    )
    assert compared == [b"a", b"b"]


@pytest.fixture(scope="module")
def locked(served: Path) -> Iterator[TestClient]:
    with client_of(served, token=TOKEN) as client:
        yield client


def test_the_token_in_the_address_becomes_a_cookie_that_no_script_reads(locked: TestClient) -> None:
    assert locked.get("/about").status_code == 401
    entered = locked.get("/", params={"token": TOKEN})
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie
    try:
        assert locked.get("/about").status_code == 200
    finally:
        locked.cookies.clear()
    assert locked.get("/about").status_code == 401


def test_a_link_from_another_site_enters_by_a_page_of_ours(locked: TestClient) -> None:
    entered = locked.get("/", params={"token": TOKEN}, headers={"sec-fetch-site": "cross-site"})
    locked.cookies.clear()
    assert (entered.status_code, entered.headers["refresh"]) == (200, "0; url=/")
    assert COOKIE in entered.headers["set-cookie"]


def test_a_wrong_token_in_the_address_sets_nothing(locked: TestClient) -> None:
    refused = locked.get("/", params={"token": TOKEN + "x"})
    assert refused.status_code == 401
    assert "set-cookie" not in refused.headers


def test_health_needs_no_token_and_tells_no_more(locked: TestClient) -> None:
    health = locked.get("/health").json()
    assert set(health) == {"status", "images", "version"}

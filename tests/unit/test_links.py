import base64
import hmac
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.errors import ConfigError, Invalid
from tessera.storage import names
from tessera.storage.links import Links
from tessera.storage.local import LocalStore
from tessera.storage.sigv4 import Credentials

SECRET = b"0123456789abcdef0123456789abcdef"
LINKS = Links("https://Files.Example.org:443/", SECRET)
KEY = "outputs/2026/ü b+c%20#?.png"
URL = LINKS.url(KEY)


def test_a_url_shows_its_token_and_its_key() -> None:
    digest = hmac.digest(SECRET, KEY.encode(), "sha256")
    token = base64.urlsafe_b64encode(digest).decode()[:22]
    assert f"https://files.example.org/files/{token}/outputs/2026/%C3%BC%20b%2Bc%2520%23%3F.png" == URL


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60))
def test_a_url_leads_back_to_its_key(key: str) -> None:
    url = LINKS.url(key)
    assert LINKS.key(url) == key
    assert url.isascii()


@pytest.mark.parametrize(
    "url",
    [
        URL,
        f"{URL}?download=1",
        f"{URL}#top",
        f"{URL}?",
        URL.replace("https://files.example.org", "HTTPS://FILES.example.ORG:443"),
        URL.replace("%C3%BC", "ü"),
    ],
)
def test_the_same_url_in_other_forms_is_known(url: str) -> None:
    assert LINKS.key(url) == KEY


@pytest.mark.parametrize(
    "url",
    [
        "",
        "https://files.example.org",
        "https://files.example.org/files/",
        "https://files.example.org/files/x",
        URL.replace("https://", "http://"),
        URL.replace("https://", "ftp://"),
        URL.replace("https://", "//"),
        URL.replace("files.example.org", "files.example.com"),
        URL.replace("files.example.org", "files.example.org:8443"),
        URL.replace("files.example.org", "files.example.org:99999"),
        URL.replace("files.example.org", "files.example.org@evil.example.org"),
        URL.replace("files.example.org", "user@files.example.org"),
        URL.replace("files.example.org", "[::1"),
        URL.replace("/files/", "/other/"),
        URL.replace("/files/", "/x/files/"),
        URL.replace("outputs", "inputs"),
        URL.replace("/outputs", "//outputs"),
        URL.replace("/outputs", "/./outputs"),
        URL + "x",
        URL + "/",
        URL[:-1],
        URL.replace(".png", ".png\n"),
        URL.replace(".png", "\t.png"),
        URL.replace("%C3%BC", "%C3"),
        " " + URL,
        URL + "?" + "x" * 10_000,
    ],
)
def test_a_foreign_or_altered_url_has_no_key(url: str) -> None:
    assert LINKS.key(url) is None


@given(st.integers(0, len(URL) - 1), st.characters(min_codepoint=33, max_codepoint=0x17F))
def test_one_other_character_leads_to_no_other_key(place: int, character: str) -> None:
    assert LINKS.key(URL[:place] + character + URL[place + 1 :]) in {None, KEY}


@pytest.mark.parametrize("token", ["", "x", "é" * 22, "\udcff" * 22, "A" * 22, "A" * 1000])
def test_a_wrong_token_is_refused(token: str) -> None:
    assert not LINKS.check(token, KEY)


def test_a_token_is_of_one_key_and_one_secret() -> None:
    token = URL.split("/")[4]
    assert len(token) == 22
    assert LINKS.check(token, KEY)
    assert not LINKS.check(token, KEY + "x")
    assert not Links("https://files.example.org", SECRET[::-1]).check(token, KEY)


def test_a_public_url_may_have_a_path() -> None:
    links = Links("http://127.0.0.1:8000/tessera/", SECRET)
    assert links.url("a.png").startswith("http://127.0.0.1:8000/tessera/files/")
    assert links.key(links.url("a.png")) == "a.png"
    assert links.key(links.url("a.png").replace("/tessera", "", 1)) is None


def test_a_direct_link_does_not_betray_the_lasting_one(tmp_path: Path) -> None:
    store = LocalStore(tmp_path, public_url="https://files.example.org", credentials=Credentials("K" * 14, "s"))
    direct = store.sign("a.png", expires=timedelta(minutes=20), now=datetime(2026, 1, 1, tzinfo=UTC))
    assert LINKS.url("a.png").split("/")[4] not in direct
    assert LINKS.key(direct) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "files.example.org",
        "ftp://files.example.org",
        "https://",
        "https://u:p@files.example.org",
        "https://files.example.org/?a=b",
        "https://files.example.org/#a",
        "https://files.example.org:x",
        "https://files.example.org/a b",
        "https://files.example.org/%2e",
        "https://files.example.org\n",
    ],
)
def test_a_public_url_is_plain_http(url: str) -> None:
    with pytest.raises(ConfigError):
        Links(url, SECRET)


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(ConfigError, match="16 bytes"):
        Links("https://files.example.org", b"short")


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("cat.jpg", "cat.jpg"),
        (" cat.jpg ", "cat.jpg"),
        ("cat.jpg. .", "cat.jpg"),
        ("Привет 日本語 ñ.png", "Привет 日本語 ñ.png"),
        ("cafe\u0301.png", "caf\u00e9.png"),
        ('a<b>c:d"e|f?g*.png', "a_b_c_d_e_f_g_.png"),
        ("a..b.png", "a..b.png"),
        ("console.txt", "console.txt"),
        ("👨‍👩‍👧.png", "👨‍👩‍👧.png"),
        ("100%.png", "100%.png"),
        ("x" * 255, "x" * 255),
    ],
)
def test_an_ordinary_name_is_kept(raw: str, clean: str) -> None:
    assert names.file_name(raw) == clean
    assert names.key(clean) == clean


@pytest.mark.parametrize(
    ("raw", "rule"),
    [
        ("", "empty"),
        ("  ", "empty"),
        ("a/b.png", "must not contain /"),
        ("a\\b.png", "must not contain /"),
        ("/", "must not contain /"),
        (".", "begin with a dot"),
        ("..", "begin with a dot"),
        (".htaccess", "begin with a dot"),
        (" .env", "begin with a dot"),
        ("a\0.png", "control"),
        ("a\r\nSet-Cookie: x", "control"),
        ("a\n", "control"),
        ("a\x7f", "control"),
        ("a\x85", "control"),
        ("a\u2028b", "control"),
        ("a\udcff", "control"),
        ("photo\u202egpj.exe", "direction"),
        ("a\u2066b", "direction"),
        ("a\u200eb", "direction"),
        ("CON", "Windows"),
        ("con.png", "Windows"),
        ("Aux .tar.gz", "Windows"),
        ("LPT1.txt", "Windows"),
        ("com\u00b9", "Windows"),
        ("nul.", "Windows"),
        ("x" * 256, "255 bytes"),
        ("é" * 128, "255 bytes"),
    ],
)
def test_a_dangerous_name_is_refused_with_the_rule(raw: str, rule: str) -> None:
    with pytest.raises(Invalid, match=rule) as caught:
        names.file_name(raw)
    assert caught.value.field == "fileName"
    assert str(caught.value).startswith("fileName ")


@pytest.mark.parametrize(
    ("raw", "clean"),
    [
        ("images", "images"),
        ("images/user-uploads", "images/user-uploads"),
        ("/images/", "images"),
        ("a.jpg", "a.jpg"),
        ("图片/é", "图片/é"),
    ],
)
def test_an_ordinary_folder_is_kept(raw: str, clean: str) -> None:
    assert names.folder(raw) == clean


@pytest.mark.parametrize(
    "raw", ["", "/", "a//b", "../a", "a/../b", "a/..", "a\\b", "a/.git", "a/\n", "a/con", "ab/" * 200]
)
def test_a_dangerous_folder_is_refused(raw: str) -> None:
    with pytest.raises(Invalid) as caught:
        names.folder(raw)
    assert caught.value.field == "uploadPath"


@given(st.text(max_size=60))
def test_a_cleaned_name_is_clean_and_a_key(raw: str) -> None:
    try:
        clean = names.file_name(raw)
    except Invalid:
        return
    assert names.file_name(clean) == clean
    assert names.key(f"a/{clean}") == f"a/{clean}"


@pytest.mark.parametrize(
    ("name", "header"),
    [
        ("cat.jpg", "attachment; filename=\"cat.jpg\"; filename*=UTF-8''cat.jpg"),
        ("ü 1.png", "attachment; filename=\"_ 1.png\"; filename*=UTF-8''%C3%BC%201.png"),
        (
            'a"; filename="b.exe',
            "attachment; filename=\"a_; filename=_b.exe\"; filename*=UTF-8''a%22%3B%20filename%3D%22b.exe",
        ),
        ("a\r\nX: y", "attachment; filename=\"a__X: y\"; filename*=UTF-8''a__X%3A%20y"),
        ("a\\b/c", "attachment; filename=\"a_b_c\"; filename*=UTF-8''a%5Cb%2Fc"),
        ("gpj\u202e.exe", "attachment; filename=\"gpj.exe\"; filename*=UTF-8''gpj.exe"),
    ],
)
def test_a_download_header_shows_the_name(name: str, header: str) -> None:
    assert names.content_disposition(name) == header


@given(st.text())
def test_no_name_breaks_out_of_the_header(name: str) -> None:
    header = names.content_disposition(name)
    assert header.isascii()
    assert header.isprintable()
    assert header.count('"') == 2

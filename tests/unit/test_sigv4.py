from datetime import UTC, datetime, timedelta, timezone
from urllib.parse import quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.storage import sigv4
from tessera.storage.sigv4 import (
    BadSignature,
    Credentials,
    Expired,
    ForeignCredential,
    LinkError,
    Malformed,
    NotYetValid,
)

KEYS = Credentials("TESSERAEXAMPLEKEY", "s3cr3t/with+odd=signs")
NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
TWENTY = timedelta(seconds=1200)
ORIGIN = "http://files.example.org:8080"
PATH = "/tessera/outputs/ü b+c.png"


def link(**changed: object) -> str:
    arguments: dict[str, object] = {"region": "local", "expires": TWENTY, "now": NOW} | changed
    return sigv4.sign(ORIGIN, PATH, KEYS, **arguments)  # type: ignore[arg-type]


def judge(
    url: str,
    *,
    method: str = "GET",
    host: str | None = None,
    keys: Credentials = KEYS,
    region: str = "local",
    now: datetime = NOW,
) -> None:
    """Verify a URL as a server would that got it on the request line."""
    rest = url.partition("://")[2]
    name, slash, target = rest.partition("/")
    path, _, query = f"{slash}{target}".partition("?")
    sigv4.verify(method, host or name, path, query, keys, region=region, now=now)


def with_param(url: str, name: str, value: str) -> str:
    """The URL with one parameter's raw value replaced."""
    base, _, query = url.partition("?")
    items = [f"{name}={value}" if item.startswith(f"{name}=") else item for item in query.split("&")]
    return f"{base}?{'&'.join(items)}"


def without_param(url: str, name: str) -> str:
    base, _, query = url.partition("?")
    return f"{base}?{'&'.join(item for item in query.split('&') if not item.startswith(f'{name}='))}"


def test_the_example_of_the_specification_is_signed_as_printed() -> None:
    keys = Credentials("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY")
    url = sigv4.sign(
        "https://examplebucket.s3.amazonaws.com",
        "/test.txt",
        keys,
        region="us-east-1",
        expires=timedelta(days=1),
        now=datetime(2013, 5, 24, tzinfo=UTC),
    )
    assert url.endswith("&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404")


def test_the_parameters_stand_in_the_known_order() -> None:
    base, _, query = link().partition("?")
    assert base == "http://files.example.org:8080/tessera/outputs/%C3%BC%20b%2Bc.png"
    assert query.startswith(
        "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Date=20260101T120000Z&X-Amz-SignedHeaders=host&X-Amz-Expires=1200"
        "&X-Amz-Credential=TESSERAEXAMPLEKEY%2F20260101%2Flocal%2Fs3%2Faws4_request&X-Amz-Signature="
    )


def test_the_secret_does_not_show() -> None:
    assert KEYS.secret_access_key not in repr(KEYS)
    assert KEYS.secret_access_key not in link()


keys_strategy = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=40)


@given(
    path=keys_strategy,
    secret=keys_strategy,
    seconds=st.integers(1, 604_800),
    now=st.datetimes(datetime(1990, 1, 1), datetime(2200, 1, 1), timezones=st.just(UTC)),
    share=st.floats(0, 1),
    method=st.sampled_from(["GET", "HEAD"]),
)
def test_what_is_signed_is_accepted_while_it_lives(
    *, path: str, secret: str, seconds: int, now: datetime, share: float, method: str
) -> None:
    keys = Credentials("KEY", secret)
    expires = timedelta(seconds=seconds)
    url = sigv4.sign(ORIGIN, f"/{path}", keys, region="local", expires=expires, now=now, method=method)
    moment = now.replace(microsecond=0)
    judge(url, method=method, keys=keys, now=moment + expires * share)
    with pytest.raises(Expired):
        judge(url, method=method, keys=keys, now=moment + expires + timedelta(seconds=1))
    with pytest.raises(LinkError):
        judge(url, method=method, keys=Credentials("KEY", f"{secret}x"), now=now)


CHARACTERS = st.characters(min_codepoint=1, max_codepoint=0x17F)
URL = link()
START = URL.index("://") + 3


@given(place=st.integers(START, len(URL) - 1), character=CHARACTERS)
def test_a_link_with_one_other_character_is_refused(place: int, character: str) -> None:
    altered = URL[:place] + character + URL[place + 1 :]
    if altered != URL:
        with pytest.raises(LinkError):
            judge(altered)


@given(place=st.integers(START, len(URL)), character=CHARACTERS)
def test_a_link_with_one_character_more_is_refused(place: int, character: str) -> None:
    with pytest.raises(LinkError):
        judge(URL[:place] + character + URL[place:])


@pytest.mark.parametrize("place", range(START, len(URL)))
def test_a_link_with_one_character_less_is_refused(place: int) -> None:
    with pytest.raises(LinkError):
        judge(URL[:place] + URL[place + 1 :])


@pytest.mark.parametrize("place", range(START, len(URL)))
def test_a_link_with_one_letter_in_other_case_is_refused(place: int) -> None:
    altered = URL[:place] + URL[place].swapcase() + URL[place + 1 :]
    if altered != URL:
        with pytest.raises(LinkError):
            judge(altered)


SIGNATURE = "0" * 64


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA1", Malformed),
        ("X-Amz-Algorithm", "AWS4-ECDSA-P256-SHA256", Malformed),
        ("X-Amz-Algorithm", "", Malformed),
        ("X-Amz-Date", "20260101T120001Z", BadSignature),
        ("X-Amz-Date", "20260102T120000Z", ForeignCredential),
        ("X-Amz-Date", "20261301T120000Z", Malformed),
        ("X-Amz-Date", "20260101", Malformed),
        ("X-Amz-Date", "2026-01-01T12:00:00Z", Malformed),
        ("X-Amz-Date", quote("２０２６0101T120000Z"), Malformed),
        ("X-Amz-Expires", "1201", BadSignature),
        ("X-Amz-Expires", "604800", BadSignature),
        ("X-Amz-Expires", "604801", Malformed),
        ("X-Amz-Expires", "99999999999", Malformed),
        ("X-Amz-Expires", "-1", Malformed),
        ("X-Amz-Expires", "0", Malformed),
        ("X-Amz-Expires", "01200", Malformed),
        ("X-Amz-Expires", "1200.0", Malformed),
        ("X-Amz-Expires", "", Malformed),
        ("X-Amz-SignedHeaders", "host%3Brange", Malformed),
        ("X-Amz-SignedHeaders", "", Malformed),
        ("X-Amz-Credential", "OTHERKEY%2F20260101%2Flocal%2Fs3%2Faws4_request", ForeignCredential),
        ("X-Amz-Credential", "TESSERAEXAMPLEKEY%2F20260102%2Flocal%2Fs3%2Faws4_request", ForeignCredential),
        ("X-Amz-Credential", "TESSERAEXAMPLEKEY%2F20260101%2Fus-east-1%2Fs3%2Faws4_request", ForeignCredential),
        ("X-Amz-Credential", "TESSERAEXAMPLEKEY%2F20260101%2Flocal%2Fsqs%2Faws4_request", ForeignCredential),
        ("X-Amz-Credential", "TESSERAEXAMPLEKEY%2F20260101%2Flocal%2Fs3%2Faws4", ForeignCredential),
        ("X-Amz-Credential", "%FF", Malformed),
        ("X-Amz-Credential", "", ForeignCredential),
        ("X-Amz-Signature", SIGNATURE, BadSignature),
        ("X-Amz-Signature", "", BadSignature),
    ],
)
def test_a_changed_parameter_is_refused(name: str, value: str, error: type[LinkError]) -> None:
    with pytest.raises(error):
        judge(with_param(URL, name, value))


@pytest.mark.parametrize("name", [item.partition("=")[0] for item in urlsplit(URL).query.split("&")])
def test_a_missing_or_doubled_parameter_is_refused(name: str) -> None:
    with pytest.raises(Malformed):
        judge(without_param(URL, name))
    value = URL.partition(f"{name}=")[2].partition("&")[0]
    with pytest.raises(Malformed):
        judge(f"{URL}&{name}={value}")
    with pytest.raises(Malformed):
        judge(f"{URL}&{name.replace('X', '%58', 1)}={value}")


@pytest.mark.parametrize(
    ("extra", "error"),
    [
        ("&response-content-type=text%2Fhtml", BadSignature),
        ("&versionId=1", BadSignature),
        ("&x-amz-expires=604800", BadSignature),
        ("&a=b&a=b", Malformed),
        ("&a", Malformed),
        ("&=a", Malformed),
        ("&", Malformed),
        ("&a=b+c", Malformed),
        ("&a=%zz", Malformed),
        ("&a=%2", Malformed),
        ("&a=\x00", Malformed),
        ("&a=b c", Malformed),
        ("&a=é", Malformed),
        # Not cut off: where a "#" stands on a request line, somebody has altered the link.
        ("#", BadSignature),
        ("&X-Amz-Security-Token=t", Malformed),
        ("&X-Amz-Content-Sha256=e3b0", Malformed),
    ],
)
def test_an_added_parameter_is_refused(extra: str, error: type[LinkError]) -> None:
    with pytest.raises(error):
        judge(URL + extra)


@pytest.mark.parametrize("query", ["", "a=b", "&&&", "X-Amz-Signature=0"])
def test_a_url_that_is_not_presigned_is_malformed(query: str) -> None:
    with pytest.raises(Malformed):
        sigv4.verify("GET", "h", "/a", query, KEYS, region="local", now=NOW)


@pytest.mark.parametrize(
    "changed",
    [
        {"method": "HEAD"},
        {"method": "PUT"},
        {"method": "GET\n/"},
        {"host": "files.example.org"},
        {"host": "evil.example.org:8080"},
        {"host": "files.example.org:8080\nx:y"},
        {"region": "auto"},
        {"keys": Credentials("OTHER", KEYS.secret_access_key)},
        {"keys": Credentials(KEYS.access_key_id, "other")},
    ],
)
def test_a_link_serves_one_method_host_region_and_key(changed: dict[str, object]) -> None:
    judge(URL)
    with pytest.raises(LinkError):
        judge(URL, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("after", "error"),
    [
        (timedelta(minutes=-15), None),
        (timedelta(minutes=-15, seconds=-1), NotYetValid),
        (timedelta(0), None),
        (TWENTY, None),
        (TWENTY + timedelta(seconds=1), Expired),
        (timedelta(days=3000), Expired),
    ],
)
def test_a_link_lives_from_its_date_to_its_expiry(after: timedelta, error: type[LinkError] | None) -> None:
    if error is None:
        judge(URL, now=NOW + after)
    else:
        with pytest.raises(error):
            judge(URL, now=NOW + after)


def test_an_altered_link_is_not_called_expired() -> None:
    with pytest.raises(BadSignature):
        judge(with_param(URL, "X-Amz-Signature", SIGNATURE), now=NOW + timedelta(days=1))


@pytest.mark.parametrize("day", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)])
def test_a_genuine_link_of_an_absurd_day_is_judged_calmly(day: datetime) -> None:
    with pytest.raises(LinkError):
        judge(link(now=day))


@pytest.mark.parametrize(
    "respell",
    [
        lambda url: url.replace("%2F", "/"),
        lambda url: url.replace("%2B", "+"),
        lambda url: url.replace("tessera", "%74essera", 1),
        lambda url: "?".join((url.split("?")[0], "&".join(reversed(url.split("?")[1].split("&"))))),
    ],
)
def test_the_same_link_in_another_spelling_is_accepted(respell: object) -> None:
    # HTTP libraries spell URLs anew before they send them: `/` for `%2F` in a query, `+` for `%2B` in a path.
    judge(respell(URL))  # type: ignore[operator]


@pytest.mark.parametrize(
    "expires", [timedelta(0), timedelta(seconds=-5), timedelta(days=7, seconds=1), timedelta(seconds=1.5)]
)
def test_no_link_is_made_that_would_not_be_accepted(expires: timedelta) -> None:
    with pytest.raises(ValueError, match="1 second to 7 days"):
        link(expires=expires)


def test_the_date_of_a_link_is_in_utc() -> None:
    assert link(now=NOW.astimezone(timezone(timedelta(hours=9)))) == URL

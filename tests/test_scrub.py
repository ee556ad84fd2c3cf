"""Credentials leave no URI that is stored or shown."""

from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracelet.scrub import restore_userinfo, without_userinfo, without_userinfo_in


@pytest.mark.parametrize(
    ("uri", "scrubbed"),
    [
        ("http://user:secret@host:5000/path", "http://host:5000/path"),
        ("https://token@host", "https://host"),
        ("postgresql+psycopg2://u:p@h/db", "postgresql+psycopg2://h/db"),
        ("mysql://root:80/a@h/db", "mysql://h/db"),
        ("mysql://u:p?q@h/db", "mysql://h/db"),
        ("postgresql://u:p@ss@h/db", "postgresql://h/db"),
        ("http://h/?token=abc&page=1", "http://h/?page=1"),
        ("http://h/?api-key=abc#top", "http://h/#top"),
        ("postgresql:///db?host=h&password=abc", "postgresql:///db?host=h"),
        ("mssql+pyodbc:///?odbc_connect=UID%3Du%3BPWD%3Dp", "mssql+pyodbc:///"),
        (
            "jdbc:sqlserver://h:1433;user=u;password=p;x;encrypt=true",
            "jdbc:sqlserver://h:1433;user=u;encrypt=true",
        ),
        ("https://h/x?a=1;token=abc", "https://h/x?a=1"),
        ("https://h/x#access_token=abc&state=1", "https://h/x#state=1"),
        ("https://h/x?%74oken=abc", "https://h/x"),
        ("https://h/x?AWSAccessKeyId=a&Signature=b&Expires=1", "https://h/x?Expires=1"),
        ("https://h/x?X-Amz-Credential=a&X-Amz-Signature=b&X-Amz-Date=1", "https://h/x?X-Amz-Date=1"),
        ("https://h/x?sv=1&sig=b&se=2", "https://h/x?sv=1&se=2"),
    ],
)
def test_credentials_are_taken_out(uri: str, scrubbed: str) -> None:
    assert without_userinfo(uri) == scrubbed


@pytest.mark.parametrize(
    "name",
    [
        *("accessToken", "apikey", "auth", "hf_token", "jwt", "key", "OSSAccessKeyId", "pass"),
        *("passwd", "private_token", "pwd", "q-signature", "refresh_token", "secretkey", "subscription-key"),
    ],
)
def test_a_parameter_that_is_a_credential_is_known_by_its_name(name: str) -> None:
    assert without_userinfo(f"https://h/x?{name}=abc&page=1") == "https://h/x?page=1"


@pytest.mark.parametrize(
    "uri",
    [
        "https://h/?monkey=1&compass=2&max_tokens=3&design=4&author=5",
        "https://h/token=1/x?",
        "https://h/x#token",
        "sqlite:////home/me@work/mlflow.db",
        "http://host:5000/a@b",
        "http://host:80/a@b?mail=c@d",
        "postgresql://host/db?sslmode=require",
        "databricks",
        "databricks://profile",
        "./mlruns",
        "",
    ],
)
def test_a_uri_without_credentials_stays_as_it_is(uri: str) -> None:
    assert without_userinfo(uri) == uri


@given(
    scheme=st.sampled_from(["http", "https", "postgresql", "mysql+pymysql"]),
    user=st.text(max_size=10),
    password=st.text(min_size=1, max_size=20),
    rest=st.sampled_from(["host", "host:5000", "[::1]:80", "host/path", "host/p?a=1&b=2#c"]),
)
def test_whatever_user_and_password_are_the_rest_is_left(
    scheme: str, user: str, password: str, rest: str
) -> None:
    uri = f"{scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{rest}"

    assert without_userinfo(uri) == f"{scheme}://{rest}"


@given(st.from_regex(r"\A(http|mysql)://[a-z:@/?&=.]{0,30}\Z"))
def test_scrubbing_twice_is_scrubbing_once(uri: str) -> None:
    assert without_userinfo(without_userinfo(uri)) == without_userinfo(uri)


def test_credentials_are_found_again_in_the_environment() -> None:
    candidates = ["http://other:x@elsewhere", "http://h:1/", "http://u:p@h:1/", "http://v:q@h:1/"]

    assert restore_userinfo("http://h:1/", candidates) == "http://u:p@h:1/"


def test_without_a_match_the_stored_uri_is_used() -> None:
    assert restore_userinfo("http://h:1/", ["", "http://u:p@h:2/"]) == "http://h:1/"


def test_a_message_shows_no_password() -> None:
    message = "API request to http://u:p@h/api failed: 'postgresql://v:q@db/x' is down"

    assert without_userinfo_in(message) == "API request to http://h/api failed: 'postgresql://db/x' is down"

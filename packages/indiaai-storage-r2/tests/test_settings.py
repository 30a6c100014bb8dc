"""The variables, and what is said of wrong ones."""

from __future__ import annotations

import pytest

from indiaai_core import InvalidSettings, Platform
from indiaai_storage_r2 import R2Settings, R2StorageService
from making import SECRET

VARIABLES = {
    "R2_ACCOUNT_ID": "0123456789abcdef0123456789abcdef",
    "R2_ACCESS_KEY_ID": "id",
    "R2_SECRET_ACCESS_KEY": SECRET,
    "R2_BUCKET_NAME": "documents",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment with the four variables that every account needs."""
    for name, value in VARIABLES.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


def test_four_variables_are_enough(environment: pytest.MonkeyPatch) -> None:
    """The account, a token's two halves and the bucket are all that has to be set."""
    settings = R2StorageService().settings

    assert settings.endpoint == "https://0123456789abcdef0123456789abcdef.r2.cloudflarestorage.com"
    assert settings.bucket_name == "documents"
    assert settings.secret_access_key.get_secret_value() == SECRET


def test_the_platform_selects_it_by_one_variable(environment: pytest.MonkeyPatch) -> None:
    """`STORAGE_TYPE=r2` is all that an application needs, and a named instance may have another bucket."""
    platform = Platform({"STORAGE_TYPE": "r2", "ARCHIVE_R2_BUCKET_NAME": "archive"})

    main, archive = platform.get_service("storage"), platform.get_service("storage", "archive")

    assert isinstance(main, R2StorageService)
    assert (main.settings.bucket_name, archive.settings.bucket_name) == ("documents", "archive")


def test_a_jurisdiction_has_an_endpoint_of_its_own(environment: pytest.MonkeyPatch) -> None:
    """A bucket of a jurisdiction is seen at that jurisdiction's endpoint only."""
    environment.setenv("R2_JURISDICTION", "eu")

    assert R2StorageService().settings.endpoint.endswith(".eu.r2.cloudflarestorage.com")


def test_an_endpoint_stands_in_for_the_account(environment: pytest.MonkeyPatch) -> None:
    """Any store that speaks S3 is reached by its URL, without an account."""
    environment.delenv("R2_ACCOUNT_ID")
    environment.setenv("R2_ENDPOINT_URL", "http://127.0.0.1:9000/")

    assert R2StorageService().settings.endpoint == "http://127.0.0.1:9000"


def test_every_absent_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing set, one error names all four variables, the account by one fault."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)

    with pytest.raises(InvalidSettings) as raised:
        R2StorageService()

    assert sorted(fault.variable for fault in raised.value.faults) == sorted(VARIABLES)
    assert {fault.found for fault in raised.value.faults} == {"not set"}


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("R2_ACCOUNT_ID", "https://dash.example.com/0123"),
        ("R2_BUCKET_NAME", "My Bucket"),
        ("R2_JURISDICTION", "moon"),
        ("R2_ENDPOINT_URL", "127.0.0.1:9000"),
        ("R2_PUBLIC_URL", "files.example.in"),
        ("R2_PUBLIC_URL", "https://pub-0123.r2.dev"),
        ("R2_PART_SIZE_MIB", "4"),
        ("R2_POOL_SIZE", "0"),
        ("R2_ACCESS_KEY_ID", ""),
        ("R2_CONNECT_TIMEOUT_SECONDS", "soon"),
    ],
)
def test_a_wrong_value_is_one_fault(environment: pytest.MonkeyPatch, variable: str, value: str) -> None:
    """A wrong value is one fault, under the name of its own variable."""
    environment.setenv(variable, value)

    with pytest.raises(InvalidSettings) as raised:
        R2StorageService()

    assert [fault.variable for fault in raised.value.faults] == [variable]


def test_a_secret_that_is_refused_is_not_shown(environment: pytest.MonkeyPatch) -> None:
    """The report says that the secret is wrong, and not what it is."""
    environment.setenv("R2_SECRET_ACCESS_KEY", "")
    environment.setenv("R2_SESSION_TOKEN", SECRET)

    with pytest.raises(InvalidSettings) as raised:
        R2StorageService()

    assert [fault.variable for fault in raised.value.faults] == ["R2_SECRET_ACCESS_KEY"]
    assert SECRET not in str(raised.value)


def test_spaces_around_a_value_are_no_part_of_it(environment: pytest.MonkeyPatch) -> None:
    """What was pasted with a blank or a newline works all the same."""
    environment.setenv("R2_BUCKET_NAME", " documents\n")
    environment.setenv("R2_SECRET_ACCESS_KEY", f"{SECRET}\n")

    settings = R2Settings()  # type: ignore[call-arg] # the environment has the rest

    assert settings.bucket_name == "documents"
    assert settings.secret_access_key.get_secret_value() == SECRET

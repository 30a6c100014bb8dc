"""From the variables to classes and settings, the slots filled at start, and one error for all that is wrong."""

from __future__ import annotations

import pytest

from indiaai_core.environment import Environment
from indiaai_core.errors import ConfigurationError, Fault, InvalidSettings
from indiaai_core.selection import Slot, declared_slots, raise_together, select
from indiaai_core.spelling import ConfigurationWarning, misspelt_variables, point_out
from installed import DICT_STORAGE, SitePackages

WITH_SETTINGS = (
    DICT_STORAGE.replace("def __init__(self):", "def __init__(self, settings):\n            self.settings = settings").replace(
        "class Backend(StorageService):",
        """class AcmeSettings(BackendSettings):
        model_config = SettingsConfigDict(env_prefix="ACME_")
        bucket_name: str = "default"

    class Backend(StorageService):
        settings_class = AcmeSettings""",
    )
    + "\n"
).replace("import ObjectNotFound", "import BackendSettings, SettingsConfigDict, ObjectNotFound")


def environment(**variables: str) -> Environment:
    """Return an environment with nothing but the variables given."""
    return Environment(variables, dict.fromkeys(variables, "code"))


def test_a_backend_with_settings_gets_them_from_its_instance(site: SitePackages) -> None:
    """The named instance reads its own variables, the main one the bare ones."""
    site.backend("acme", source=WITH_SETTINGS)
    variables = environment(STORAGE_TYPE="acme", ACME_BUCKET_NAME="main", ARCHIVE_ACME_BUCKET_NAME="old")

    main, archive = select(Slot("storage"), variables), select(Slot("storage", "archive"), variables)

    assert (main.make().settings.bucket_name, archive.make().settings.bucket_name) == ("main", "old")


def test_slots_are_written_and_read_the_same_way() -> None:
    """`storage:archive` is the instance `archive` of the layer `storage`."""
    assert [str(Slot.parse(text)) for text in ("storage", "storage:archive")] == ["storage", "storage:archive"]


def test_what_is_installed_selected_or_required_is_filled_at_start(site: SitePackages) -> None:
    """Defaults that are not installed and that nobody asked for do not stop a start."""
    site.backend("local")

    assert list(map(str, declared_slots(environment()))) == ["storage"]
    assert list(map(str, declared_slots(environment(QUEUE_TYPE="redis")))) == ["queue", "storage"]
    assert list(map(str, declared_slots(environment(), ["queue", "storage:x"]))) == ["queue", "storage", "storage:x"]


def test_a_named_instance_is_filled_if_its_variable_names_an_installed_backend(site: SitePackages) -> None:
    """`GF_STORAGE_TYPE` may be another program's: it is ours only if it names a backend of ours."""
    site.backend("local")

    slots = declared_slots(environment(ARCHIVE_STORAGE_TYPE="local", GF_STORAGE_TYPE="s3"))

    assert list(map(str, slots)) == ["storage", "storage:archive"]


def test_a_layer_that_does_not_load_stops_only_who_uses_it(site: SitePackages) -> None:
    """A broken stranger's layer is passed over when slots are counted."""
    site.backend("local")
    site.install("acme", entry_points="[indiaai.layers]\nsearch = acme_not_there:LAYER\n")

    assert list(map(str, declared_slots(environment()))) == ["storage"]
    assert misspelt_variables([], environment(SEARCH_TPYE="x")) == []


def test_faults_of_several_layers_come_in_one_error() -> None:
    """One error names them all; one kind of fault keeps its class."""
    first, second = InvalidSettings([Fault("A", "b", "c")]), InvalidSettings([Fault("D", "e", "f")])

    raise_together([])
    with pytest.raises(InvalidSettings) as one:
        raise_together([first])
    with pytest.raises(InvalidSettings) as two:
        raise_together([first, second])
    with pytest.raises(ConfigurationError, match="2 things are wrong") as mixed:
        raise_together([first, ConfigurationError("boom", faults=[Fault("G", "h", "i")])])

    assert one.value is first
    assert [fault.variable for fault in two.value.faults] == ["A", "D"]
    assert [fault.variable for fault in mixed.value.faults] == ["A", "G"]


def test_a_misspelt_selector_is_pointed_out(site: SitePackages) -> None:
    """`STORAGE_TPYE` would otherwise be silence and the default."""
    faults = misspelt_variables([], environment(STORAGE_TPYE="r2", DATABASE_URL="x", STORAGE_TYPE="local", HOME="/"))

    assert [(fault.variable, fault.expected) for fault in faults] == [("STORAGE_TPYE", "STORAGE_TYPE")]


def test_a_misspelt_setting_of_a_selected_backend_is_pointed_out(site: SitePackages) -> None:
    """Under a selected backend's prefix every variable is a setting or a mistake, for named instances too."""
    site.backend("acme", source=WITH_SETTINGS)
    variables = environment(
        STORAGE_TYPE="acme", ACME_BUKET_NAME="a", ACME_Q="b", ARCHIVE_ACME_BUKET_NAME="c", ARCHIVE_ACME_BUCKET_NAME="d"
    )
    selections = [select(Slot("storage"), variables), select(Slot("storage", "archive"), variables)]

    faults = misspelt_variables(selections, variables)

    assert {fault.variable: fault.expected for fault in faults} == {
        "ACME_BUKET_NAME": "ACME_BUCKET_NAME",
        "ACME_Q": "the name of a setting",
        "ARCHIVE_ACME_BUKET_NAME": "ARCHIVE_ACME_BUCKET_NAME",
    }


def test_a_misspelt_setting_of_a_selected_wrapper_is_pointed_out(site: SitePackages) -> None:
    """Under a wrapper's name every variable is a setting or a mistake, unless the wrapper does not say what it reads."""
    site.backend("acme", source=WITH_SETTINGS)
    lines = ("prefix = indiaai_core.wrappers.prefix:prefix", "retry = indiaai_core.wrappers.retry:retry", "plain = builtins:id")
    site.install("wrappers", entry_points="\n".join(["[indiaai.wrappers]", *lines, ""]))
    right = {"STORAGE_RETRY_ATTEMPTS": "2", "OLD_STORAGE_RETRY_SECONDS": "1", "STORAGE_PREFIX": "a/", "STORAGE_PLAIN_SIZE": "1"}
    wrong = {"STORAGE_RETRY_ATEMPTS": "2", "OLD_STORAGE_RETRY_SEC": "1", "STORAGE_WRAPERS": "retry"}
    variables = environment(STORAGE_TYPE="acme", STORAGE_WRAPPERS="retry,prefix,plain", **right, **wrong)
    selections = [select(Slot("storage", name), variables) for name in (None, "old")]

    faults = misspelt_variables(selections, variables)

    assert {fault.variable: fault.expected for fault in faults} == {
        "STORAGE_RETRY_ATEMPTS": "STORAGE_RETRY_ATTEMPTS",
        "OLD_STORAGE_RETRY_SEC": "OLD_STORAGE_RETRY_SECONDS",
        "STORAGE_WRAPERS": "STORAGE_WRAPPERS",
    }


def test_settings_without_a_prefix_are_not_searched(site: SitePackages) -> None:
    """A backend without settings, or whose settings have no prefix, makes no variable suspicious."""
    site.backend("plain")
    site.backend("acme", source=WITH_SETTINGS.replace('env_prefix="ACME_"', 'env_prefix=""'))
    variables = environment(ACME_BUKET_NAME="a")
    selections = [select(Slot("storage"), environment(STORAGE_TYPE=name)) for name in ("plain", "acme")]

    assert misspelt_variables(selections, variables) == []


def test_a_misspelt_variable_is_a_warning_and_an_error_when_strict(site: SitePackages) -> None:
    """`INDIAAI_STRICT=1` makes what is pointed out stop the start."""
    with pytest.warns(ConfigurationWarning, match="STORAGE_TPYE"):
        point_out([], environment(STORAGE_TPYE="r2"))

    with pytest.raises(InvalidSettings, match="STORAGE_TPYE"):
        point_out([], environment(STORAGE_TPYE="r2", INDIAAI_STRICT="1"))

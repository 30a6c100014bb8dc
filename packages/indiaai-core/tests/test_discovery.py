"""From a name to a class: what is loaded, what is refused, and with which words."""

from __future__ import annotations

import sys
import threading

import pytest

from indiaai_core import discovery, scan
from indiaai_core.discovery import catalogue, find_layer, find_layers, load_backend, nearest
from indiaai_core.errors import (
    BackendNotInstalled,
    ContractMismatch,
    PluginConflict,
    PluginLoadError,
    UnknownBackend,
    UnknownLayer,
)
from indiaai_core.layers import Layer
from indiaai_core.storage import LAYER
from installed import CORE_VERSION, SitePackages


def load(selector: str, layer: Layer = LAYER) -> type:
    """Load what `STORAGE_TYPE` would select."""
    return load_backend(layer, selector, variable="STORAGE_TYPE")


def test_an_installed_backend_is_found_by_its_name(site: SitePackages) -> None:
    """Installing a distribution is all it takes."""
    site.backend("acme")

    assert load("acme").__name__ == "Backend"
    assert load(" ACME ").__name__ == "Backend"


def test_nothing_is_imported_until_it_is_selected(site: SitePackages) -> None:
    """A backend that nobody selected costs no import, however broken it is."""
    site.backend("acme")
    site.backend("broken", source="raise RuntimeError('boom')")

    load("acme")

    assert "acme_storage_acme_module" in sys.modules
    assert "acme_storage_broken_module" not in sys.modules


def test_entry_points_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process scans once, whatever the number of threads, groups and questions."""
    scans: list[str] = []

    def count() -> tuple[list[scan.Registration], list[scan.Problem]]:
        scans.append("one")
        return scan.scan([])

    monkeypatch.setattr(discovery, "scan", count)
    gate = threading.Barrier(16)

    def ask() -> None:
        gate.wait()
        catalogue().in_group("indiaai.storage")

    threads = [threading.Thread(target=ask) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(scans) == 1


def test_another_thread_s_scan_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread that waited for the scan of another takes what that found."""
    found = discovery.Catalogue((), ())

    class FindsItDone:
        def __enter__(self) -> None:
            discovery._catalogue = found

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(discovery, "_lock", FindsItDone())

    assert catalogue() is found
    monkeypatch.undo()


def test_a_missing_backend_is_named_with_its_neighbours(site: SitePackages) -> None:
    """What is selected and not installed gives the installed names, the nearest and the install line."""
    site.backend("local")

    with pytest.raises(BackendNotInstalled) as caught:
        load("lokal")

    assert caught.value.installed == ("local",)
    assert caught.value.nearest == "local"
    assert "pip install indiaai-storage-lokal" in str(caught.value)


@pytest.mark.parametrize("selector", ["r2!", "", "../r2", "r 2", "@acme"])
def test_what_cannot_be_a_name_is_unknown(site: SitePackages, selector: str) -> None:
    """A selector that no distribution could answer to gets no install line that would not work."""
    site.backend("acme")

    with pytest.raises(UnknownBackend) as caught:
        load(selector)

    assert not isinstance(caught.value, BackendNotInstalled)


def test_two_claimants_are_both_named_and_one_can_be_pinned(site: SitePackages) -> None:
    """One name from two distributions is refused until the variable says which."""
    site.backend("r2", distribution="acme-r2")
    site.backend("r2", distribution="best-r2")

    with pytest.raises(PluginConflict) as caught:
        load("r2")

    assert caught.value.distributions == ("acme-r2", "best-r2")
    assert "STORAGE_TYPE=r2@acme-r2" in str(caught.value)
    assert load("r2@Best_R2").__module__ == "best_r2_module"


def test_a_pin_on_a_distribution_that_does_not_bring_it_is_unknown(site: SitePackages) -> None:
    """A pin that fits nothing names those that would."""
    site.backend("r2", distribution="acme-r2")

    with pytest.raises(UnknownBackend, match="r2@acme-r2"):
        load("r2@other")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("import a_library_that_is_not_there\n", "ModuleNotFoundError: No module named 'a_library_that_is_not_there'"),
        ("raise RuntimeError('boom')\n", "RuntimeError: boom"),
        ("raise SystemExit(3)\n", "SystemExit: 3"),
        ("x = 1\n", "AttributeError"),
        ("Backend = 7\n", "is not a subclass of StorageService"),
        ("class Backend: pass\n", "is not a subclass of StorageService"),
        (
            "from indiaai_core import StorageService\nclass Backend(StorageService): pass\n",
            "does not implement delete, download, get_url, upload",
        ),
    ],
)
def test_an_installed_plugin_that_does_not_work_is_never_called_missing(site: SitePackages, source: str, reason: str) -> None:
    """Whatever is wrong inside an installed plugin is said of it, by name, with the reason."""
    site.backend("acme", source=source)

    with pytest.raises(PluginLoadError) as caught:
        load("acme")

    assert caught.value.distribution == "acme-storage-acme"
    assert reason in str(caught.value)
    assert "not installed" not in str(caught.value)


@pytest.mark.parametrize(
    ("requires", "extra"),
    [
        (("acme_driver>=1; extra == 'fast'", "acme-driver.core; extra == 'core'"), "fast"),
        (("Acme.Driver[tls]>=1 ; python_version > '3' and extra == 'all'", "acme-driver; extra == 'acme'"), "acme"),
        (("acme-driver",), None),
        (("acme-driver-tools; extra == 'tools'",), None),
        ((), None),
    ],
)
def test_a_library_that_an_extra_brings_is_named_by_the_extra(
    site: SitePackages, requires: tuple[str, ...], extra: str | None
) -> None:
    """Who selects a backend without the extra that it needs is told to install that, and nothing is called broken."""
    entry_points = "[indiaai.storage]\nacme = acme_m:Backend\n"
    site.install("acme-storage", entry_points=entry_points, modules={"acme_m": "import acme_driver.pool"}, requires=requires)

    with pytest.raises(PluginLoadError) as caught:
        load("acme")

    assert caught.value.extra == extra
    assert ('Install what it needs: pip install "acme-storage[' in str(caught.value)) == (extra is not None)
    assert ("Repair or upgrade acme-storage" in str(caught.value)) == (extra is None)


@pytest.mark.parametrize("requirement", ["indiaai-core>=99", "Indiaai.Core<0.1", "indiaai_core==7.*; python_version > '3'"])
def test_a_plugin_for_another_core_is_refused_by_name(site: SitePackages, requirement: str) -> None:
    """What an installer was told to overlook is seen when the plugin is selected, and before its code runs."""
    source = "raise RuntimeError('must not be imported')"
    site.install(
        "acme", entry_points="[indiaai.storage]\nacme = acme_m:Backend\n", modules={"acme_m": source}, requires=(requirement,)
    )

    with pytest.raises(ContractMismatch, match=r"acme 1\.0 was built for indiaai-core") as caught:
        load("acme")

    assert CORE_VERSION in str(caught.value)
    assert "pip install --upgrade indiaai-core acme" in str(caught.value)


@pytest.mark.parametrize(
    "requirement",
    ["indiaai-core>=0.1,<1", "indiaai-core", "indiaai-core>=99; extra == 'new'", "boto3>=99", "this is; no requirement ==="],
)
def test_a_plugin_that_fits_is_taken(site: SitePackages, requirement: str) -> None:
    """Requirements that hold, concern others or say nothing do not stand in the way."""
    site.backend("acme").joinpath("METADATA").write_text(
        f"Metadata-Version: 2.1\nName: acme-storage-acme\nVersion: 1.0\nRequires-Dist: {requirement}\n", encoding="utf-8"
    )

    assert load("acme").__name__ == "Backend"


def test_a_plugin_whose_metadata_became_unreadable_is_named(site: SitePackages) -> None:
    """Bytes that are no text in the plugin's metadata are said of it, and do not come out as a parser's error."""
    (site.backend("acme") / "METADATA").write_bytes(b"Name: acme\nRequires-Dist: \xff\xfe\n")

    with pytest.raises(PluginLoadError, match="its metadata cannot be read"):
        load("acme")


@pytest.mark.parametrize(("stated", "older"), [(0, "acme-storage-acme"), (2, "indiaai-core")])
def test_another_contract_version_is_refused_with_the_side_to_upgrade(site: SitePackages, stated: int, older: str) -> None:
    """A backend for another version of the layer's contract names the older side."""
    source = (
        "from indiaai_core import StorageService\n"
        f"class Backend(StorageService):\n    contract_version = {stated}\n"
        "    upload = download = get_url = delete = None\n"
    )
    site.backend("acme", source=source)

    with pytest.raises(ContractMismatch, match=f"implements version {stated}") as caught:
        load("acme")

    assert f"pip install --upgrade {older}" in str(caught.value)


def test_an_unknown_layer_names_those_that_are_installed(site: SitePackages) -> None:
    """A layer nobody declares is an error with the nearest name."""
    with pytest.raises(UnknownLayer, match="did you mean 'storage'") as caught:
        find_layer("storge")

    assert caught.value.installed == ("queue", "storage")


def test_a_stranger_s_layer_is_found_like_any_other(site: SitePackages) -> None:
    """A new layer needs an entry point and no change here."""
    source = (
        "from indiaai_core import Layer, Service\nclass Search(Service): pass\nLAYER = Layer('search', Search, 'plain', 3)\n"
    )
    site.install("acme-search", entry_points="[indiaai.layers]\nsearch = acme_search:LAYER\n", modules={"acme_search": source})

    layer = find_layer("search")

    assert (layer.group, layer.variable, layer.contract_version) == ("indiaai.search", "SEARCH_TYPE", 3)
    assert find_layer("search") is layer
    assert find_layers() == ["queue", "search", "storage"]


def test_two_declarations_of_a_layer_conflict(site: SitePackages) -> None:
    """Two distributions that declare one layer are both named."""
    for name in ("acme", "best"):
        site.install(name, entry_points="[indiaai.layers]\nsearch = x:LAYER\n")

    with pytest.raises(PluginConflict, match="acme and best"):
        find_layer("search")


def test_a_declaration_that_is_no_layer_is_refused(site: SitePackages) -> None:
    """An entry point in the layers' group must be a Layer of its own name."""
    site.install("acme", entry_points="[indiaai.layers]\nsearch = indiaai_core.storage:LAYER\n")

    with pytest.raises(PluginLoadError, match="not a Layer named 'search'"):
        find_layer("search")


def test_what_was_installed_since_is_seen_after_a_refresh(site: SitePackages) -> None:
    """The scan is kept until somebody asks for a new one."""
    before = catalogue()
    site.backend("acme")

    assert before.names("indiaai.storage") == []
    assert catalogue().names("indiaai.storage") == ["acme"]
    assert catalogue().version_of("acme-storage-acme") == "1.0"
    assert catalogue().version_of("nobody") is None


def test_the_nearest_name_is_none_where_none_is_near() -> None:
    """A hint that helps nobody is not given."""
    assert nearest("zzz", ["local"]) is None

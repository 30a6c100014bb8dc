"""The scan: what it finds, what it survives, and what it says about what is broken."""

from __future__ import annotations

import os
import sys
import zipfile
from pathlib import Path

import importlib_metadata  # noqa: F401 # examine() imports it while a test has emptied the path
import pytest

from indiaai_core.scan import Problem, canonical_name, examine, scan
from installed import SitePackages

GROUP = "[indiaai.storage]\nacme = acme:Backend\n"


@pytest.fixture
def plain(tmp_path: Path) -> SitePackages:
    """An empty folder of distributions."""
    folder = tmp_path / "plain"
    folder.mkdir()
    return SitePackages(folder)


def test_a_registration_carries_where_it_came_from(plain: SitePackages) -> None:
    """Group, name, object, distribution and version are known without importing anything."""
    metadata = plain.install("Acme_Storage", version="2.1", entry_points=GROUP)

    [found], problems = scan([str(plain.folder)])

    assert (found.group, found.name, found.value) == ("indiaai.storage", "acme", "acme:Backend")
    assert (found.distribution, found.version, found.location) == ("acme-storage", "2.1", str(metadata))
    assert problems == []


def test_only_our_groups_are_read(plain: SitePackages) -> None:
    """Other groups of the same file, and files of other packages, are left alone."""
    plain.install("acme", entry_points=GROUP + "[console_scripts]\nacme = acme:main\n")
    plain.install("other", entry_points="[console_scripts]\nother = other:main\n")

    registrations, _ = scan([str(plain.folder)])

    assert [found.name for found in registrations] == ["acme"]


def test_a_long_file_is_read_to_its_end(plain: SitePackages) -> None:
    """Our group may stand behind thousands of lines of others."""
    others = "[console_scripts]\n" + "".join(f"script{number} = other:main\n" for number in range(2000))
    plain.install("acme", entry_points=others + GROUP)

    registrations, _ = scan([str(plain.folder)])

    assert [found.name for found in registrations] == ["acme"]


@pytest.mark.parametrize("content", [b"[x]\nno equals sign\n", b"\xff\xfe\x00", b"[unclosed\n", b"= nothing\n"])
def test_another_package_s_malformed_file_is_not_even_read(plain: SitePackages, content: bytes) -> None:
    """A malformed entry_points.txt of a stranger neither stops the scan nor is a problem of ours."""
    plain.install("acme", entry_points=GROUP)
    (plain.install("broken") / "entry_points.txt").write_bytes(content)

    registrations, problems = scan([str(plain.folder)])

    assert [found.name for found in registrations] == ["acme"]
    assert problems == []


def test_our_own_malformed_file_is_a_problem_that_names_it(plain: SitePackages) -> None:
    """A plugin whose file cannot be parsed is left out, by name, and the others stay."""
    plain.install("acme", entry_points=GROUP)
    (plain.install("broken") / "entry_points.txt").write_bytes(b"[indiaai.storage]\nb = \xff\xfe\n")

    registrations, problems = scan([str(plain.folder)])

    assert [found.name for found in registrations] == ["acme"]
    assert [problem.distribution for problem in problems] == ["broken"]
    assert "malformed" in str(problems[0])


def test_a_half_removed_plugin_is_a_problem_and_no_backend(plain: SitePackages) -> None:
    """A folder that an interrupted uninstall left behind registers nothing."""
    (plain.install("acme", entry_points=GROUP) / "METADATA").unlink()

    registrations, problems = scan([str(plain.folder)])

    assert registrations == []
    assert problems == [Problem("acme", str(plain.folder / "acme-1.0.dist-info"), "half removed: its metadata file is missing")]


def test_of_two_versions_in_one_folder_the_newer_counts(plain: SitePackages) -> None:
    """What an interrupted upgrade left behind does not register twice."""
    plain.install("acme", version="1.10", entry_points=GROUP)
    plain.install("acme", version="1.9", entry_points=GROUP)
    plain.install("acme", version="not-a-version", entry_points=GROUP)

    registrations, problems = scan([str(plain.folder)])

    assert [found.version for found in registrations] == ["1.10"]
    assert ["installed twice" in problem.reason for problem in problems] == [True, True]


def test_the_first_on_the_path_hides_the_others(plain: SitePackages, tmp_path: Path) -> None:
    """As at an import, a distribution of an earlier folder shadows one of the same name in a later folder."""
    later = SitePackages(tmp_path / "later")
    later.folder.mkdir()
    later.install("acme", version="9.0", entry_points=GROUP)
    plain.install("ACME", version="1.0")

    registrations, _ = scan([str(plain.folder), str(later.folder)])

    assert registrations == []


def test_what_an_uninstall_left_behind_hides_nothing(plain: SitePackages, tmp_path: Path) -> None:
    """An empty metadata folder earlier on the path does not make a plugin later on it vanish."""
    later = SitePackages(tmp_path / "later")
    later.folder.mkdir()
    later.install("acme", entry_points=GROUP)
    (plain.folder / "acme-0.9.dist-info").mkdir()

    registrations, _ = scan([str(plain.folder), str(later.folder)])

    assert [found.name for found in registrations] == ["acme"]


def test_egg_info_counts_as_installed(plain: SitePackages) -> None:
    """Distributions installed by setuptools' development mode are found."""
    egg = plain.folder / "acme.egg-info"
    egg.mkdir()
    (egg / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 3.0\n", encoding="utf-8")
    (egg / "entry_points.txt").write_text(GROUP, encoding="utf-8")

    [found], _ = scan([str(plain.folder)])

    assert (found.distribution, found.version) == ("acme", "3.0")


def test_folders_that_are_not_there_are_passed_over(plain: SitePackages) -> None:
    """The path may name what does not exist, and the working directory as an empty string."""
    plain.install("acme", entry_points=GROUP)
    os.chdir(plain.folder)

    registrations, problems = scan(["/does/not/exist", "", str(plain.folder)])

    assert [found.name for found in registrations] == ["acme"]
    assert problems == []


def test_a_file_that_cannot_be_read_is_passed_over(plain: SitePackages) -> None:
    """An entry_points.txt that is a folder is nobody's plugin."""
    (plain.install("acme") / "entry_points.txt").mkdir()

    assert scan([str(plain.folder)]) == ([], [])


def test_an_archive_on_the_path_is_searched(tmp_path: Path) -> None:
    """Plugins inside a zip archive (a zipapp) are found."""
    archive = tmp_path / "app.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("acme-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
        file.writestr("acme-1.0.dist-info/entry_points.txt", GROUP)

    [found], problems = scan([str(archive)])

    assert (found.name, found.distribution, found.location) == ("acme", "acme", str(archive))
    assert found.requirements() == []
    assert problems == []


def test_an_archive_that_cannot_be_searched_is_a_problem(tmp_path: Path) -> None:
    """Malformed metadata inside an archive is named and stops nothing."""
    archive = tmp_path / "app.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("acme-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n")
        file.writestr("acme-1.0.dist-info/entry_points.txt", b"[x]\n\xff\xfe\n")

    registrations, problems = scan([str(archive)])

    assert registrations == []
    assert [problem.distribution for problem in problems] == ["app.zip"]


def test_without_paths_the_interpreter_s_own_path_is_scanned() -> None:
    """The default is `sys.path`, where the core itself is installed."""
    registrations, _ = scan()

    assert {"storage", "queue"} <= {found.name for found in registrations if found.group == "indiaai.layers"}


def test_examine_names_every_malformed_package(plain: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """The slow look reads all metadata, ours or not, and says what is wrong with it."""
    plain.install("fine", entry_points=GROUP)
    (plain.install("malformed") / "entry_points.txt").write_bytes(b"[x]\n\xff\xfe\n")
    (plain.install("leftover") / "METADATA").unlink()
    monkeypatch.setattr(sys, "path", [str(plain.folder), "/does/not/exist"])

    problems = examine()

    assert [problem.distribution for problem in problems] == ["leftover", "malformed"]


def test_names_are_compared_in_their_normal_form() -> None:
    """Case, `-`, `_` and `.` do not make two distributions of one."""
    assert canonical_name("Acme_Storage.R2") == "acme-storage-r2"


def test_requirements_are_read_from_the_metadata(plain: SitePackages) -> None:
    """What a plugin needs can be asked for, and is nothing where it states nothing."""
    plain.install("acme", entry_points=GROUP, requires=("indiaai-core>=0.1",))
    plain.install("plain", entry_points=GROUP)

    registrations, _ = scan([str(plain.folder)])

    assert {found.distribution: found.requirements() for found in registrations} == {"acme": ["indiaai-core>=0.1"], "plain": []}

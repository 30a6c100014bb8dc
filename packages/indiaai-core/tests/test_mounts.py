"""What a path lies on: what is forgotten at a restart is known from what is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from indiaai_core.mounts import forgetful_mount

TABLE = """\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
23 22 0:5 / /run rw,nosuid - tmpfs tmpfs rw,size=1g
24 22 8:2 / /run/kept rw - xfs /dev/sdb rw
25 22 0:6 / /mnt/two\\040words rw - ramfs none rw
26 22 8:3 / /over rw - ext4 /dev/sdc rw
27 26 0:7 / /over rw shared:2 master:3 - tmpfs tmpfs rw
malformed
"""


@pytest.mark.parametrize(
    ("path", "mount"),
    [
        ("/srv/data", None),
        ("/run/data/deep", "/run"),
        ("/run", "/run"),
        ("/runner", None),
        ("/run/kept/data", None),
        ("/mnt/two words/x", "/mnt/two words"),
        ("/over/x", "/over"),
    ],
)
def test_a_path_in_memory_is_known_by_the_mount_that_it_lies_on(tmp_path: Path, path: str, mount: str | None) -> None:
    """The longest mount above it counts, and of two on one place the later."""
    (tmp_path / "mountinfo").write_text(TABLE)

    assert forgetful_mount(path, table=str(tmp_path / "mountinfo")) == mount


def test_where_no_table_is_nothing_is_known(tmp_path: Path) -> None:
    """Other systems than Linux say nothing, which is no alarm."""
    assert forgetful_mount("/run", table=str(tmp_path / "none")) is None


def test_the_system_s_own_table_is_read() -> None:
    """On Linux, what the system mounts in memory for everybody is found to be there."""
    mounts = Path("/proc/mounts")
    if not mounts.exists() or " /dev/shm tmpfs " not in mounts.read_text("utf-8"):
        pytest.skip("this system has no tmpfs at /dev/shm")

    assert forgetful_mount("/dev/shm/store") == "/dev/shm"

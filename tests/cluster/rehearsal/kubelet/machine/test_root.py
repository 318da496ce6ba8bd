from __future__ import annotations

from pathlib import Path

from cluster.rehearsal.kubelet.config import Image
from cluster.rehearsal.kubelet.machine import root


def test_what_lies_on_another_mount_or_is_hidden_is_bound() -> None:
    chosen = root.binds(
        ["/opt/app", "/data/app", "/data/app/lib", "/tmp/checkout", "/usr/bin"],  # noqa: S108
        ["/", "/data", "/proc"],
        ["/tmp"],  # noqa: S108
    )
    assert chosen == ["/data/app", "/tmp/checkout"]  # noqa: S108


def test_mount_points_are_read_with_their_escapes() -> None:
    line = r"36 35 98:0 /mnt1 /mnt/my\040disk rw,noatime master:1 - ext3 /dev/root rw"
    assert root.mount_points(f"{line}\n") == ["/mnt/my disk"]


def test_an_image_needs_what_it_names_what_links_lead_to_and_its_interpreter(tmp_path: Path) -> None:
    python = tmp_path / "python-3.11/bin/python3"
    python.parent.mkdir(parents=True)
    python.touch()
    bin_folder = tmp_path / "venv/bin"
    bin_folder.mkdir(parents=True)
    (bin_folder / "python3").symlink_to(python)
    (tmp_path / "models").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "models")
    image = Image((str(bin_folder),), {"MODELS": f"{tmp_path}/link:/does/not/exist", "LEVEL": "3"})
    assert root.needed(image) == [
        str(bin_folder),
        str(tmp_path / "python-3.11"),
        str(tmp_path / "link"),
        str(tmp_path / "models"),
    ]


def test_the_images_folders_come_first_on_path() -> None:
    environment = root.environment(Image(("/venv/bin",), {"HOME": "/home/ray"}))
    assert environment["PATH"].startswith("/venv/bin:/usr/local/sbin:")
    assert environment["HOME"] == "/home/ray"

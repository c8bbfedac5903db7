"""Where the code of fast-registered tasks goes."""

import pytest

from services.k8s_launcher.process.code import with_own_destination

INNER = ["--", "pyflyte-execute", "--dest-dir", "/inner"]


@pytest.mark.parametrize("folder", ["/root", "/usr/src/app", "~/code"])
def test_a_folder_of_the_image_becomes_the_attempts_own(folder: str) -> None:
    command = ["pyflyte-fast-execute", "--additional-distribution", "s3://b/x.tar.gz", "--dest-dir"]
    assert with_own_destination([*command, folder, *INNER]) == [*command, ".", *INNER]


def test_other_commands_stay_as_they_are() -> None:
    relative = ["/bin/pyflyte-fast-execute", "--dest-dir", "src", *INNER]
    assert with_own_destination(relative) == relative
    program = ["python", "--dest-dir", "/root"]
    assert with_own_destination(program) == program
    assert with_own_destination(["pyflyte-fast-execute", "--dest-dir"]) == ["pyflyte-fast-execute", "--dest-dir"]

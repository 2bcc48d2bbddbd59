"""What the Dockerfiles build, read from the files."""

import re
import tomllib

from tests.deploy.compose import ROOT

IMAGES = ("Dockerfile", "Dockerfile.models")


def instructions(name: str, keyword: str) -> list[str]:
    """The arguments of an instruction, in order, continued lines joined."""
    text = (ROOT / name).read_text(encoding="utf-8").replace("\\\n", " ")
    return re.findall(rf"^{keyword} (.+)$", text, re.MULTILINE)


def final_stage(name: str) -> str:
    """The text from the last FROM on."""
    return (ROOT / name).read_text(encoding="utf-8").rpartition("\nFROM ")[2]


def test_the_image_holds_every_package_of_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    copied = {words.split()[0] for words in instructions("Dockerfile", "COPY")}
    assert set(packages) <= copied


def test_python_is_one_that_is_tested_and_pinned() -> None:
    lock = re.search(r"--python-version (\d+\.\d+)", (ROOT / "Makefile").read_text())
    assert lock
    for name in IMAGES:
        (image,) = instructions(name, "ARG")
        assert re.fullmatch(rf"PYTHON_IMAGE=python:{re.escape(lock[1])}\.\d+-slim-bookworm", image)
        assert {line.split()[0] for line in instructions(name, "FROM")} == {"${PYTHON_IMAGE}"}


def test_packages_are_locked_and_checked_by_hash() -> None:
    installs = [step for name in IMAGES for step in instructions(name, "RUN") if "pip" in step]
    assert installs
    for step in installs:
        for command in re.findall(r"pip (?:install|sync) [^&]+", step):
            # Our own wheel was built a line above, and brings nothing with it.
            own = "--no-index" in command and "--no-deps" in command
            assert own or "--require-hashes" in command, command
            # Of a name alone, the newest would be taken.
            named = re.findall(r"(?<= )[a-z][\w-]+(?= |$)", command.partition(" ")[2])
            assert not named, f"{command}: {named}"


def test_what_others_run_is_readable_whatever_the_umask_of_the_checkout() -> None:
    for name in IMAGES:
        assert "chmod -R a+rX /opt/everline" in instructions(name, "RUN")
        for words in re.findall(r"^COPY (.+)$", final_stage(name), re.MULTILINE):
            assert "--from=build" in words or "--chmod=" in words, words


def test_no_image_runs_as_root() -> None:
    for name in IMAGES:
        assert "USER 10001:10001" in final_stage(name)


def test_no_secret_is_baked_in() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[1] == "*", "everything stays out but what is named"
    assert "**/.env*" in ignored
    for name in IMAGES:
        text = (ROOT / name).read_text()
        assert "COPY . " not in text
        assert "ADD " not in text
        assert not re.search(r"(SECRET|PASSWORD|API_KEY|TOKEN)=", text)


def test_every_copied_file_is_let_in() -> None:
    let_in = [
        line.removeprefix("!").replace("*", ".*")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    ]
    for name in IMAGES:
        for words in instructions(name, "COPY"):
            if "--from=" in words:
                continue
            for source in [word for word in words.split()[:-1] if not word.startswith("--")]:
                allowed = [re.fullmatch(rf"{rule}(/.*)?", source.rstrip("*")) for rule in let_in]
                assert any(allowed), source

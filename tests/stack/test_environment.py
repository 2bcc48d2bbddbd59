"""The environment of each process: complete, and nothing of the caller's that was not meant."""

import hashlib
import json
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.layout.credentials import Credentials, generate_credentials
from stack.layout.environment import Addresses, Plan, build_environment
from stack.layout.home import Home, find_home
from stack.layout.livekit_config import livekit_config
from stack.layout.ports import Ports
from stack.layout.wanted import PART_NAMES, Wanted, parse_names, parse_settings

CALLER = {
    "PATH": "/usr/bin",
    "HOME": "/home/ada",
    "OPENAI_API_KEY": "sk-secret",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "MONGODB_URI": "mongodb://production",
    "PORT": "4000",
    "HTTPS_PROXY": "http://proxy",
}


def build(
    part: str,
    caller: dict[str, str] | None = None,
    wanted: Wanted | None = None,
    credentials: Credentials | None = None,
    *,
    mongodb: bool = True,
) -> dict[str, str]:
    plan = Plan(
        Home(Path("/stack")),
        credentials or generate_credentials(),
        Addresses(Ports(api=4001, temporal=7234, mongodb=27018, models=4011), mongodb=mongodb),
        {},
        wanted or Wanted(),
        CALLER | (caller or {}),
    )
    return build_environment(part, plan)


@pytest.mark.parametrize("part", PART_NAMES)
def test_no_credential_of_the_caller_reaches_a_process(part: str) -> None:
    values = build(part).values()
    for leaked in ("sk-secret", "secret", "mongodb://production", "http://proxy"):
        assert leaked not in values


def test_what_was_named_to_be_passed_is_passed_to_our_own_processes_alone() -> None:
    caller = {"EVERLINE_PASS_ENV": "AWS_SECRET_ACCESS_KEY, MISSING"}
    for part in ("api", "worker", "agent"):
        assert build(part, caller)["AWS_SECRET_ACCESS_KEY"] == "secret"
    for part in ("temporal", "livekit", "mongodb", "models"):
        assert "AWS_SECRET_ACCESS_KEY" not in build(part, caller)


def test_the_api_gets_addresses_keys_and_the_hash_of_its_key() -> None:
    credentials = generate_credentials()
    environment = build("api", credentials=credentials)
    assert environment["PORT"] == "4001"
    assert environment["AUTH_PROVIDER"] == "local"
    assert environment["TEMPORAL_ADDRESS"] == "127.0.0.1:7234"
    assert environment["MONGODB_URI"] == "mongodb://127.0.0.1:27018/?directConnection=true"
    digest = hashlib.sha256(credentials.api_key.encode()).hexdigest()
    assert environment["EVERLINE_BOOTSTRAP_KEY_HASH"] == digest
    assert credentials.api_key not in environment.values()


def test_the_agent_knows_neither_temporal_nor_the_archive() -> None:
    environment = build("agent")
    assert not [name for name in environment if name.startswith(("TEMPORAL", "MONGODB"))]
    assert "EVERLINE_ENCRYPTION_KEYS" not in environment
    assert "EVERLINE_CALLBACK_SECRET" not in environment
    assert environment["OPENAI_BASE_URL"] == "http://127.0.0.1:4011/v1"
    assert environment["EVERLINE_SPOOL_DIR"] == "/stack/spool"


def test_a_key_of_the_callers_replaces_the_local_models() -> None:
    passed = {"EVERLINE_PASS_ENV": "OPENAI_API_KEY", "OPENAI_API_KEY": "sk-mine"}
    environment = build("agent", passed)
    assert environment["OPENAI_API_KEY"] == "sk-mine"
    assert "OPENAI_BASE_URL" not in environment

    gateway = {"OPENAI_BASE_URL": "https://gateway", "EVERLINE_PASS_ENV": "OPENAI_BASE_URL"}
    environment = build("agent", gateway)
    assert environment["OPENAI_BASE_URL"] == "https://gateway"
    assert environment["OPENAI_API_KEY"] == "local"

    given = Wanted(settings=parse_settings(["agent:OPENAI_API_KEY=sk-mine"]))
    assert "OPENAI_BASE_URL" not in build("agent", wanted=given)


def test_without_mongodb_there_is_no_uri() -> None:
    for part in ("api", "worker"):
        assert "MONGODB_URI" not in build(part, mongodb=False)


def test_api_worker_and_agent_agree_on_the_agents_name() -> None:
    for part in ("api", "worker", "agent"):
        assert build(part)["AGENT_NAME"] == "local-test"
        named = build(part, {"LIVEKIT_AGENT_NAME": "other"})
        assert named["LIVEKIT_AGENT_NAME"] == "other"
        assert "AGENT_NAME" not in named


def test_a_name_given_to_one_part_replaces_both_spellings() -> None:
    for given, other in (
        ("AGENT_NAME", "LIVEKIT_AGENT_NAME"),
        ("LIVEKIT_AGENT_NAME", "AGENT_NAME"),
    ):
        wanted = Wanted(settings=parse_settings([f"agent:{given}=mine"]))
        environment = build("agent", {other: "of-the-shell"}, wanted)
        assert environment[given] == "mine"
        assert other not in environment


def test_our_own_settings_of_the_caller_have_an_effect() -> None:
    environment = build("worker", {"SUMMARISER": "openai", "EVERLINE_JOIN_SECONDS": "3"})
    assert environment["SUMMARISER"] == "openai"
    assert environment["EVERLINE_JOIN_SECONDS"] == "3"


def test_what_the_stack_decides_is_not_overruled_by_the_callers_environment() -> None:
    caller = {"EVERLINE_CALLBACK_SECRET": "x" * 40, "EVERLINE_CALLBACK_URL": "http://elsewhere"}
    environment = build("api", caller)
    assert environment["EVERLINE_CALLBACK_SECRET"] != "x" * 40
    assert environment["EVERLINE_CALLBACK_URL"] == "http://127.0.0.1:4001"


def test_a_setting_for_one_part_wins_and_stays_with_it() -> None:
    wanted = Wanted(settings=parse_settings(["agent:AGENT_NAME=other", "LOG_LEVEL=DEBUG"]))
    assert build("agent", wanted=wanted)["AGENT_NAME"] == "other"
    assert build("api", wanted=wanted)["AGENT_NAME"] == "local-test"
    assert build("api", wanted=wanted)["LOG_LEVEL"] == "DEBUG"
    assert "LOG_LEVEL" not in build("temporal", wanted=wanted)


def test_unknown_parts_and_malformed_settings_are_named() -> None:
    assert parse_names(["worker,api", "api"]) == ["api", "worker"]
    with pytest.raises(StackError, match=r"no such part: mongo\. There are: temporal"):
        parse_names(["mongo"])
    with pytest.raises(StackError, match="no such part: agents"):
        parse_settings(["agents:A=1"])
    with pytest.raises(StackError, match="--set 'A': give NAME=VALUE"):
        parse_settings(["A"])


def test_livekit_stays_on_the_machine_and_signs_its_webhooks() -> None:
    credentials = generate_credentials()
    config = json.loads(json.dumps(livekit_config(credentials, Addresses(Ports(api=4001)))))
    assert config["bind_addresses"] == ["127.0.0.1"]
    assert config["rtc"]["ips"] == {"includes": ["127.0.0.1/32"]}
    assert config["rtc"]["udp_port"] == "7882-7885"
    assert config["room"] == {"auto_create": False}
    assert config["agents"] == {"target_load": 1.0}, "whoever has a place gets a job"
    assert config["webhook"]["urls"] == ["http://127.0.0.1:4001/v1/livekit/webhook"]
    assert config["webhook"]["api_key"] in config["keys"]


def test_a_folder_that_cannot_be_the_home_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for home in (tmp_path / "file", tmp_path / "file" / "home"):
        with pytest.raises(StackError, match="cannot be the stack's folder"):
            Home(home).create()


def test_the_home_is_the_given_one_or_that_of_the_environment(tmp_path: Path) -> None:
    assert find_home({"EVERLINE_HOME": str(tmp_path)}).root == tmp_path.resolve()
    assert find_home({"EVERLINE_HOME": "/other"}, given=tmp_path).root == tmp_path.resolve()
    assert find_home({}).root.name == ".everline"

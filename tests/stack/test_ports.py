"""Ports: chosen from options, environment, memory and defaults, and checked before a start."""

import os
import socket
from pathlib import Path

import pytest

from stack.errors import StackError
from stack.layout.home import Home
from stack.layout.ports import (
    PortRange,
    Ports,
    choose_ports,
    read_ports,
    remember_ports,
    require_free_ports,
)


def test_defaults_are_those_of_the_design() -> None:
    ports = choose_ports({}, {}, None)
    assert (ports.api, ports.temporal, ports.temporal_ui) == (4000, 7233, 8233)
    assert (ports.livekit, ports.livekit_tcp, ports.mongodb) == (7880, 7881, 27017)


def test_an_option_wins_over_the_environment_and_that_over_memory() -> None:
    remembered = Ports(api=4100, temporal=7300, mongodb=27100)
    environ = {"EVERLINE_API_PORT": "4200", "EVERLINE_TEMPORAL_PORT": "7400"}
    ports = choose_ports({"api": 4300, "temporal": None}, environ, remembered)
    assert (ports.api, ports.temporal, ports.mongodb) == (4300, 7400, 27100)


def test_port_is_the_apis() -> None:
    assert choose_ports({}, {"PORT": "4500"}, None).api == 4500
    assert choose_ports({}, {"PORT": "4500", "EVERLINE_API_PORT": "4600"}, None).api == 4600


def test_a_range_of_udp_ports_is_read() -> None:
    ports = choose_ports({"livekit_udp": "50000-50003"}, {}, None)
    assert list(ports.livekit_udp.numbers()) == [50000, 50001, 50002, 50003]


def test_every_wrong_value_is_named_at_once() -> None:
    environ = {"EVERLINE_API_PORT": "soon", "EVERLINE_LIVEKIT_UDP_PORTS": "9-5"}
    with pytest.raises(StackError) as problem:
        choose_ports({}, environ, None)
    assert "EVERLINE_API_PORT: 'soon' is not a port" in str(problem.value)
    assert "EVERLINE_LIVEKIT_UDP_PORTS: '9-5' is not a range" in str(problem.value)


def test_a_port_out_of_range_names_option_and_variable() -> None:
    with pytest.raises(StackError, match=r"--mongodb-port \(EVERLINE_MONGODB_PORT\)"):
        choose_ports({"mongodb": 70000}, {}, None)


def test_one_port_for_two_purposes_is_refused() -> None:
    with pytest.raises(StackError, match="port 7233 is given for both api and temporal"):
        choose_ports({"api": 7233}, {}, None)


def test_the_choice_is_remembered(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert read_ports(home) is None
    ports = Ports(api=4321, livekit_udp=PortRange(first=6000, last=6001))
    remember_ports(home, ports)
    assert read_ports(home) == ports


def test_a_damaged_memory_is_not_guessed_from(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.ports.write_text('{"api": "x"}')
    with pytest.raises(StackError, match=r"ports.json is damaged; remove it"):
        read_ports(home)


def test_two_stacks_on_free_ports_do_not_meet() -> None:
    first, second = (choose_ports({}, {}, None, pick_free=True) for _ in range(2))
    numbers = _numbers(first)
    assert len(numbers) == 9
    assert numbers.isdisjoint(_numbers(Ports()))
    assert second != first


def test_a_taken_port_names_its_holder_and_the_cure() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ports = Ports(temporal=port)
        with pytest.raises(StackError) as problem:
            require_free_ports(ports, ["temporal"])
    message = str(problem.value)
    assert f"Port {port} (Temporal) is taken by pid {os.getpid()}:" in message
    assert f"everline up --temporal-port {port + 100}" in message
    assert "EVERLINE_TEMPORAL_PORT" in message


def test_a_taken_udp_port_is_found() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as holder:
        holder.bind(("127.0.0.1", 0))
        port = holder.getsockname()[1]
        free = choose_ports({}, {}, None, pick_free=True)
        ports = free.model_copy(update={"livekit_udp": PortRange(first=port, last=port)})
        with pytest.raises(StackError, match=f"UDP port {port} .*pid {os.getpid()}"):
            require_free_ports(ports, ["livekit"])


def test_ports_of_parts_that_are_left_out_are_not_looked_at() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = choose_ports({}, {}, None, pick_free=True)
        ports = free.model_copy(update={"mongodb": server.getsockname()[1]})
        require_free_ports(ports, ["temporal", "livekit", "models", "api"])


def test_a_server_on_all_addresses_takes_the_port_as_well() -> None:
    with socket.create_server(("", 0)) as server:
        free = choose_ports({}, {}, None, pick_free=True)
        ports = free.model_copy(update={"api": server.getsockname()[1]})
        with pytest.raises(StackError, match=r"\(API\)"):
            require_free_ports(ports, ["api"])


def _numbers(ports: Ports) -> set[int]:
    single = {value for name, value in ports if name != "livekit_udp"}
    return single | set(ports.livekit_udp.numbers())

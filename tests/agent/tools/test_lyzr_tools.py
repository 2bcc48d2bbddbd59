"""Actions of Lyzr's tools: what goes over the wire."""

import json
from typing import Any

from tests.agent.tools.talk import settings, talking
from tests.fakes.scripted_chat import Call, ScriptedChat
from tests.fakes.web_service import WebService


async def act(entry: dict[str, Any], call: Call, service: WebService, **more: Any) -> ScriptedChat:
    """Let the model call an action once; the chat model's side of it."""
    config = {"lyzr_tools": [entry], "apiKey": "lyzr-key", "user_id": "anna"}
    async with (
        ScriptedChat([call]) as chat,
        talking(chat, config, with_settings=settings(lyzr_api_url=service.url, **more)) as talk,
    ):
        await talk.say("Please write to them.")
        assert talk.said()[-1] == "Fine."
    return chat


async def test_each_action_is_a_function_and_is_called_with_the_entrys_identifiers() -> None:
    entry = {
        "tool_name": "gmail",
        "tool_source": "aci",
        "action_names": ["GMAIL.send", "GMAIL.read"],
        "persist_auth": True,
        "server_id": "srv",
        "credential_id": "cred",
        "actions": {
            "GMAIL.send": {
                "description": "Sends a mail.",
                "parameters": {"type": "object", "properties": {"to": {"type": "string"}}},
            }
        },
    }
    async with WebService(answer='{"ok": true}') as service:
        chat = await act(entry, Call("GMAIL_send", {"to": "bob"}), service)

    offered = chat.offered(0)
    assert set(offered) == {"GMAIL_send", "GMAIL_read"}
    assert offered["GMAIL_send"]["description"] == "Sends a mail."
    assert "to" in offered["GMAIL_send"]["parameters"]["properties"]
    [asked] = service.asked
    assert (asked.method, asked.path) == ("POST", "/v3/tools/aci/gmail/execute")
    assert asked.headers["x-api-key"] == "lyzr-key"
    assert json.loads(asked.text) == {
        "action_name": "GMAIL.send",
        "arguments": {"to": "bob"},
        "user_id": "anna",
        "session_id": "s1",
        "server_id": "srv",
        "credential_id": "cred",
        "persist_auth": True,
    }
    assert chat.answers_of_tools() == ['{"ok": true}']


async def test_an_openapi_tool_is_called_as_lyzr_documents_it() -> None:
    entry = {
        "tool_name": "tool-1",
        "tool_source": "openapi",
        "action_names": ["fetch"],
        "path": "/fetch-content",
        "method": "POST",
    }
    async with WebService() as service:
        await act(entry, Call("fetch", {"webpage_url": "https://x.test"}), service)

    [asked] = service.asked
    assert asked.path == "/v3/tools/openapi/tool-1/execute"
    assert asked.query == {"path": "/fetch-content", "method": "POST"}
    assert json.loads(asked.text) == {"webpage_url": "https://x.test"}


async def test_the_path_is_a_setting_and_an_error_is_an_answer() -> None:
    async with WebService(status=500, answer="broken") as service:
        chat = await act(
            {"tool_name": "gmail", "tool_source": "aci", "action_names": ["send"]},
            Call("send"),
            service,
            lyzr_tool_path="/run/{tool_name}/{action_name}",
        )

    assert service.asked[0].path == "/run/gmail/send"
    assert chat.answers_of_tools() == ["send answered with status 500: broken"]

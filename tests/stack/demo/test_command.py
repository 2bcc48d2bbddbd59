"""What the command adds to the call: the link for operators."""

from stack.demo.command import workflow_url


def test_the_link_names_the_workflow_with_its_slashes_escaped() -> None:
    url = workflow_url("http://localhost:8233", "local", "demo-1")
    path = "/namespaces/default/workflows/session%2Flocal%2Fdemo-1"
    assert url == f"http://localhost:8233{path}"

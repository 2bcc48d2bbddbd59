"""A workflow whose every message, detail and failure is secret."""

from pydantic import BaseModel
from temporalio import workflow
from temporalio.exceptions import ApplicationError


class SecretRequest(BaseModel):
    secret: str
    fail: bool


class SecretAnswer(BaseModel):
    text: str


@workflow.defn
class SecretWorkflow:
    """Waits to be told one more thing, then answers with all that it knows."""

    def __init__(self) -> None:
        self._whispered: str | None = None

    @workflow.run
    async def run(self, request: SecretRequest) -> SecretAnswer:
        workflow.set_current_details(f"waiting, knows {request.secret}")
        await workflow.wait_condition(lambda: self._whispered is not None)
        text = f"{request.secret}, {self._whispered}"
        if request.fail:
            raise ApplicationError(text, request.secret, non_retryable=True)
        return SecretAnswer(text=text)

    @workflow.signal
    def whisper(self, word: str) -> None:
        self._whispered = word

"""Reading stored documents: one that this version cannot read must not hide the others.

Another version stored it, or it is encrypted with a missing key, or it was edited by hand. The log
names its id and the invalid fields, never their values.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog
from pydantic import ValidationError

from adapters.mongo.documents import Document
from adapters.temporal.encryption import CannotDecrypt
from domain.errors import Unreadable
from domain.paging import Page

log = structlog.get_logger()

Model = TypeVar("Model")
_FIELDS_NAMED = 5


@dataclass(frozen=True)
class StoredModel(Generic[Model]):
    """How documents of one kind are read.

    Attributes:
        what: the kind, as it reads before an id.
        read: makes the model from a document.
        cure: what helps if another version stored it.
    """

    what: str
    read: Callable[[Document], Model]
    cure: str = "update this Everline to the version that stored it, or store it again"

    def one(self, document: Document) -> Model:
        """The model in a document; `Unreadable` names the document, the reason and the cure."""
        name = f"{self.what} {document['_id']}"
        try:
            return self.read(document)
        except CannotDecrypt as error:
            unreadable = Unreadable(
                f"{name} cannot be read: {error.message}", field=error.field, cure=error.cure
            )
        except ValidationError as error:
            faults = error.errors(include_input=False, include_url=False)[:_FIELDS_NAMED]
            fields = ", ".join(".".join(map(str, one["loc"])) or one["type"] for one in faults)
            unreadable = Unreadable(
                f"{name} was stored by another version of Everline ({fields})", cure=self.cure
            )
        except (KeyError, TypeError, ValueError) as error:
            kind = type(error).__name__
            unreadable = Unreadable(f"{name} does not have the form that Everline stores ({kind})")
        log.error("stored document unreadable", id=document["_id"], reason=unreadable.message)
        raise unreadable

    def all(self, documents: Iterable[Document]) -> list[Model]:
        """The models in the documents, without unreadable ones, which are logged."""
        found: list[Model] = []
        for document in documents:
            with suppress(Unreadable):  # logged where it was raised
                found.append(self.one(document))
        return found

    def page(self, documents: Sequence[Document], limit: int, sorted_by: str) -> Page[Model]:
        """The page of up to `limit` documents, from a query for one more than that."""
        following = documents[limit - 1][sorted_by] if len(documents) > limit else None
        return Page(self.all(documents[:limit]), next=following)

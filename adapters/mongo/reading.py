"""Reading what is stored: what one Everline cannot read must not hide all the rest.

It was stored by another version, by another key ring, or changed by hand. The log has its id and
the fields that are wrong, never their values.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import structlog
from pydantic import ValidationError

from adapters.mongo.documents import Document
from adapters.temporal.encryption import CannotDecrypt
from domain.errors import Unreadable
from domain.paging import Page

log = structlog.get_logger()

Model = TypeVar("Model")
_FIELDS_NAMED = 5
_CURE = "update this Everline to the version that stored it, or store it again"


def read_one(
    document: Document, read: Callable[[Document], Model], what: str, cure: str = _CURE
) -> Model:
    """What a document holds.

    Args:
        document: as it is stored.
        read: makes the model of it.
        what: what it is, as it reads before an id.
        cure: what helps if another version stored it.

    Raises:
        Unreadable: naming its id, the reason and the cure.
    """
    name = f"{what} {document['_id']}"
    try:
        return read(document)
    except CannotDecrypt as error:
        unreadable = Unreadable(
            f"{name} cannot be read: {error.message}", field=error.field, cure=error.cure
        )
    except ValidationError as error:
        faults = error.errors(include_input=False, include_url=False)[:_FIELDS_NAMED]
        fields = ", ".join(".".join(map(str, fault["loc"])) or fault["type"] for fault in faults)
        unreadable = Unreadable(
            f"{name} was stored by another version of Everline ({fields})", cure=cure
        )
    except (KeyError, TypeError, ValueError) as error:
        kind = type(error).__name__
        unreadable = Unreadable(f"{name} has not the form of what Everline stores ({kind})")
    log.error("something stored cannot be read", id=document["_id"], reason=unreadable.message)
    raise unreadable


def read_all(
    documents: Iterable[Document], read: Callable[[Document], Model], what: str
) -> list[Model]:
    """What the documents hold, without those that cannot be read; the log names them."""
    found: list[Model] = []
    for document in documents:
        try:
            found.append(read_one(document, read, what))
        except Unreadable:  # logged where it was raised
            continue
    return found


def part_of(
    documents: Sequence[Document], limit: int, read: Callable[[Document], Model], what: str
) -> Page[Model]:
    """What a look for up to `limit` documents, by their ids, found of a longer walk."""
    more = len(documents) == limit
    return Page(read_all(documents, read, what), next=documents[-1]["_id"] if more else None)


def page_of(
    documents: Sequence[Document],
    limit: int,
    read: Callable[[Document], Model],
    what: str,
    sorted_by: str = "place",
) -> Page[Model]:
    """The page of up to `limit` documents for which one more was looked up."""
    following = documents[limit - 1][sorted_by] if len(documents) > limit else None
    return Page(read_all(documents[:limit], read, what), next=following)

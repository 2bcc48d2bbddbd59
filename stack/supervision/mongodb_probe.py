"""One write and one read of a MongoDB server, in its wire protocol (OP_MSG).

Only `adapters/` may import the driver.
"""

import asyncio
import struct
import time

_DATABASE = "everline_stack"
_ID = "supervisor"

Value = int | str | bool | list["Value"] | dict[str, "Value"]


async def probe_mongodb(port: int) -> None:
    """Return if the server accepts a journaled write, always of one document, and reads it back.

    Raises:
        OSError: Nothing listens, or the connection broke.
        asyncio.IncompleteReadError: The server closed the connection.
        ValueError: The server refused; the message says what.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        hello = await _ask(reader, writer, {"hello": 1, "$db": "admin"})
        if b"\x08isWritablePrimary\x00\x01" not in hello:
            raise ValueError("takes no writes")
        mark = time.time_ns() % 2**31
        change: Value = {"q": {"_id": _ID}, "u": {"$set": {"mark": mark}}, "upsert": True}
        concern: Value = {"w": 1, "j": True}
        update: dict[str, Value] = {
            "update": "health",
            "updates": [change],
            "writeConcern": concern,
            "$db": _DATABASE,
        }
        written = await _ask(reader, writer, update)
        if not _succeeded(written) or b"\x04writeErrors\x00" in written:
            raise ValueError("refuses a write")
        find: dict[str, Value] = {"find": "health", "filter": {"_id": _ID}, "$db": _DATABASE}
        found = await _ask(reader, writer, find)
        if not _succeeded(found) or b"\x10mark\x00" + struct.pack("<i", mark) not in found:
            raise ValueError("does not read what was written")
    finally:
        writer.close()


async def _ask(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, command: dict[str, Value]
) -> bytes:
    body = struct.pack("<i", 0) + b"\x00" + _document(command)
    writer.write(struct.pack("<iiii", 16 + len(body), 1, 0, 2013) + body)
    (length,) = struct.unpack("<i", await reader.readexactly(4))
    return await reader.readexactly(length - 4)


def _succeeded(reply: bytes) -> bool:
    """Tell whether `ok` is 1, which servers send as a double or an integer."""
    one = (b"\x01ok\x00" + struct.pack("<d", 1.0), b"\x10ok\x00" + struct.pack("<i", 1))
    return any(form in reply for form in one)


def _document(fields: dict[str, Value]) -> bytes:
    content = b"".join(_field(name, value) for name, value in fields.items())
    return struct.pack("<i", len(content) + 5) + content + b"\x00"


def _field(name: str, value: Value) -> bytes:
    key = name.encode() + b"\x00"
    match value:
        case bool():
            return b"\x08" + key + bytes([value])
        case int():
            return b"\x10" + key + struct.pack("<i", value)
        case str():
            text = value.encode() + b"\x00"
            return b"\x02" + key + struct.pack("<i", len(text)) + text
        case list():
            return b"\x04" + key + _document({str(n): item for n, item in enumerate(value)})
        case dict():
            return b"\x03" + key + _document(value)

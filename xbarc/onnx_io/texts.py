"""Names in a model that are no text: protobuf lets any bytes pass for a string."""

from __future__ import annotations

from collections.abc import Iterator

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from xbarc.errors import ModelError

_SHOWN = 40  # bytes of what is no text


def refuse_no_text(model: onnx.ModelProto, *, where: str) -> None:
    """Refuse a model in which a name is not UTF-8.

    Raises:
        ModelError: shows the first one.
    """
    for text in _strings(model):
        if isinstance(text, bytes):
            raise ModelError(
                f"a name in the model is no text: {text[:_SHOWN]!r}",
                where=where,
                fix="export or copy the model again, it is damaged",
            )


def _strings(message: Message) -> Iterator[str | bytes]:
    """All strings of a message but descriptions; of tensors just the names, since to look at data is to copy them."""
    if isinstance(message, onnx.TensorProto):
        yield message.name
        return
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_STRING and field.name != "doc_string":
            yield from (value,) if isinstance(value, str | bytes) else value
        elif field.type == FieldDescriptor.TYPE_MESSAGE:
            for inner in (value,) if isinstance(value, Message) else value:
                yield from _strings(inner)

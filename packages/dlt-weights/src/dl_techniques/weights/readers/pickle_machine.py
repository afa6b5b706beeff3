"""A machine for pickles that runs nothing: names become inert records, calls become data.

Python's own unpickler executes what the file says, allocates what the file says, and hashes what
the file builds. This one knows the opcodes of which checkpoints are made. Classes and functions
are looked up in a table that the caller gives; all others are refused, or become `Stub`s.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from dl_techniques.core.text import short_repr
from dl_techniques.weights.errors import UnreadableFile

_KEYS: Final = (str, int, float, bool, bytes, type(None))
_LONGEST_INTEGER: Final = 64
_LONGEST_LINE: Final = 1024
_MARK: Final = object()


@dataclass(eq=False)
class Stub:
    """An object of a class that is not known: its name and what the pickle gave it."""

    name: str
    """`module.qualname`, as text."""
    arguments: tuple[Any, ...] = ()
    state: Any = None
    items: dict[Any, Any] = field(default_factory=dict)
    members: list[Any] = field(default_factory=list)


class PickleMachine:
    """Reads one pickle from a buffer.

    Args:
        data: The buffer.
        start: Where the pickle begins.
        names: (module, name) -> function that makes data of the arguments of a call.
        storage: Maker of the storage of a persistent identifier.
        allow_stubs: Whether other names become `Stub`s; refused by default.
    """

    def __init__(
        self,
        data: memoryview,
        start: int,
        names: Mapping[tuple[str, str], Any],
        storage: Callable[[Any], Any],
        *,
        allow_stubs: bool = False,
    ) -> None:
        self._data, self.position = data, start
        self._names, self._storage, self._allow_stubs = names, storage, allow_stubs
        self._stack: list[Any] = []
        self._memo: dict[int, Any] = {}

    def load(self) -> Any:
        """Read the pickle; `position` is behind it afterwards.

        Raises:
            UnreadableFile: If it is damaged, or names something that is refused.
        """
        while True:
            code = self._take(1)[0]
            if code == _STOP:
                return self._pop()
            act = _ACTIONS.get(code)
            if act is None:
                raise UnreadableFile(f"a pickle has the opcode {code:#04x}, which is not read")
            try:
                act(self)
            except (IndexError, KeyError, TypeError, ValueError, struct.error) as error:
                if isinstance(error, UnreadableFile):
                    raise
                raise UnreadableFile(f"a pickle is damaged: {short_repr(str(error))}") from error

    # Reading.

    def _take(self, count: int) -> memoryview:
        end = self.position + count
        if count < 0 or end > len(self._data):
            raise UnreadableFile("a pickle is cut off")
        piece = self._data[self.position : end]
        self.position = end
        return piece

    def _number(self, form: str) -> int:
        value: int = struct.unpack(form, self._take(struct.calcsize(form)))[0]
        return value

    def _counted(self, form: str) -> bytes:
        return bytes(self._take(self._number(form)))

    def _line(self) -> str:
        window = bytes(self._data[self.position : self.position + _LONGEST_LINE])
        end = window.find(b"\n")
        if end < 0:
            raise UnreadableFile("a pickle has a line that does not end")
        self.position += end + 1
        return window[:end].decode("utf-8")

    def _integer(self, form: str) -> None:
        data = self._counted(form)
        if len(data) > _LONGEST_INTEGER:
            raise UnreadableFile(f"a pickle has an integer of {len(data)} bytes")
        self._push(int.from_bytes(data, "little", signed=True))

    # The stack.

    def _push(self, value: Any) -> None:
        self._stack.append(value)

    def _pop(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise UnreadableFile("a pickle takes more than it has")
        return self._stack.pop()

    def _top(self) -> Any:
        if not self._stack or self._stack[-1] is _MARK:
            raise UnreadableFile("a pickle takes more than it has")
        return self._stack[-1]

    def _marked(self) -> list[Any]:
        for index in range(len(self._stack) - 1, -1, -1):
            if self._stack[index] is _MARK:
                items = self._stack[index + 1 :]
                del self._stack[index:]
                return items
        raise UnreadableFile("a pickle closes what it did not open")

    def _tuple(self, count: int) -> None:
        items = [self._pop() for _ in range(count)]
        self._push(tuple(reversed(items)))

    # Containers.

    def _extend(self, values: list[Any]) -> None:
        target = self._top()
        if isinstance(target, Stub):
            target.members.extend(values)
        elif isinstance(target, list):
            target.extend(values)
        else:
            raise UnreadableFile(f"a pickle appends to {type(target).__name__}")

    def _update(self, items: list[Any]) -> None:
        target = self._top()
        place = target.items if isinstance(target, Stub) else target
        if not isinstance(place, dict) or len(items) % 2:
            raise UnreadableFile(f"a pickle sets items of {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            # A tuple of tuples could take for ever to hash.
            if type(key) not in _KEYS and not (
                type(key) is tuple and all(type(part) in _KEYS for part in key)
            ):
                raise UnreadableFile(f"a pickle has a key that is {type(key).__name__}")
            place[key] = value

    # Names and calls.

    def _global(self, module: Any, name: Any) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise UnreadableFile("a pickle names a class by something else than text")
        found = self._names.get((module, name))
        if found is None:
            if not self._allow_stubs:
                raise UnreadableFile(
                    f"it asks for {short_repr(f'{module}.{name}')}, which a state dict has no "
                    "need of. Nothing was run. allow_stubs=True reads such names as inert records"
                )
            found = Stub(f"{module}.{name}")
        self._push(found)

    def _reduce(self) -> None:
        arguments, function = self._pop(), self._pop()
        if not isinstance(arguments, tuple):
            raise UnreadableFile("a pickle calls with something else than a tuple")
        self._push(self._made(function, arguments))

    def _made(self, function: Any, arguments: tuple[Any, ...]) -> Any:
        if isinstance(function, Stub):
            return Stub(function.name, arguments)
        if not callable(function):
            raise UnreadableFile("a pickle calls what cannot be called")
        return function(*arguments)

    def _build(self) -> None:
        state, target = self._pop(), self._top()
        if isinstance(target, Stub):
            target.state = state
        elif not isinstance(target, dict):  # an OrderedDict's own attributes: `_metadata`
            raise UnreadableFile(f"a pickle gives a state to {type(target).__name__}")


def _named_by_line(machine: PickleMachine) -> None:
    module = machine._line()
    machine._global(module, machine._line())


def _named_by_stack(machine: PickleMachine) -> None:
    name = machine._pop()
    machine._global(machine._pop(), name)


def _newobj(machine: PickleMachine, *, keywords: bool = False) -> None:
    if keywords:
        machine._pop()
    arguments, cls = machine._pop(), machine._pop()
    machine._push(machine._made(cls, tuple(arguments)))


def _append(machine: PickleMachine) -> None:
    value = machine._pop()
    machine._extend([value])


def _set_item(machine: PickleMachine) -> None:
    value, key = machine._pop(), machine._pop()
    machine._update([key, value])


def _dict(machine: PickleMachine) -> None:
    items = machine._marked()
    machine._push({})
    machine._update(items)


def _remember(machine: PickleMachine, index: int) -> None:
    machine._memo[index] = machine._top()


def _text(form: str) -> Callable[[PickleMachine], None]:
    return lambda m: m._push(m._counted(form).decode("utf-8", "surrogatepass"))


def _bytes(form: str) -> Callable[[PickleMachine], None]:
    return lambda m: m._push(m._counted(form))


def _old_text(form: str) -> Callable[[PickleMachine], None]:
    """A Python 2 string: text where it is ASCII."""
    return lambda m: m._push(m._counted(form).decode("latin-1"))


def _constant(value: Any) -> Callable[[PickleMachine], None]:
    return lambda m: m._push(value)


def _discard(machine: PickleMachine) -> None:
    if not machine._stack:
        raise UnreadableFile("a pickle takes more than it has")
    machine._stack.pop()


_STOP: Final = ord(".")
_ACTIONS: Final[dict[int, Callable[[PickleMachine], Any]]] = {
    0x80: lambda m: m._take(1),  # PROTO
    0x95: lambda m: m._take(8),  # FRAME
    ord("("): lambda m: m._push(_MARK),
    ord("0"): _discard,
    ord("1"): lambda m: m._marked(),
    ord("2"): lambda m: m._push(m._top()),
    ord("N"): _constant(None),
    0x88: _constant(True),
    0x89: _constant(False),
    ord("J"): lambda m: m._push(m._number("<i")),
    ord("K"): lambda m: m._push(m._number("<B")),
    ord("M"): lambda m: m._push(m._number("<H")),
    0x8A: lambda m: m._integer("<B"),
    0x8B: lambda m: m._integer("<i"),
    ord("G"): lambda m: m._push(struct.unpack(">d", m._take(8))[0]),
    ord("X"): _text("<I"),
    0x8C: _text("<B"),
    0x8D: _text("<Q"),
    ord("U"): _old_text("<B"),
    ord("T"): _old_text("<i"),
    ord("C"): _bytes("<B"),
    ord("B"): _bytes("<I"),
    0x8E: _bytes("<Q"),
    ord("]"): lambda m: m._push([]),
    ord("}"): lambda m: m._push({}),
    ord(")"): _constant(()),
    0x8F: lambda m: m._push([]),  # EMPTY_SET: order and repeats do no harm here
    0x90: lambda m: m._extend(m._marked()),
    0x91: lambda m: m._push(m._marked()),
    ord("l"): lambda m: m._push(m._marked()),
    ord("t"): lambda m: m._push(tuple(m._marked())),
    ord("d"): _dict,
    0x85: lambda m: m._tuple(1),
    0x86: lambda m: m._tuple(2),
    0x87: lambda m: m._tuple(3),
    ord("a"): _append,
    ord("e"): lambda m: m._extend(m._marked()),
    ord("s"): _set_item,
    ord("u"): lambda m: m._update(m._marked()),
    ord("q"): lambda m: _remember(m, m._number("<B")),
    ord("r"): lambda m: _remember(m, m._number("<I")),
    0x94: lambda m: _remember(m, len(m._memo)),
    ord("h"): lambda m: m._push(m._memo[m._number("<B")]),
    ord("j"): lambda m: m._push(m._memo[m._number("<I")]),
    ord("c"): _named_by_line,
    0x93: _named_by_stack,
    ord("R"): lambda m: m._reduce(),
    0x81: _newobj,
    0x92: lambda m: _newobj(m, keywords=True),
    ord("b"): lambda m: m._build(),
    ord("Q"): lambda m: m._push(m._storage(m._pop())),
}

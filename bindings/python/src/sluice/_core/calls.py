"""How an operation is declared once and becomes a method of both faces.

A declaration is a method that sends nothing: it returns a :class:`Call`, which holds the parameters of the request and the
reader of its result. ``@operation`` keeps it; the name of the request follows from the name of the method and the noun of
its class (``socket`` and ``wait_for_ready_read`` make ``socket.waitForReadyRead``). A class of the blocking face gets from
each declaration a method that waits for the result, a class of the asyncio face one that is awaited. To a type checker the
declaration is a descriptor whose type depends on the face, so every method is fully typed in both.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any, Callable, Coroutine, Generic, Mapping, Optional, TypeVar, overload

if TYPE_CHECKING:
    from typing_extensions import Concatenate, ParamSpec

    P = ParamSpec("P")
else:
    # ParamSpec came with Python 3.10. At run time nothing depends on it.
    P = TypeVar("P")

R = TypeVar("R")


class Call(Generic[R]):
    """The parameters of one request, and how to read its result."""

    __slots__ = ("read", "parameters", "waits", "needs_handle", "descriptor")

    def __init__(
        self,
        read: Callable[[Any], R],
        parameters: Optional[Mapping[str, Any]] = None,
        waits: int = 0,
        needs_handle: bool = True,
        descriptor: Optional[int] = None,
    ) -> None:
        self.read = read
        self.parameters = dict(parameters) if parameters else {}
        # How long the operation itself may take, in milliseconds; the limit on the sidecar's answer starts after that.
        self.waits = waits
        # Whether it is about the object it is called on.
        self.needs_handle = needs_handle
        # A descriptor of this process that travels with the request.
        self.descriptor = descriptor


class Blocking:
    """The face whose operations return their results."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        _make_methods(cls, _blocking_method)


class Asynchronous:
    """The face whose operations are coroutines."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        _make_methods(cls, _asynchronous_method)


class operation(Generic[P, R]):
    """A declared operation. See the text of this module."""

    method: str

    def __init__(self, declare: Callable[Concatenate[Any, P], Call[R]]) -> None:
        self.declare = declare

    def __set_name__(self, owner: Any, name: str) -> None:
        first, *others = name.split("_")
        self.method = f"{owner.noun}.{first}{''.join(word.title() for word in others)}"

    if TYPE_CHECKING:

        @overload
        def __get__(self, instance: None, owner: Any = None) -> operation[P, R]: ...
        @overload
        def __get__(self, instance: Blocking, owner: Any = None) -> Callable[P, R]: ...
        @overload
        def __get__(self, instance: Asynchronous, owner: Any = None) -> Callable[P, Coroutine[Any, Any, R]]: ...
        def __get__(self, instance: Any, owner: Any = None) -> Any: ...


def _make_methods(cls: type, make: Callable[[operation[Any, Any]], Callable[..., Any]]) -> None:
    for name in dir(cls):
        declared = getattr(cls, name)
        if isinstance(declared, operation):
            method = make(declared)
            _describe(method, declared, cls)
            setattr(cls, name, method)


def _describe(method: Any, declared: operation[Any, Any], cls: type) -> None:
    functools.update_wrapper(method, declared.declare)
    del method.__wrapped__  # what it wraps returns a Call; the method returns what the call reads
    result = method.__annotations__["return"][len("Call[") : -1]
    method.__annotations__ = {**method.__annotations__, "return": result}
    method.__signature__ = inspect.signature(declared.declare).replace(return_annotation=result)
    method.__qualname__ = f"{cls.__qualname__}.{method.__name__}"
    method.operation = declared


def _blocking_method(declared: operation[Any, Any]) -> Callable[..., Any]:
    name, declare = declared.method, declared.declare

    def method(self: Any, *args: Any, **keywords: Any) -> Any:
        return self._perform(name, declare(self, *args, **keywords))

    return method


def _asynchronous_method(declared: operation[Any, Any]) -> Callable[..., Any]:
    name, declare = declared.method, declared.declare

    async def method(self: Any, *args: Any, **keywords: Any) -> Any:
        return await self._perform(name, declare(self, *args, **keywords))

    return method

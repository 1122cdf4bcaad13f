"""socket(2) by its built-in module: the standard wrapper makes enums of its numbers, 4 ms of a launch. A leaf."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import socket
else:
    import _socket as socket

__all__ = ["socket"]

"""signal(7) by its built-in module: the standard wrapper makes enums of its numbers, 2 ms of a launch. A leaf."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal
else:
    import _signal as signal

__all__ = ["signal"]

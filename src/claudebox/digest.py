"""SHA-256 from the module that Python itself carries: hashlib loads OpenSSL for it, 2 ms of a launch. A leaf."""

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:
        from _sha2 import sha256  # Python 3.12 and later
    except ImportError:
        try:
            from _sha256 import sha256
        except ImportError:  # a Python that was built without its own
            from hashlib import sha256

__all__ = ["sha256"]

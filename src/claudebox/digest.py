"""SHA-256 from the module that Python itself carries: hashlib loads OpenSSL for it, 2 ms of a launch. A leaf."""

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from hashlib import sha256
else:
    try:
        if sys.version_info >= (3, 12):
            from _sha2 import sha256
        else:
            from _sha256 import sha256
    except ImportError:  # a Python that was built without its own
        from hashlib import sha256

__all__ = ["sha256"]

"""Immutable records with the face of typing.NamedTuple, and what else of typing a launch needs at run time.

`typing`, `re`, `enum`, `collections` and what they import cost 8 ms, a launch of 30 ms a quarter of it; typing's
NamedTuple compiles a constructor for every class besides. The type checker sees the real ones. A leaf.

A module of the launch takes `NamedTuple` from here, and imports names for annotations alone under
`if TYPE_CHECKING:`, with `from __future__ import annotations` and a `TYPE_CHECKING = False` of its own.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Generic, NamedTuple, TypeVar, assert_never
else:
    try:
        from _collections import _tuplegetter as _getter  # what collections.namedtuple uses
    except ImportError:

        def _getter(index, documentation):
            return property(lambda record: record[index], doc=documentation)

    class _Fields(type):
        """Turns the annotations of a class into its fields, its assignments into their defaults."""

        def __new__(cls, name, bases, space):
            space.setdefault("__slots__", ())
            made = super().__new__(cls, name, bases, space)
            if fields := tuple(made.__annotations__):
                made._fields = made.__match_args__ = fields
                made._field_defaults = {field: space[field] for field in fields if field in space}
                for index, field in enumerate(fields):
                    setattr(made, field, _getter(index, None))
            return made

    class NamedTuple(tuple, metaclass=_Fields):
        """A tuple whose places have names; as typing.NamedTuple in all that is used of it."""

        _fields = ()

        def __new__(cls, *values, **named):
            """The values in the order of the fields, or by name."""
            fields = cls._fields
            if named or len(values) != len(fields):
                values += _rest(cls, fields[len(values) :], named)
                if named or len(values) != len(fields):
                    raise TypeError(f"{cls.__name__} takes no {', '.join(named) or 'more than its fields'}")
            return tuple.__new__(cls, values)

        def __repr__(self):
            inner = ", ".join(f"{field}={value!r}" for field, value in zip(self._fields, self, strict=True))
            return f"{type(self).__name__}({inner})"

        def __getnewargs__(self):
            return tuple(self)

        def _replace(self, **changes):
            """The same record with other values of some fields."""
            made = tuple.__new__(type(self), [changes.pop(f, v) for f, v in zip(self._fields, self, strict=True)])
            if changes:
                raise TypeError(f"{type(self).__name__} has no {', '.join(changes)}")
            return made

        def _asdict(self):
            """Field → value, in order."""
            return dict(zip(self._fields, self, strict=True))

    def _rest(cls, fields, named):
        defaults = cls._field_defaults
        try:
            return tuple([named.pop(field) if field in named else defaults[field] for field in fields])
        except KeyError as missing:
            raise TypeError(f"{cls.__name__} wants {missing}") from None

    class Generic:
        """Parameters are the type checker's alone."""

        __slots__ = ()

        def __class_getitem__(cls, _):
            return cls

    def TypeVar(name):
        """A name that stands for a type."""
        return name

    def assert_never(value):
        """Reached only by a kind that a `match` forgot, which the type checker finds."""
        raise AssertionError(value)


__all__ = ["Generic", "NamedTuple", "TypeVar", "assert_never"]

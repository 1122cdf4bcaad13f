"""Addresses by hand against the standard library's."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebox import address
from claudebox.model import Prefix

V4, V6 = st.integers(0, 2**32 - 1), st.integers(0, 2**128 - 1)
# long runs of zeros are where notations differ
SPARSE = st.lists(st.sampled_from([0, 0, 0, 1, 0xFFFF, 0xABC]), min_size=8, max_size=8).map(
    lambda groups: sum(group << 16 * index for index, group in enumerate(groups))
)


def theirs(one: Prefix) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    kind = ipaddress.IPv4Network if one.version == 4 else ipaddress.IPv6Network
    return kind((one.value, one.length))


@st.composite
def prefixes(draw: st.DrawFn, version: int = 0) -> Prefix:
    version = version or draw(st.sampled_from([4, 6]))
    value = draw(V4 if version == 4 else st.one_of(V6, SPARSE))
    return address.prefix(version, value, draw(st.integers(0, address.BITS[version])))


@given(prefixes())
def test_text(one: Prefix) -> None:
    shown = address.text(one)
    assert shown == str(theirs(one)).removesuffix(f"/{address.BITS[one.version]}")
    assert address.parse(shown) == one


@given(prefixes(version=6))
def test_every_notation_of_ipv6_is_read(one: Prefix) -> None:
    assert address.parse(f"{ipaddress.IPv6Address(one.value).exploded}/{one.length}") == one
    high, low = one.value >> 32, one.value & 0xFFFFFFFF
    groups = ":".join(f"{high >> shift & 0xFFFF:X}" for shift in range(80, -16, -16))
    assert address.parse(f"{groups}:{ipaddress.IPv4Address(low)}/{one.length}") == one


@given(st.text(alphabet="0123456789abf:./x ", max_size=45))
def test_what_is_read_is_an_address(text: str) -> None:
    found = address.parse(text)
    try:
        expected = ipaddress.ip_network(text)
    except ValueError:
        assert found is None
    else:
        assert found is None or theirs(found) == expected


@pytest.mark.parametrize(
    "text",
    ["", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.256", "1.2.3.4/33", "1.2.3.4/", "1.2.3.4/8", "1.2.3.4/08", "::1::",
     ":", ":::", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1::2:3:4:5:6:7:8", "12345::", "::g", "::1.2.3", "::1/129",
     "fe80::1%eth0", "١.2.3.4", "1.2.3.4/99999999999999999999"],
)  # fmt: skip
def test_no_address(text: str) -> None:
    assert address.parse(text) is None


@given(prefixes(version=4), prefixes(version=4))
def test_contains(one: Prefix, other: Prefix) -> None:
    assert address.contains(one, other) is theirs(other).subnet_of(theirs(one))  # type: ignore[arg-type]
    assert address.overlap(one, other) is theirs(one).overlaps(theirs(other))  # type: ignore[arg-type]


@given(st.lists(st.one_of(prefixes(), st.builds(lambda n: address.prefix(4, n << 28, 5), st.integers(0, 15)))))
def test_collapsed(several: list[Prefix]) -> None:
    found = address.collapsed(several)
    expected = [
        *ipaddress.collapse_addresses([theirs(one) for one in several if one.version == 4]),  # type: ignore[type-var]
        *ipaddress.collapse_addresses([theirs(one) for one in several if one.version == 6]),  # type: ignore[type-var]
    ]
    assert list(map(theirs, found)) == expected


def test_size_counts_each_address_once() -> None:
    found = [address.parse(text) for text in ("10.0.0.0/24", "10.0.0.0/25", "10.0.1.0/24")]
    assert address.size([one for one in found if one]) == 512

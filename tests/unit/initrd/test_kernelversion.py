# SPDX-License-Identifier: GPL-3.0-or-later
"""Which kernel is newer, in the words of the distributions that name them."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from osrd.parse.kernelversion import version_key


@pytest.mark.parametrize(
    "oldest_first",
    [
        ("6.9.12", "6.10.0-rc1", "6.10.0-rc7", "6.10.0-rc10", "6.10.0", "6.10.1", "6.10.10"),
        ("6.1.0-9-amd64", "6.1.0-50-amd64", "6.1.0-56-amd64", "6.12.9-amd64", "6.12.12+bpo-amd64"),
        ("6.1.0-0.deb11.5-amd64", "6.1.0-0.deb11.13-amd64", "6.1.0-1-amd64"),
        ("6.10-rc7-amd64", "6.10-amd64", "6.10.3-amd64", "6.11-rc1-amd64"),
        ("6.11.0-0.rc5.20240827gitabc.43.fc42.x86_64", "6.11.0-0.rc6.49.fc42.x86_64", "6.11.0-61.fc42.x86_64"),
        ("5.14.0-427.el9.x86_64", "5.14.0-427.13.1.el9_4.x86_64", "5.14.0-503.11.1.el9_5.x86_64"),
        ("6.8.0-9-generic", "6.8.0-31-generic", "6.10.0-061000rc7-generic", "6.10.0-061000-generic"),
        ("6.4.0-150600.21-default", "6.4.0-150600.23.7-default", "6.11.3-1-default"),
        ("2.6.32-754.el6.x86_64", "3.10.0-1160.el7.x86_64", "4.18.0-553.el8_10.x86_64"),
        ("6.10~rc1", "6.10~rc2", "6.10"),
        ("6.6.0", "6.6.0+", "6.6.1"),
        # of one release the one for everybody comes before those for special machines
        ("6.5.6-300.fc39.x86_64+debug", "6.5.6-300.fc39.x86_64", "6.5.7-300.fc39.x86_64+debug"),
        ("6.1.0-56-rt-amd64", "6.1.0-56-amd64"),
        ("6.1.0-56-cloud-amd64", "6.1.0-56-amd64", "6.1.0-57-cloud-amd64"),
    ],
    ids=lambda versions: versions[0],
)
def test_the_order_of_a_distribution(oldest_first: tuple[str, ...]) -> None:
    assert max(oldest_first, key=version_key) == oldest_first[-1]
    assert all(version_key(old) < version_key(new) for old, new in pairwise(oldest_first))


_VERSIONS = st.text("0123456789.-+~_abcr", max_size=20)


@given(_VERSIONS, _VERSIONS)
def test_different_versions_are_never_equal(one: str, other: str) -> None:
    assert (version_key(one) == version_key(other)) is (one == other)
    assert (version_key(one) < version_key(other)) is (version_key(other) > version_key(one))


def test_a_number_of_thousands_of_digits_is_compared_too() -> None:
    assert version_key("6." + "9" * 100_000) > version_key("6.1")

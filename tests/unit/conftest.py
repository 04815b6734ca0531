# SPDX-License-Identifier: GPL-3.0-or-later
"""Boot menus are planned in hundreds of these tests, from the same templates: each text is compiled once in a run."""

from collections.abc import Iterator
from functools import partial
from types import CodeType

import pytest
from jinja2.bccache import Bucket, BytecodeCache
from jinja2.sandbox import ImmutableSandboxedEnvironment

from osrd.plan import templating


class _Compiled(BytecodeCache):
    """By the template's name and file, and its text."""

    def __init__(self) -> None:
        self._codes: dict[tuple[str, str], CodeType | None] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        bucket.code = self._codes.get((bucket.key, bucket.checksum))

    def dump_bytecode(self, bucket: Bucket) -> None:
        self._codes[bucket.key, bucket.checksum] = bucket.code


@pytest.fixture(autouse=True, scope="session")
def _compiled_once() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        made = partial(ImmutableSandboxedEnvironment, bytecode_cache=_Compiled())
        patch.setattr(templating, "ImmutableSandboxedEnvironment", made)
        yield

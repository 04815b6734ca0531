# SPDX-License-Identifier: GPL-3.0-or-later
"""What osrd did not create it neither deletes nor changes, wherever it lies (DESIGN law 3); and every plan, carried
out, leaves nothing to plan."""

import os
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from osrd.model.plan import ReloadService, Write
from tests.apply.world import World, quick_directory

NAMES = ("grub/a", "grub/b", "pxelinux.cfg/01-aa", "dhcp.conf", "exports")
FOREIGN = (*NAMES, ".dhcp.conf.osrd-1", "grub/.a.osrd-1", "grub/.a.osrd-2", "grub/c", "other/x", "grub")
CONTENTS = st.sampled_from([b"", b"1", b"2", b"long " * 50])
STATES = st.dictionaries(st.sampled_from(NAMES), CONTENTS)
FILES = st.dictionaries(st.sampled_from(FOREIGN), CONTENTS, max_size=4)


def put(world: World, files: dict[str, bytes]) -> dict[str, tuple[int, bytes]]:
    """Somebody writes files where there are none; what is there now and belongs to them."""
    theirs = {}
    for name, content in files.items():
        path = Path(world.path(name))
        if path.exists() or any(parent.is_file() for parent in path.parents):
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        theirs[name] = (path.stat().st_ino, content)
    return theirs


@settings(max_examples=60, deadline=None)
@given(rounds=st.lists(st.tuples(FILES, STATES), min_size=1, max_size=4))
def test_foreign_files_are_never_touched(rounds: list[tuple[dict[str, bytes], dict[str, bytes]]]) -> None:
    with quick_directory() as directory:
        world = World(Path(directory))
        theirs: dict[str, tuple[int, bytes]] = {}
        for files, state in rounds:
            new = put(world, files)
            # a deleted file of osrd's is osrd's path all the same
            theirs |= {name: value for name, value in new.items() if world.path(name) not in world.store.manifest}
            desired = world.desired(state)
            world.publish(desired)
            for name, (inode, content) in theirs.items():
                path = Path(world.path(name))
                assert (path.stat().st_ino, path.read_bytes()) == (inode, content), name
            # Adopted files have become osrd's: exactly the wanted content was there.
            theirs = {name: value for name, value in theirs.items() if world.path(name) not in world.store.manifest}
            kept_back = world.publish(desired).kept_back
            undone = [action for action in world.plan(desired).actions if not isinstance(action, ReloadService)]
            assert {action.output.path for action in undone if isinstance(action, Write)} <= set(kept_back)
            # Only a foreign file under the very name of a temporary one keeps a file back; a finding says so.
            assert all(any(f".{path.rpartition('/')[2]}.osrd-" in name for name in theirs) for path in kept_back)
            for name, content in state.items():
                path = Path(world.path(name))
                if path.as_posix() in kept_back:
                    continue
                if name not in theirs and not any(other in theirs for other in (name.rpartition("/")[0],)):
                    assert path.read_bytes() == content
        world.store.close()
        assert not [name for name in os.listdir(directory) if name not in ("tftp", "state")]

# SPDX-License-Identifier: GPL-3.0-or-later
"""Directory descriptors that can also make what is missing."""

import os

from osrd.observe.directories import Directories


class WritableDirectories(Directories):
    """Directories whose missing ones are made on demand."""

    def make(self, path: str) -> int:
        """The descriptor of ``path``; it and missing parents are made with mode 0755 whatever the umask is."""
        try:
            return self.fd(path)
        except FileNotFoundError:
            parent, _, name = path.rpartition("/")
            above = self.make(parent or "/")
            os.mkdir(name, 0o755, dir_fd=above)
            fd = self.fd(path)
            os.fchmod(fd, 0o755)
            os.fsync(above)
            return fd

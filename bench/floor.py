# SPDX-License-Identifier: GPL-3.0-or-later
"""The floor: the same bytes under the same names, written the plain way (temporary file, rename). Prints its CPU
seconds. `python -m bench.floor PUBLISHED NEW`"""

import os
import sys
import time
from pathlib import Path


def main(published: Path, new: Path) -> None:
    files = []
    for path in sorted(published.rglob("*")):
        if path.is_file():
            target = new / path.relative_to(published)
            target.parent.mkdir(parents=True, exist_ok=True)
            files.append((str(target), path.read_bytes()))
    start = time.process_time()
    for target, content in files:
        temporary = target + ".new"
        with open(temporary, "wb") as file:
            file.write(content)
        os.rename(temporary, target)
    print(f"{time.process_time() - start:.4f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))

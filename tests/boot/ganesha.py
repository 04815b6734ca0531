# SPDX-License-Identifier: GPL-3.0-or-later
"""exports(5), as osrd writes it, said in the language of nfs-ganesha: the kernel's own server is not everywhere."""

import re

_CORE = """NFS_CORE_PARAM {{
    Protocols = 3, 4;
    Enable_NLM = false;
    Enable_RQUOTA = false;
    MNT_Port = 20048;
    mount_path_pseudo = true;
}}
NFSv4 {{
    Graceless = true;
    Only_Numeric_Owners = true;
    RecoveryBackend = fs;
    RecoveryRoot = {work}/recovery;
}}
"""
_EXPORT = """EXPORT {{
    Export_Id = {number};
    Path = {path};
    Pseudo = {path};
    Access_Type = None;
    Protocols = 3, 4;
    SecType = sys;
    FSAL {{ Name = VFS; }}
    CLIENT {{
        Clients = {clients};
        Access_Type = {access};
        Squash = {squash};
    }}
}}
"""
_CLIENT = re.compile(r"(\S+)\(([^)]*)\)")


def configuration(exports: str, work: str) -> str:
    """For ganesha.nfsd(8): exactly the clients of ``exports``, each with the options of the first one."""
    text = _CORE.format(work=work)
    lines = [line for line in exports.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    for number, line in enumerate(lines, 1):
        path, _, rest = line.partition(" ")
        clients = _CLIENT.findall(rest)
        options = clients[0][1].split(",")
        text += _EXPORT.format(
            number=number,
            path=path.strip('"'),
            clients=", ".join(client for client, _ in clients),
            access="RW" if "rw" in options else "RO",
            squash="No_Root_Squash" if "no_root_squash" in options else "Root_Squash",
        )
    return text

# SPDX-License-Identifier: GPL-3.0-or-later
"""The names of the infrastructure on a command line, under the names of all generations (spec/cdsl.md 1.2, 3.4)."""

import optparse

from osrd.cli.com.program import Parser
from osrd.model.cdsl import Layout


def add_names(
    parser: Parser, usual: Layout, prefix_names: tuple[str, ...] = ("--node_prefix", "--nodePrefix")
) -> None:
    """-t -s -L -M -N -D and their long forms."""
    group = optparse.OptionGroup(parser, "Names, for a new infrastructure")
    texts = (
        ("-t", "--tree", ("--cdsltree",), "tree", usual.tree, "where the node trees are"),
        (
            "-s",
            "--sharedtree",
            ("--cdsltreeShared", "--cdsltree_shared"),
            "sharedtree",
            usual.shared,
            "the shared tree",
        ),
        ("-L", "--link", ("--cdslLink", "--cdsl_link"), "link", usual.link, "the link to a node's own tree"),
        ("-D", "--defaultdir", ("--defaultDir", "--default_dir"), "default_dir", usual.default, "the template tree"),
    )
    for short, long, others, dest, default, about in texts:
        group.add_option(
            short, long, *others, dest=dest, metavar="PATH", default=default, help=f"{about} (default: {default})"
        )
    group.add_option(
        "-M",
        "--maxnodeidnum",
        type="int",
        metavar="N",
        default=0,
        help="the nodes are 1 to N; 0: those of cluster.conf (default: 0)",
    )
    group.add_option(
        "-N", "--names", dest="use_names", action="store_true", default=False, help="trees have the nodes' names"
    )
    group.add_option(*prefix_names, dest="node_prefix", metavar="TEXT", default="", help="before each id")
    parser.add_option_group(group)


def layout_of(options: optparse.Values) -> Layout:
    """The names that were chosen. Exits with 2 when the number of nodes is none."""
    return Layout(
        options.tree.strip("/"),
        options.sharedtree.strip("/"),
        options.link.strip("/"),
        options.default_dir.strip("/"),
        options.node_prefix,
    )


def check_number(parser: Parser, options: optparse.Values) -> None:
    if not 0 <= options.maxnodeidnum <= 99999:
        parser.error(f"{options.maxnodeidnum} is no number of nodes: give 1 to 99999, or 0")

# SPDX-License-Identifier: GPL-3.0-or-later
"""Questions about cluster.conf and their answers, as com-queryclusterconf asks them (spec/cdsl.md 5.2, 5.3). Pure."""

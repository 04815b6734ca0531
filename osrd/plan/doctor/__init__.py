# SPDX-License-Identifier: GPL-3.0-or-later
"""What is wrong with a host, from what was seen of it. Pure."""

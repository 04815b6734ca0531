# SPDX-License-Identifier: GPL-3.0-or-later
"""The functional core of the CDSL engine: an inventory and what is on the disk become transactions and findings."""

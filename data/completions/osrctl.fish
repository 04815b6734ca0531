# SPDX-License-Identifier: GPL-3.0-or-later
# fish: installed as /usr/share/fish/vendor_completions.d/osrctl.fish
osrctl completion fish | source

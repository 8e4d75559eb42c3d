#!/bin/sh
# Makes sure that the Debian packages named are installed. Root on Debian: installs what is missing.
# Anybody else: says what is missing, and that the tests which need it will skip.
set -eu
missing=
for p in "$@"; do
	dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
if ! command -v apt-get >/dev/null; then
	echo "deps: this is no Debian; install the like of:$missing. Tests that need them will skip." >&2
	exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
	echo "deps: missing:$missing. As root: apt-get install$missing. Tests that need them will skip." >&2
	exit 0
fi
echo "deps: installing$missing" >&2
export DEBIAN_FRONTEND=noninteractive
# A service that a package brings must not start because of a test run.
policy=/usr/sbin/policy-rc.d
made=
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod +x "$policy"
	made=yes
fi
apt-get -q update >&2 || echo "deps: the package lists could not be renewed" >&2
status=0
# shellcheck disable=SC2086
apt-get -q install -y --no-install-recommends $missing >&2 || status=$?
[ -z "$made" ] || rm -f "$policy"
if [ "$status" -ne 0 ]; then
	echo "deps: some packages could not be installed; tests that need them will skip" >&2
fi

#!/usr/bin/env bash
# deps.sh PACKAGE...: installs the Debian packages that are missing when it may (root, or sudo that
# asks nothing), else prints the exact command and fails.
set -u
missing=()
for package in "$@"; do
    # Node may have come another way; Debian's npm would not install beside it.
    case $package in nodejs | npm) command -v "${package/nodejs/node}" >/dev/null && continue ;; esac
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
[ ${#missing[@]} = 0 ] && exit 0
if [ "$(id -u)" = 0 ]; then as=
elif sudo -n true 2>/dev/null; then as=sudo
else
    echo "these packages are missing; run:"
    echo "    sudo apt-get install -y ${missing[*]}"
    exit 1
fi
export DEBIAN_FRONTEND=noninteractive
echo "installing ${missing[*]}"
$as apt-get update -q >/dev/null && $as apt-get install -y -q --no-install-recommends "${missing[@]}" >/dev/null

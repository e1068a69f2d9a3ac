#!/usr/bin/env bash
# tests/vm/run.sh [-t SECONDS] [-d DISK] OUT COMMAND...: runs COMMAND as root, in this folder, in a
# throw-away VM with Debian's kernel: emulated (never KVM), one CPU, four vcan and two emulated
# kvaser_pci interfaces. The VM sees the host's files, its writes are gone with it but for $OUT.
# DISK: an image that is /dev/vda there. What the console said is in OUT/console; OUT/pid is qemu's.
# Exit status: that of COMMAND; 77 no VM can be had; 124 too slow; 125 the VM died before the end.
set -eu
top=$(cd "$(dirname "$0")/../.." && pwd)
limit=120 disk=()
while getopts t:d: option; do
    case $option in
    t) limit=$OPTARG ;;
    d) disk=(-drive "file=$OPTARG,if=none,id=disk,format=raw,cache=none" -device virtio-blk-pci,drive=disk) ;;
    *) exit 2 ;;
    esac
done
shift $((OPTIND - 1))
mkdir -p "$1"
out=$(cd "$1" && pwd)
shift
kernel=$top/$(cd "$top" && tests/vm/kernel.sh) || exit $?

rm -f "$out/status"
{
    echo 'export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C OUT=/run/out'
    echo 'exec </dev/null >/dev/console 2>&1; echo 1 >/proc/sys/kernel/printk; ip link set lo up'
    printf 'cd %q;' "$PWD"
    printf ' %q' "$@"
    echo '; echo $? >$OUT/status; sync; echo b >/proc/sysrq-trigger; sleep 9'
} >"$out/.command"

share() { echo "local,id=$1,path=$2,security_model=none,multidevs=remap$3"; }
set +e
timeout -k 5 "$limit" qemu-system-x86_64 -accel tcg,thread=multi,tb-size=256 -cpu max -M q35 -nodefaults -vga none \
    -m 640 -smp 1 -display none -serial stdio -monitor none -no-reboot -pidfile "$out/pid" \
    -kernel "$kernel/vmlinux" -initrd "$kernel/initrd" \
    -fsdev "$(share hostroot / ,readonly=on)" -device virtio-9p-pci,fsdev=hostroot,mount_tag=hostroot \
    -fsdev "$(share out "$out" '')" -device virtio-9p-pci,fsdev=out,mount_tag=out \
    -object can-bus,id=bus -device kvaser_pci,canbus=bus -device kvaser_pci,canbus=bus "${disk[@]}" \
    -append 'console=ttyS0 quiet loglevel=4 panic=-1 reboot=t mitigations=off nokaslr audit=0 apparmor=0 no_timer_check random.trust_cpu=on' \
    </dev/null 2>&1 | tr -d "\r" >"$out/console"
rc=${PIPESTATUS[0]}
set -e
[ -e "$out/status" ] && exit "$(cat "$out/status")"
tail -n 20 "$out/console"
case $rc in
124 | 137) echo "vm: no end after $limit s" && exit 124 ;;
esac
echo "vm: it died before the command ended" && exit 125

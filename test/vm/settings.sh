# Shared by all scripts of this folder: names, sizes, tools. Source it; it runs nothing but `set` and function definitions.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${KEYLIME_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keylime-vm}   # images, keys, machines; delete it to start afresh
PATH=$HERE/../../node_modules/.bin:$PATH                         # the project's own Node, whoever calls
MACHINES=$CACHE/machines                                       # one folder per machine: disk, firmware variables, TPM, log
BASE_IMAGE=$CACHE/base.img                                     # the disk every machine starts as a copy of

RELEASE=bookworm
# In the guest: init and its bus; the way in and the network; the kernel under test, and a second signed one for the part "another kernel";
# tools that extend PCRs and record; what signs files for ima-sig; Python for actions written for upstream.
PACKAGES=(systemd-sysv udev dbus openssh-server iproute2 kmod zstd initramfs-tools linux-image-amd64 linux-image-cloud-amd64
          tpm2-tools libtss2-tcti-device0 ima-evm-utils attr openssl ca-certificates python3)

# Fixed identifiers: the GPT is measured into PCR 5, so random ones would change it with each build.
DISK_GUID=6b65796c-696d-4d00-8000-000000000001
ESP_GUID=6b65796c-696d-4d00-8000-000000000002
ROOT_GUID=6b65796c-696d-4d00-8000-000000000003
ROOT_UUID=6b65796c-696d-4d00-8000-000000000004
MACHINE_ID=6b65796c696d4d008000000000000005
ESP_START_MIB=1 ESP_MIB=64 ROOT_START_MIB=65 ROOT_MIB=2048 DISK_MIB=2114

MEMORY_MIB=${KEYLIME_VM_MEMORY_MIB:-2048}
CPUS=${KEYLIME_VM_CPUS:-2}
ACCEL=${KEYLIME_VM_ACCEL:-tcg}                # tcg needs nothing from the host; kvm where it works
BOOT_TIMEOUT=${KEYLIME_VM_BOOT_TIMEOUT:-420}  # seconds until ssh answers
STOP_TIMEOUT=${KEYLIME_VM_STOP_TIMEOUT:-60} 
FIRST_PORT=${KEYLIME_VM_FIRST_PORT:-16000}    # machine n gets FIRST_PORT+10n (ssh) and the nine ports after it

OVMF=/usr/share/OVMF
KERNEL_OPTIONS="console=ttyS0,115200 ima_policy=tcb ima_hash=sha256"

say() { printf '[vm %s] %s\n' "$(date +%T)" "$*" >&2; }
die() { printf '[vm] error: %s\n' "$*" >&2; exit 1; }

# need PROGRAM:PACKAGE...: install what is missing when root, else say how.
need() {
  local pair missing=()
  for pair in "$@"; do [[ -e ${pair%%:*} ]] || command -v "${pair%%:*}" >/dev/null || missing+=("${pair##*:}"); done
  (( ${#missing[@]} )) || return 0
  (( EUID == 0 )) || die "missing packages; hint: apt-get install ${missing[*]}"
  say "installing ${missing[*]}"
  apt-get -o DPkg::Lock::Timeout=120 -qq update >/dev/null || say "apt-get update failed; going on with the lists at hand"
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=120 install -qq -y --no-install-recommends "${missing[@]}" >/dev/null
}

# Seconds since the Unix epoch with milliseconds, for the timing lines.
now() { date +%s.%3N; }
since() { awk -v a="$1" -v b="$(now)" 'BEGIN { printf "%.1f", b - a }'; }

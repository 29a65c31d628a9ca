#!/usr/bin/env bash
# build-image.sh: make the base disk (GPT: ESP with shim and grub, ext4 root with Debian). Needs root, no loop device, no KVM.
# Each step is skipped when its result is newer than this folder's inputs; `build-image.sh --force` does all again.
source "$(dirname "$0")/settings.sh"
[[ ${1:-} != --force ]] || rm -rf "$CACHE/stamp" "$CACHE/root" "$BASE_IMAGE"
(( EUID == 0 )) || die "building the root file system needs root"
need mmdebstrap:mmdebstrap sgdisk:gdisk mcopy:mtools mkfs.ext4:e2fsprogs ssh-keygen:openssh-client
mkdir -p "$CACHE/ssh" "$CACHE/ima" "$CACHE/stamp"

# Does STEP have to run? Its stamp holds the hash of the inputs named after it.
stale() { local step=$1; shift; [[ $(cat "$CACHE/stamp/$step" 2>/dev/null) != "$(inputs "$@")" ]]; }
inputs() { cat -- "$@" <(declare -p PACKAGES DISK_MIB ROOT_UUID RELEASE) | sha256sum; }
done_with() { local step=$1; shift; inputs "$@" >"$CACHE/stamp/$step"; }

make_keys() {
  [[ -f $CACHE/ssh/client ]] || ssh-keygen -q -t ed25519 -N '' -C vm-client -f "$CACHE/ssh/client"
  [[ -f $CACHE/ssh/host ]] || ssh-keygen -q -t ed25519 -N '' -C vm-host -f "$CACHE/ssh/host"
  # The key some files of the image are signed with (security.ima), to give the ima-sig template something to show.
  [[ -f $CACHE/ima/key.pem ]] || openssl req -x509 -newkey rsa:2048 -nodes -days 36500 -subj "/CN=VM IMA signing key" \
      -addext subjectKeyIdentifier=hash -keyout "$CACHE/ima/key.pem" -out "$CACHE/ima/cert.pem" 2>/dev/null
}

make_root() {
  local sources
  sources=$(grep -ls "$RELEASE" /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list | head -1) || true
  [[ $sources ]] || die "no Debian $RELEASE in the host's apt sources; hint: run on $RELEASE or set up a source for it"
  rm -rf "$CACHE/root"
  mmdebstrap --quiet --mode=root --variant=minbase --include="$(IFS=,; echo "${PACKAGES[*]}")" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-include=/usr/share/doc/*/copyright' \
    --essential-hook="'$HERE/guest/before-kernel.sh' \"\$1\"" \
    --customize-hook="CACHE='$CACHE' ROOT_UUID=$ROOT_UUID '$HERE/guest/customize.sh' \"\$1\"" \
    "$RELEASE" "$CACHE/root" "$sources"
  echo "$MACHINE_ID" >"$CACHE/root/etc/machine-id"   # mmdebstrap empties it last; an empty one makes the first boot different
}

# The signed boot chain comes out of the packages; it is not installed in the guest (its scripts want a real ESP).
fetch_boot_chain() {
  rm -rf "$CACHE/efi"; mkdir -p "$CACHE/efi"; cd "$CACHE/efi"
  local deb
  apt-get -o DPkg::Lock::Timeout=120 -qq update >/dev/null || say "apt-get update failed; going on with the lists at hand"
  apt-get -qq download shim-signed shim-helpers-amd64-signed grub-efi-amd64-signed 2>/dev/null || die "cannot download shim and grub; hint: apt-get update"
  for deb in *.deb; do echo "$deb"; dpkg-deb -x "$deb" .; done >packages.txt
  cd - >/dev/null
}

# First EFI partition: shim under the removable-media name, so that fresh firmware variables find it; no fallback loader
# (it would write boot entries and reset).
make_disk() {
  local image=$BASE_IMAGE.new esp
  rm -f "$image"; truncate -s "${DISK_MIB}M" "$image"
  sgdisk --clear --disk-guid="$DISK_GUID" \
    --new="1:${ESP_START_MIB}M:+${ESP_MIB}M" --typecode=1:ef00 --change-name=1:esp --partition-guid=1:"$ESP_GUID" \
    --new="2:${ROOT_START_MIB}M:+${ROOT_MIB}M" --typecode=2:8304 --change-name=2:root --partition-guid=2:"$ROOT_GUID" \
    "$image" >/dev/null
  esp=$image@@${ESP_START_MIB}M
  mformat -i "$esp" -F -c 1 -h 64 -s 32 -T $((ESP_MIB * 2048)) -v ESP -N 6b65796c ::
  mmd -i "$esp" ::/EFI ::/EFI/BOOT ::/EFI/debian
  mcopy -i "$esp" "$CACHE"/efi/usr/lib/shim/shimx64.efi.signed ::/EFI/BOOT/BOOTX64.EFI
  mcopy -i "$esp" "$CACHE"/efi/usr/lib/shim/mmx64.efi.signed ::/EFI/BOOT/mmx64.efi
  mcopy -i "$esp" "$CACHE"/efi/usr/lib/grub/x86_64-efi-signed/grubx64.efi.signed ::/EFI/BOOT/grubx64.efi
  mkfs.ext4 -q -F -L root -U "$ROOT_UUID" -E offset=$((ROOT_START_MIB * 1024 * 1024)) -d "$CACHE/root" "$image" "${ROOT_MIB}M"
  (cd "$CACHE/root/boot" && printf '%s\n' vmlinuz-* | sed 's/vmlinuz-//' | grep -v cloud) >"$CACHE/kernel-version"
  (cd "$CACHE/root/boot" && printf '%s\n' vmlinuz-*cloud* | sed 's/vmlinuz-//') >"$CACHE/other-kernel-version"
  mv "$image" "$BASE_IMAGE"
}

make_keys
scripts=("$HERE/guest/before-kernel.sh" "$HERE/guest/customize.sh")
if stale root "${scripts[@]}"; then t=$(now); make_root; done_with root "${scripts[@]}"; rm -f "$CACHE/stamp/disk"; say "root file system: $(since "$t") s"; fi
if stale efi; then t=$(now); fetch_boot_chain; done_with efi; rm -f "$CACHE/stamp/disk"; say "shim and grub: $(since "$t") s"; fi
if stale disk "$HERE/build-image.sh" || [[ ! -f $BASE_IMAGE ]]; then t=$(now); make_disk; done_with disk "$HERE/build-image.sh"; say "disk: $(since "$t") s"; fi
say "ready: kernel $(cat "$CACHE/kernel-version"), disk uses $(du -m "$BASE_IMAGE" | cut -f1) MiB"

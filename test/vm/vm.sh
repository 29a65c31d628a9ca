#!/usr/bin/env bash
# vm.sh: make, start, use and stop machines. One folder a machine under $KEYLIME_VM_CACHE/machines.
usage() { cat <<'TEXT'
usage: vm.sh COMMAND NAME [ARGUMENTS]
  new NAME [--no-secure-boot [--no-event-log]] [--append "KERNEL OPTIONS"]
                                    disk, firmware variables, TPM with EK certificates
  options NAME "KERNEL OPTIONS"     replace what --append said (machine stopped)
  other-kernel NAME                 boot the second kernel of the image from now on (machine stopped)
  insecure NAME                     the firmware without Secure Boot from now on (machine stopped)
  start NAME                        boot and wait until ssh answers
  exec NAME COMMAND...              run a shell command in the guest as root; its exit status is ours
  put NAME LOCAL... REMOTE          copy files or folders in
  get NAME REMOTE... LOCAL          copy files or folders out
  reboot NAME                       restart from inside, wait until it is back
  stop NAME                         power off; kill after the time-out
  freeze NAME                       save the running machine to a file and end qemu; `start` goes on from there
  pause NAME, resume NAME           its processors stand still, and go on
  copy NAME NEW                     a stopped or frozen machine once more, with its TPM and its ports: one of the two may run at a time
  copy NAME NEW --new-tpm           its disk in another machine: TPM and ports of its own (machine stopped)
  status NAME                       running or stopped, ports, sockets
  kill NAME                         end it at once
  delete NAME                       end and remove all of it
The guest reaches services on the host's 127.0.0.1 at 10.0.2.2. The host reaches the guest's port 9002 at the second port that
`status` shows. Example: vm.sh new a && vm.sh start a && vm.sh exec a tpm2_pcrread sha256:10
TEXT
}
source "$(dirname "$0")/settings.sh"
command=${1:-}; name=${2:-}
[[ $command && $command != --help && $name ]] || { usage; exit 2; }
[[ $name =~ ^[a-z0-9-]{1,20}$ ]] || die "bad machine name '$name'; hint: small letters, digits, dashes"
shift 2
machine=$MACHINES/$name

exists() { [[ -f $machine/config ]] || die "no machine '$name'; hint: vm.sh new $name"; source "$machine/config"; }
# The number of a process may have come to another one since; and one that has ended but was not reaped has no command line.
alive() { grep -qsa "$machine/disk.img" "/proc/$1/cmdline"; }
running() { local pid; pid=$(cat "$machine/qemu.pid" 2>/dev/null) && alive "$pid"; }   # qemu removes the file when it ends
ssh_options() { printf '%s\n' -i "$CACHE/ssh/client" -o BatchMode=yes -o ConnectTimeout=15 -o LogLevel=ERROR -o IdentitiesOnly=yes \
  -o "UserKnownHostsFile=$machine/known_hosts" -o StrictHostKeyChecking=yes -o "ControlPath=$machine/ssh" -o ControlMaster=auto -o ControlPersist=600; }
# One connection for all commands: a handshake in the emulated machine takes a second. It ends before the machine does.
hang_up() { ssh -o "ControlPath=$machine/ssh" -O exit vm 2>/dev/null || rm -f "$machine/ssh"; }
guest() { local options; mapfile -t options < <(ssh_options); ssh "${options[@]}" -p "$ssh_port" root@127.0.0.1 "$@"; }

new() {
  local secure=1 event_log=1 append=""
  while (( $# )); do case $1 in
    --no-secure-boot) secure=0; shift ;;
    --no-event-log) event_log=0; shift ;;
    --append) append=$2; shift 2 ;;
    *) die "unknown option $1" ;;
  esac; done
  [[ -f $BASE_IMAGE ]] || die "no base image; hint: build-image.sh"
  [[ ! -f $machine/config ]] || die "machine '$name' exists; hint: vm.sh delete $name"
  need qemu-system-x86_64:qemu-system-x86 "$OVMF/OVMF_CODE_4M.fd:ovmf" swtpm:swtpm swtpm_setup:swtpm-tools mcopy:mtools
  mkdir -p "$machine/tpm"
  cp --sparse=always --reflink=auto "$BASE_IMAGE" "$machine/disk.img"
  cp "$CACHE"/{kernel-version,other-kernel-version} "$machine/"
  cp "$OVMF/OVMF_VARS_4M$( (( secure )) && echo .ms ).fd" "$machine/vars.fd"
  make_tpm
  configure
  options "$append"
}

# A number of its own (hence ports) for the machine, or that of the one it is a copy of; and what `start` must know.
configure() {
  local number=${1:-} port; [[ $number ]] || number=$(take_number)
  port=$((FIRST_PORT + 10 * number))
  echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$CACHE/ssh/host.pub")" >"$machine/known_hosts"
  echo "secure=$secure event_log=$event_log number=$number ssh_port=$port agent_port=$((port + 1))" >"$machine/config"
}

# The lowest number that no machine has; `mkdir` is the lock.
take_number() {
  local n; mkdir -p "$MACHINES/.numbers"
  for n in {0..49}; do mkdir "$MACHINES/.numbers/$n" 2>/dev/null && { echo "$name" >"$MACHINES/.numbers/$n/name"; echo "$n"; return; }; done
  die "50 machines exist already"
}

# swtpm's own certificate authority, one for all machines, so that one trust store holds for all EK certificates.
make_tpm() {
  mkdir -p "$CACHE/ca"
  printf '%s\n' "statedir = $CACHE/ca" "signingkey = $CACHE/ca/signkey.pem" "issuercert = $CACHE/ca/issuercert.pem" \
    "certserial = $CACHE/ca/certserial" >"$CACHE/ca/localca.conf"
  printf '%s\n' '--platform-manufacturer QEMU' '--platform-version 2.1' '--platform-model q35' >"$CACHE/ca/localca.options"
  printf '%s\n' "create_certs_tool = $(command -v swtpm_localca)" "create_certs_tool_config = $CACHE/ca/localca.conf" \
    "create_certs_tool_options = $CACHE/ca/localca.options" >"$CACHE/ca/setup.conf"
  flock "$CACHE/ca" swtpm_setup --tpm2 --tpmstate "$machine/tpm" --config "$CACHE/ca/setup.conf" --vmid "$name" \
    --create-ek-cert --create-platform-cert --lock-nvram --pcr-banks sha1,sha256 --overwrite --logfile "$machine/tpm-setup.log" >/dev/null \
    || die "swtpm_setup failed: $(tail -3 "$machine/tpm-setup.log")"
}

# The kernel command line lives in grub.cfg on the ESP, the one file that mtools can change without mounting.
# Without Secure Boot, grub's `linux` of bookworm jumps into the kernel past its EFI stub, and only the stub hands the
# firmware's event log on: real machines of that kind have no binary_bios_measurements. `linuxefi` goes through the stub.
options() {
  local esp=$machine/disk.img@@${ESP_START_MIB}M kernel efi=""; kernel=$(<"$machine/kernel-version")
  if (( ! secure && event_log )); then efi=efi; fi
  ! running || die "machine '$name' runs; hint: vm.sh stop $name"
  cat >"$machine/grub.cfg" <<GRUB
search --no-floppy --fs-uuid --set=root $ROOT_UUID
linux$efi /boot/vmlinuz-$kernel root=UUID=$ROOT_UUID ro $KERNEL_OPTIONS${1:+ $1}
initrd$efi /boot/initrd.img-$kernel
boot
GRUB
  mcopy -o -i "$esp" "$machine/grub.cfg" ::/EFI/debian/grub.cfg
  printf '%s' "$1" >"$machine/options"
}

other_kernel() { cp "$machine/other-kernel-version" "$machine/kernel-version"; options "$(<"$machine/options")"; }

insecure() {
  ! running || die "machine '$name' runs; hint: vm.sh stop $name"
  cp "$OVMF/OVMF_VARS_4M.fd" "$machine/vars.fd"
  sed -i 's/secure=1/secure=0/' "$machine/config"; secure=0
  options "$(<"$machine/options")"
}

start() {
  local began code flash=() incoming=() logins=1; began=$(now)
  ! running || { say "$name runs already"; return; }
  code=OVMF_CODE_4M.fd
  if (( secure )); then   # secure-boot firmware wants SMM and flash that only SMM may write
    code=OVMF_CODE_4M.secboot.fd
    flash=(-global driver=cfi.pflash01,property=secure,value=on -global ICH9-LPC.disable_s3=1)
  fi
  if [[ -f $machine/state ]]; then incoming=(-incoming "exec:cat '$machine/state'"); logins=0; fi
  # swtpm ends by itself when qemu goes; all its paths must be absolute.
  swtpm socket --tpm2 --tpmstate dir="$machine/tpm" --ctrl type=unixio,path="$machine/tpm.sock" --terminate \
    --pid file="$machine/swtpm.pid" --log file="$machine/swtpm.log" --daemon
  [[ ! -f $machine/console.log ]] || mv "$machine/console.log" "$machine/console.log.1"
  qemu-system-x86_64 -name "$name" -machine "q35,smm=$( (( secure )) && echo on || echo off)" -accel "$ACCEL" -cpu max -smp "$CPUS" -m "$MEMORY_MIB" \
    -nodefaults "${flash[@]}" \
    -drive if=pflash,unit=0,format=raw,readonly=on,file="$OVMF/$code" -drive if=pflash,unit=1,format=raw,file="$machine/vars.fd" \
    -drive if=none,id=disk,format=raw,cache=unsafe,discard=unmap,file="$machine/disk.img" -device virtio-blk-pci,drive=disk,bootindex=0 \
    -chardev socket,id=tpm,path="$machine/tpm.sock" -tpmdev emulator,id=tpm,chardev=tpm -device tpm-crb,tpmdev=tpm \
    -netdev "user,id=net,hostfwd=tcp:127.0.0.1:$ssh_port-:22,hostfwd=tcp:127.0.0.1:$agent_port-:9002" -device virtio-net-pci,netdev=net,romfile= \
    -object rng-random,id=rng,filename=/dev/urandom -device virtio-rng-pci,rng=rng \
    -display none -vga none -chardev "socket,id=serial,path=$machine/console.sock,server=on,wait=off,logfile=$machine/console.log" -serial chardev:serial \
    -monitor "unix:$machine/monitor.sock,server=on,wait=off" -pidfile "$machine/qemu.pid" -daemonize "${incoming[@]}"
  if (( ! logins )); then   # a machine saved while stopped comes back stopped
    until monitor "info status" | tr -d '\r' | grep -qx 'VM status: paused'; do running || die "cannot restore '$name'"; sleep 0.2; done
    monitor cont >/dev/null
  fi
  wait_for_guest "$began" "$logins"
  if (( ! logins )); then rm "$machine/state"; guest "date -s @$(date +%s)" >/dev/null; fi   # its disk moves on: the state is used up
}

# One command to qemu's monitor; prints the answer.
monitor() { node "$HERE/monitor.ts" "$machine/monitor.sock" "$1"; }

# Memory, devices and the TPM's volatile state go to a file; a later `start` is there in seconds.
freeze() {
  local began; began=$(now)
  running || die "machine '$name' is stopped; hint: vm.sh start $name"
  guest "date -s @$(date +%s)" >/dev/null   # `start` sets the clock: have that program in the IMA log now, not then
  hang_up
  monitor stop >/dev/null
  monitor "migrate \"exec:cat >'$machine/state'\"" >/dev/null
  until monitor "info migrate" | grep -q 'status: completed'; do
    ! monitor "info migrate" | grep -q 'status: failed' || die "qemu could not save '$name'"
    sleep 0.5
  done
  kill "$(<"$machine/qemu.pid")"; while running; do sleep 0.2; done; rm -f "$machine/qemu.pid"
  say "$name: frozen after $(since "$began") s, $(du -m "$machine/state" | cut -f1) MiB"
}

copy() {
  local from=$machine new=${1:?copy needs the name of the new machine} new_tpm=${2:-}
  [[ $new =~ ^[a-z0-9-]{1,20}$ ]] || die "bad machine name '$new'"
  ! running || die "machine '$name' is running; hint: vm.sh freeze $name or vm.sh stop $name"
  [[ ! $new_tpm || ! -f $from/state ]] || die "machine '$name' is frozen, and a frozen machine has its TPM in use; hint: copy it while it is stopped"
  name=$new machine=$MACHINES/$new; [[ ! -f $machine/config ]] || die "machine '$name' exists; hint: vm.sh delete $name"
  mkdir -p "$machine/tpm"
  cp --sparse=always --reflink=auto "$from"/{disk.img,vars.fd,grub.cfg,options,kernel-version,other-kernel-version} "$machine/"
  [[ ! -f $from/state ]] || cp --reflink=auto "$from/state" "$machine/state"
  if [[ $new_tpm ]]; then make_tpm; configure; else cp -r "$from/tpm" "$machine/"; configure "$number"; fi
}

# Until the console shows the LOGINSth login prompt and ssh answers, qemu dies, or time is up.
wait_for_guest() {
  local began=$1 logins=${2:-1} deadline=$((SECONDS + BOOT_TIMEOUT)) login=""
  until [[ $login ]] && guest true 2>/dev/null; do
    running || die "qemu ended during boot; console: $(tail -c 2000 "$machine/console.log")"
    (( SECONDS < deadline )) || die "not up after $BOOT_TIMEOUT s; console: $(tail -c 2000 "$machine/console.log")"
    if [[ ! $login ]] && (( $(logins) >= logins )); then login=$(since "$began"); else sleep 0.5; fi
  done
  say "$name: $( (( logins )) && echo "login prompt after $login" || echo "restored after $login") s, ssh after $(since "$began") s"
}
logins() { grep -ca 'vm login:' "$machine/console.log" || true; }

reboot_guest() {
  local began before; began=$(now) before=$(logins)
  guest 'systemctl reboot' || true
  hang_up
  wait_for_guest "$began" $((before + 1))
}

stop() {
  local began pid deadline; began=$(now)
  running || { rm -f "$machine/state"; say "$name is stopped"; return; }
  pid=$(<"$machine/qemu.pid")
  timeout 60 "$0" exec "$name" systemctl poweroff 2>/dev/null || say "$name: ssh gave no clean answer to poweroff"
  hang_up
  deadline=$((SECONDS + STOP_TIMEOUT))
  while alive "$pid"; do
    if (( SECONDS >= deadline )); then say "$name: still up after $STOP_TIMEOUT s, killing qemu"; kill "$pid"; sleep 2; kill -9 "$pid" 2>/dev/null || true; fi
    sleep 0.5
  done
  rm -f "$machine/qemu.pid"
  say "$name: stopped after $(since "$began") s"
}

status() {
  if running; then echo "running pid=$(<"$machine/qemu.pid")"; elif [[ -f $machine/state ]]; then echo frozen; else echo stopped; fi
  echo "secure_boot=$secure ssh=127.0.0.1:$ssh_port agent=127.0.0.1:$agent_port"
  echo "console: log $machine/console.log, live $machine/console.sock"
  grep '^linux' "$machine/grub.cfg"
}

# As when the power is cut.
end_now() { if running; then hang_up; kill -9 "$(<"$machine/qemu.pid")"; while running; do sleep 0.1; done; fi; }

# What is deleted need not shut down.
delete() {
  end_now
  [[ $(cat "$MACHINES/.numbers/$number/name" 2>/dev/null) != "$name" ]] || rm -rf "$MACHINES/.numbers/$number"
  rm -rf "$machine"
}

case $command in
  new) new "$@" ;;
  options) exists; options "${1:-}" ;;
  start) exists; start ;;
  exec) exists; running || die "machine '$name' is stopped; hint: vm.sh start $name"; guest "$@" ;;
  put|get)
    exists; mapfile -t opts < <(ssh_options); last=${*: -1}; set -- "${@:1:$#-1}"
    if [[ $command == put ]]; then scp -q -O -C -r "${opts[@]}" -P "$ssh_port" "$@" "root@127.0.0.1:$last"
    else scp -q -O -r "${opts[@]}" -P "$ssh_port" "${@/#/root@127.0.0.1:}" "$last"; fi ;;
  other-kernel) exists; other_kernel ;;
  insecure) exists; insecure ;;
  pause) exists; monitor stop >/dev/null ;;
  resume) exists; monitor cont >/dev/null ;;
  reboot) exists; reboot_guest ;;
  stop) exists; stop ;;
  freeze) exists; freeze ;;
  copy) exists; copy "$@" ;;
  status) exists; status ;;
  kill) exists; end_now ;;
  delete) exists; delete ;;
  *) usage; exit 2 ;;
esac

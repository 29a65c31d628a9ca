const WORDS: Record<number, string> = {
  0: 'code of the firmware',
  1: 'settings of the firmware and of the mainboard',
  2: 'code of cards and other devices that the firmware runs',
  3: 'settings of cards and other devices',
  4: 'boot loader, and what else the firmware started',
  5: 'partition table and settings of the boot loader',
  6: 'events of the maker of the machine',
  7: 'Secure Boot: whether it is on, its keys, and which of them vouched for what was started',
  8: 'commands of GRUB and the kernel command line',
  9: 'files that GRUB read: kernel, initrd, its configuration',
  10: 'what the kernel measured of files before their use (IMA)',
  11: 'unified kernel image and the phases of the boot (systemd)',
  12: 'kernel command line and credentials given beside a unified kernel image (systemd)',
  13: 'system extensions given beside a unified kernel image (systemd)',
  14: "Shim's own keys and revocations (MOK)",
  15: 'identity of machine, root file system and its volume keys (systemd); elsewhere free for the operator',
  16: 'the transport key of the agent (a PCR for tests elsewhere)',
  23: 'free for applications',
}

/** What a PCR stands for, in words (TCG PC Client Platform Firmware Profile, section 3.3.4, and what loaders and systemd made of the rest). */
export const pcrStandsFor = (pcr: number): string =>
  WORDS[pcr] ?? (pcr >= 17 && pcr <= 22 ? 'a late launch of the machine (DRTM)' : 'nothing known')

import { STATE_WORDS } from '../attestation/state-word.ts'
import type { CommandOption, CommandPlace } from './command-tree.ts'

/** What a value of the command line is: what completes it, and how manual pages call it. `option`: of the role that stands before it. */
export type ValueKind = 'text' | 'number' | 'file' | 'directory' | 'agent' | 'runtime-policy' | 'mb-policy' | 'policy' | 'option'

/** A kind, or the words that it can be. */
export type ValueSet = ValueKind | readonly string[]

/** Of each option that takes a value, by its long name: what its definition cannot say. */
const OPTIONS: Readonly<Record<string, ValueSet>> = {
  agent: 'agent',
  'agent-api-version': 'text',
  ak: 'file',
  allowlist: 'file',
  'base-policy': 'file',
  bank: ['sha1', 'sha256', 'sha384', 'sha512'],
  cert: 'directory',
  'cert-outfile': 'file',
  command: 'text',
  config: 'file',
  csr: 'file',
  cv: 'text',
  cv_targethost: 'text',
  cvid: 'text',
  'deb-installed': 'directory',
  'deb-package': 'file',
  dir: 'directory',
  'ek-hash': 'text',
  event: 'text',
  'event-log': 'file',
  'exclude-list': 'file',
  executable: 'file',
  file: 'file',
  from: 'file',
  head: 'text',
  'ignored-keyrings': 'text',
  include: 'directory',
  initrd: 'file',
  input: 'file',
  install: 'directory',
  key: 'file',
  keypath: 'file',
  keyring: 'file',
  'keylime-dir': 'directory',
  'local-deb-repo': 'directory',
  'local-rpm-repo': 'directory',
  log: 'file',
  mask: 'text',
  'mb-policy': 'file',
  'mb-policy-name': 'mb-policy',
  name: 'text',
  'new-password-file': 'file',
  note: 'text',
  only: 'text',
  out: 'directory',
  output: 'file',
  package: 'text',
  'password-file': 'file',
  patch: 'file',
  payload: 'file',
  pcrs: 'file',
  'pcrs-list': 'text',
  policy: 'policy',
  quote: 'text',
  'ramdisk-dir': 'directory',
  registrarhost: 'text',
  'remote-deb-repo': 'text',
  'remote-rpm-repo': 'text',
  report: 'file',
  resume: 'file',
  root: 'directory',
  rootfs: 'directory',
  'rpm-installed': 'directory',
  'rpm-package': 'file',
  'runtime-policy': 'file',
  'runtime-policy-checksum': 'text',
  'runtime-policy-name': 'runtime-policy',
  'runtime-policy-sig-key': 'file',
  san: 'text',
  serial: 'text',
  since: 'text',
  'skip-path': 'text',
  state: STATE_WORDS,
  'systemd-log': 'file',
  targethost: 'text',
  tcti: 'text',
  'tpm-policy': 'file',
  to: 'text',
  tpm_policy: 'text',
  'try-action': 'file',
  until: 'text',
  uuid: 'agent',
  'value-file': 'file',
  verifier: 'text',
  'verifier-url': 'text',
  'verification-keys': 'file',
}

/** The same of places of the command line, by their names. */
const PLACES: Readonly<Record<string, ValueSet>> = {
  file: 'file',
  files: 'file',
  ids: 'agent',
  option: 'option',
  other: 'file',
  page: 'text',
  policy: 'file',
  subject: 'text',
  value: 'text',
}

/** Undefined for an option that has no line above: a test refuses it. */
export function kindOfOption({ flags, value, isNumber, choices }: CommandOption): ValueSet | undefined {
  if (value === 'none') return 'text'
  if (choices.length > 0) return choices
  return isNumber ? 'number' : OPTIONS[flags[0]!.replace(/^--?/, '')]
}

/** The same of a place. */
export const kindOfPlace = ({ name, choices }: CommandPlace): ValueSet | undefined => (choices.length > 0 ? choices : PLACES[name])

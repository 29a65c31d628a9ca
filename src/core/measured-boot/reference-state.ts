import { KeylimeError } from '../errors.ts'
import { compileCommandLine } from './command-line-pattern.ts'

/** Digests of one thing in several banks, by the bank's name; lower-case hex. */
export type DigestByBank = ReadonlyMap<string, string>

/** Firmware: its version and its volumes, in the order in which they are measured. */
export interface FirmwareState {
  scrtm: DigestByBank
  volumes: readonly DigestByBank[]
}

/** What was loaded in one boot, in lower-case hex. */
export interface KernelDigests {
  shim: string
  grub: string
  /** What was loaded as an application when Secure Boot is on, what GRUB read when it is off. */
  kernel: string
  initrd: string
}

/** One way to boot. */
export interface KernelState {
  /** By bank; upstream knows those of SHA-256 alone. */
  digests: ReadonlyMap<string, KernelDigests>
  /** The expression as it stands in the state, for people. */
  commandLine: string
  isCommandLine: (text: string) => boolean
}

export type KeyMember = 'pk' | 'kek' | 'db' | 'dbx' | 'vendor_db'

/** What policy `example` compares a boot log with (policies C.6), checked. Keys are `owner:data`. */
export interface ReferenceState {
  hasSecureBoot: boolean
  firmware: readonly FirmwareState[]
  keys: Readonly<Record<KeyMember, ReadonlySet<string>>>
  mokList: readonly DigestByBank[]
  mokListX: readonly DigestByBank[]
  kernels: readonly KernelState[]
}

/** Members that only a reference state has. */
const MEMBERS = ['scrtm_and_bios', 'kernels', 'mokdig', 'mokxdig']
const HEX = /^0x[0-9a-f]+$/
const MAX_ITEMS = 10_000
/** Nothing is vouched for by SHA-1. */
export const KERNEL_BANKS = ['sha256', 'sha384', 'sha512'] as const

/** Whether a measured boot policy is one for `example`, and not something that only has to be there. */
export const isReferenceState = (json: Record<string, unknown>): boolean => MEMBERS.some((member) => member in json)

/** The form in which keys are compared: owner and data, both as the log spells them. */
export const keyId = (key: { owner: string; data: string }): string => `${key.owner}:${key.data}`

/**
 * Checks a whole reference state before any machine is judged by it. Unknown members are accepted, as upstream does.
 * @throws KeylimeError `invalid_request` whose message begins with the JSON path: `kernels[0].initrd_plain_sha256: …`.
 */
export function parseReferenceState(json: Record<string, unknown>): ReferenceState {
  const secureBoot = json['has_secureboot'] ?? true
  if (typeof secureBoot !== 'boolean') throw bad('has_secureboot', 'must be true or false')
  const keys = (member: KeyMember) => new Set(list(json[member], member).map((key, i) => parseKey(key, `${member}[${i}]`)))
  const digests = (member: string) => list(json[member], member).map((digest, i) => parseDigest(digest, `${member}[${i}]`))
  return {
    hasSecureBoot: secureBoot,
    firmware: list(json['scrtm_and_bios'], 'scrtm_and_bios').map((item, i) => parseFirmware(item, `scrtm_and_bios[${i}]`)),
    keys: {
      pk: keys('pk'),
      kek: keys('kek'),
      db: keys('db'),
      dbx: keys('dbx'),
      vendor_db: json['vendor_db'] === undefined ? new Set() : keys('vendor_db'),
    },
    mokList: digests('mokdig'),
    mokListX: digests('mokxdig'),
    kernels: list(json['kernels'], 'kernels').map((item, i) => parseKernel(item, `kernels[${i}]`, secureBoot)),
  }
}

function parseFirmware(value: unknown, path: string): FirmwareState {
  const item = object(value, path)
  const volumes = list(item['platform_firmware'], `${path}.platform_firmware`)
  return {
    scrtm: parseDigest(item['scrtm'], `${path}.scrtm`),
    volumes: volumes.map((digest, i) => parseDigest(digest, `${path}.platform_firmware[${i}]`)),
  }
}

function parseKernel(value: unknown, path: string, secureBoot: boolean): KernelState {
  const item = object(value, path)
  const commandLine = item['kernel_cmdline']
  if (typeof commandLine !== 'string')
    throw bad(`${path}.kernel_cmdline`, commandLine === undefined ? 'is missing' : 'must be a regular expression')
  return {
    digests: kernelDigests(item, path, secureBoot),
    commandLine,
    isCommandLine: compileCommandLine(commandLine, `${path}.kernel_cmdline`),
  }
}

/** Members of `kernels` that hold digests, without the bank that ends their names. */
export const kernelMembers = (secureBoot: boolean): Record<keyof KernelDigests, string> => ({
  shim: 'shim_authcode_',
  grub: 'grub_authcode_',
  kernel: secureBoot ? 'kernel_authcode_' : 'vmlinuz_plain_',
  initrd: 'initrd_plain_',
})

/** Whole sets only: an alternative that knows three of four digests of a bank accepts no boot. */
function kernelDigests(item: Record<string, unknown>, path: string, secureBoot: boolean): ReadonlyMap<string, KernelDigests> {
  const members = kernelMembers(secureBoot)
  const banks = KERNEL_BANKS.filter((bank) => Object.values(members).some((member) => item[member + bank] !== undefined))
  const digestsOf = (bank: string): KernelDigests => {
    const digest = (part: keyof KernelDigests) => hex(item[members[part] + bank], `${path}.${members[part]}${bank}`)
    return { shim: digest('shim'), grub: digest('grub'), kernel: digest('kernel'), initrd: digest('initrd') }
  }
  return new Map((banks.length > 0 ? banks : ['sha256']).map((bank) => [bank, digestsOf(bank)]))
}

function parseKey(value: unknown, path: string): string {
  const { SignatureOwner: owner, SignatureData: data } = object(value, path)
  if (typeof owner !== 'string') throw bad(`${path}.SignatureOwner`, owner === undefined ? 'is missing' : 'must be a text')
  return keyId({ owner, data: hex(data, `${path}.SignatureData`) })
}

function parseDigest(value: unknown, path: string): DigestByBank {
  const banks = Object.entries(object(value, path))
  return new Map(banks.map(([bank, digest]) => [bank, hex(digest, `${path}.${bank}`)] as const))
}

function hex(value: unknown, path: string): string {
  if (typeof value !== 'string' || !HEX.test(value))
    throw bad(path, value === undefined ? 'is missing' : 'must be 0x and lower-case hexadecimal digits')
  return value.slice(2)
}

function object(value: unknown, path: string): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw bad(path, value === undefined ? 'is missing' : 'is not an object')
  return value as Record<string, unknown>
}

function list(value: unknown, path: string): unknown[] {
  if (!Array.isArray(value)) throw bad(path, value === undefined ? 'is missing' : 'is not a list')
  if (value.length > MAX_ITEMS) throw bad(path, `has ${value.length} items, at most ${MAX_ITEMS} are accepted`)
  return value
}

const bad = (path: string, what: string) =>
  new KeylimeError('invalid_request', `${path}: ${what}`, {
    hint: 'keylime policy create measured-boot makes a reference state from a boot log',
  })

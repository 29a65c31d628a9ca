import { createHash } from 'node:crypto'
import { parseBootPolicy } from '../src/core/measured-boot/boot-policy.ts'
import { createReferenceState } from '../src/core/measured-boot/create-reference-state.ts'
import { type BootEvent, parseEventLog } from '../src/core/measured-boot/event-log.ts'
import { replayEventLog } from '../src/core/measured-boot/replay.ts'
import { digestSize, type HashName, hashAlgOf } from '../src/core/tpm/algorithms.ts'
import type { Failure } from '../src/core/verdict/failure.ts'
import { machineFile } from './machines.ts'

// biome-ignore lint/suspicious/noExplicitAny: a reference state as JSON, changed at will
export type State = any

export const machineLog = (machine: string): Buffer => machineFile(machine, 'uefi.bin')
export const machineEvents = (machine: string): BootEvent[] => parseEventLog(machineLog(machine)).events
export const machineState = (machine: string): State =>
  JSON.parse(JSON.stringify(createReferenceState(parseEventLog(machineLog(machine)), { withoutSecureBoot: true }).state))

const u16 = (n: number) => Buffer.from([n & 0xff, n >> 8])
export const u32 = (n: number): Buffer => {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(n >>> 0)
  return bytes
}

/** The Spec ID event that a log begins with. */
export const logHeader = (machine = 'no-secure-boot'): Buffer => {
  const log = machineLog(machine)
  return log.subarray(0, 32 + log.readUInt32LE(28))
}

/** The same log as firmware writes it whose TPM has these banks. What was hashed is hashed anew; a file, which the log has not, gets a digest of its own. */
export function logOfBanks(log: Buffer, ...banks: HashName[]): Buffer {
  const algorithms = banks.flatMap((bank) => [u16(hashAlgOf(bank)), u16(digestSize(bank))])
  const versions = Buffer.from([0, 2, 0, 2])
  const spec = Buffer.concat([Buffer.from('Spec ID Event03\0'), u32(0), versions, u32(banks.length), ...algorithms, Buffer.from([0])])
  return Buffer.concat([
    ...[u32(0), u32(3), Buffer.alloc(20), u32(spec.length), spec],
    ...parseEventLog(log).events.flatMap((event) => [
      ...[u32(event.pcr), u32(event.type), u32(banks.length)],
      ...banks.flatMap((bank) => [u16(hashAlgOf(bank)), digestIn(bank, event)]),
      ...[u32(event.data.length), event.data],
    ]),
  ])
}

const digestIn = (bank: HashName, { digests, data, type }: BootEvent): Buffer => {
  const digest = digests.get('sha256')!
  return type === 3
    ? Buffer.alloc(digestSize(bank))
    : createHash(bank)
        .update(hashedPart(data, digest) ?? digest)
        .digest()
}

/** What of the data is hashed: all, or without the name in front of a text and the byte that ends it. */
function hashedPart(data: Buffer, digest: Buffer): Buffer | undefined {
  for (let start = 0; start <= Math.min(data.length, 64); start++)
    for (let end = data.length; end >= Math.max(start, data.length - 2); end--) {
      const part = data.subarray(start, end)
      if (createHash('sha256').update(part).digest().equals(digest)) return part
    }
  return [0, 1].map((byte) => Buffer.from([byte])).find((byte) => createHash('sha256').update(byte).digest().equals(digest)) // MokListTrusted
}

/** A log of these events, in the format of firmware. */
export const serialize = (events: readonly BootEvent[]): Buffer =>
  Buffer.concat([
    logHeader(),
    ...events.flatMap(({ pcr, type, digests, data }) => [
      ...[pcr, type, digests.size].map(u32),
      ...[...digests].flatMap(([bank, digest]) => [u16(hashAlgOf(bank)), digest]),
      u32(data.length),
      data,
    ]),
  ])

/** The event with other data, measured as firmware would: `over` are the bytes that were hashed, by default the data. */
export const measured = (event: BootEvent, data: Buffer, over: Buffer = data): BootEvent => ({
  ...event,
  data,
  digests: new Map([...event.digests.keys()].map((bank) => [bank, createHash(bank).update(over).digest()])),
})

/** The event with another digest: the thing it stands for was changed. */
export const changed = (event: BootEvent, by = 'another'): BootEvent => measured(event, event.data, Buffer.from(by))

/** PCRs of a machine that really measured this log: what no quote has signed. */
export function replayedPcrs(log: Buffer, hash: HashName = 'sha256') {
  const values = new Map<number, Buffer>(Array.from({ length: 16 }, (_, pcr) => [pcr, Buffer.alloc(digestSize(hash))]))
  for (const [pcr, value] of replayEventLog(parseEventLog(log), hash)) values.set(pcr, value)
  return { hash, values } as never
}

/** The judgement of policy `example` on a machine that measured these events. */
export function judgeExample(events: readonly BootEvent[], state: State, hash: HashName = 'sha256'): Failure[] {
  const log = serialize(events)
  const judge = parseBootPolicy(JSON.stringify(state), 'example')!
  return judge.judge({ pcrs: replayedPcrs(log, hash), log, evaluate: true }).failures
}

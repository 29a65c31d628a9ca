import { parseEventLog } from '../../../src/core/measured-boot/event-log.ts'
import { measured, replayedPcrs, serialize } from '../../boot-log.ts'
import { pcr10After } from '../../ima.ts'
import { type Evidence, type Parts, signed } from './evidence.ts'
import type { Random } from './random.ts'

/** A piece of evidence and what was done to it. */
export interface Mutation {
  what: string
  evidence: Evidence
}

/** The signed quote, the nonce, the keys or the names of algorithms are other than they were. */
export function mutateQuote(parts: Parts, random: Random): Mutation {
  const evidence = signed(parts)
  const { reply, agent } = evidence
  const [attest, signature, blob] = String(reply['quote']).slice(1).split(':') as [string, string, string]
  const rebuilt = (a: string, s: string, b: string) => ({ ...evidence, reply: { ...reply, quote: `r${a}:${s}:${b}` } })
  const ways: Record<string, () => Evidence> = {
    nothing: () => evidence,
    'bytes of the attest structure': () => rebuilt(inBase64(attest, random), signature, blob),
    'bytes of the signature': () => rebuilt(attest, inBase64(signature, random), blob),
    'bytes of the PCR values': () => rebuilt(attest, signature, inBase64(blob, random)),
    'text of the quote': () => ({ ...evidence, reply: { ...reply, quote: mutateText(String(reply['quote']), random) } }),
    'text of the transport key': () => ({ ...evidence, reply: { ...reply, pubkey: mutateText(String(reply['pubkey']), random) } }),
    nonce: () => ({ ...evidence, agent: { ...agent, nonce: mutateText(agent.nonce, random) } }),
    'name of an algorithm': () => {
      const field = random.pick(['hash_alg', 'enc_alg', 'sign_alg'])
      return {
        ...evidence,
        reply: { ...reply, [field]: random.pick(['sha1', 'sha512', 'ecc', 'rsa', 'rsapss', '', null, 'SHA256', 'rsa1024', 'ecc384']) },
      }
    },
    'field left out': () => {
      const { [random.pick(Object.keys(reply))]: _, ...rest } = reply
      return { ...evidence, reply: rest }
    },
    'bytes of the attestation key': () => ({ ...evidence, agent: { ...agent, ak: inBase64(agent.ak, random) } }),
  }
  const what = random.pick(Object.keys(ways))
  return { what, evidence: ways[what]!() }
}

/** The machine's PCRs or the static policy are other than they were; the quote is signed over what is. */
export function mutateStatic(parts: Parts, random: Random): Mutation {
  const policy = JSON.parse(parts.tpmPolicy) as Record<string, unknown>
  const pcr = random.pick(Object.keys(policy).filter((key) => key !== 'mask'))
  const values = policy[pcr] as string[]
  const asked = (changes: Record<string, unknown>) => ({ ...parts, tpmPolicy: JSON.stringify({ ...policy, ...changes }) })
  const ways: Record<string, () => Evidence> = {
    'value of a PCR': () => signed({ ...parts, pcrs: new Map([...parts.pcrs, [Number(pcr), Buffer.alloc(32, random.integer(256))]]) }),
    'value in the policy': () => signed(asked({ [pcr]: [mutateHex(values[0]!, random)] })),
    'one more value': () => signed(asked({ [pcr]: ['0'.repeat(64), ...values] })),
    'upper case': () => signed(asked({ [pcr]: values.map((value) => value.toUpperCase()) })),
    'a text in place of a list': () => signed(asked({ [pcr]: values[0] })),
    'a value of another bank': () => signed(asked({ [pcr]: [values[0]!.slice(0, 40)] })),
    'no value': () => signed(asked({ [pcr]: [] })),
    'a PCR that is not quoted': () => ({
      ...signed(parts),
      agent: { ...signed(parts).agent, tpm_policy: asked({ 22: ['f'.repeat(64)] }).tpmPolicy },
    }),
    'text of the policy': () => ({ ...signed(parts), agent: { ...signed(parts).agent, tpm_policy: mutateText(parts.tpmPolicy, random) } }),
  }
  const what = random.pick(Object.keys(ways))
  return { what, evidence: ways[what]!() }
}

/** Lines of the measurement list or the runtime policy are other than they were. In half of the cases PCR 10 fits the list all the same. */
export function mutateIma(parts: Parts, random: Random): Mutation {
  if (random.chance(3)) {
    const { what, text } = mutatePolicy(parts.runtimePolicy!, random)
    return { what: `policy: ${what}`, evidence: signed({ ...parts, runtimePolicy: text }) }
  }
  const { what, lines } = mutateLines(parts.imaLines!, random)
  const fits = random.chance(2)
  const pcr = fits ? replayed(lines) : null
  const pcrs = pcr ? new Map([[10, pcr]]) : parts.pcrs
  return { what: `list: ${what}${pcr ? ', PCR 10 fits' : ''}`, evidence: signed({ ...parts, pcrs, imaLines: lines }) }
}

function replayed(lines: readonly string[]): Buffer | null {
  try {
    return pcr10After(lines.filter((line) => line !== ''))
  } catch {
    return null // a line that is none
  }
}

function mutateLines(list: readonly string[], random: Random): { what: string; lines: string[] } {
  const at = random.integer(list.length)
  const line = list[at]!
  const fields = line.split(' ')
  const replaced = (text: string) => list.with(at, text)
  const field = (index: number, text: string) => replaced(fields.with(index, text).join(' '))
  const ways: Record<string, () => string[]> = {
    'line left out': () => list.toSpliced(at, 1),
    'line twice': () => list.toSpliced(at, 0, line),
    'lines changed places': () => list.toSpliced(at, 1).toSpliced(random.integer(list.length), 0, line),
    'cut short': () => list.slice(0, at),
    'empty line': () => list.toSpliced(at, 0, ''),
    'other PCR': () => field(0, random.pick(['11', '9', '', 'x', '010'])),
    'template hash': () => field(1, mutateHex(fields[1]!, random)),
    violation: () => field(1, '0'.repeat(40)),
    'other template': () => field(2, random.pick(['ima', 'ima-ng', 'ima-sig', 'ima-buf', 'ima-modsig', ''])),
    'file digest': () => field(3, mutateHex(fields[3]!, random)),
    'file name': () => field(4, mutateText(fields[4] ?? '', random)),
    'any character': () => replaced(mutateText(line, random)),
    'unknown file': () => [...list, `10 ${'1'.repeat(40)} ima-ng sha256:${'e'.repeat(64)} /usr/bin/evil`],
  }
  const what = random.pick(Object.keys(ways))
  return { what, lines: ways[what]!() }
}

function mutatePolicy(text: string, random: Random): { what: string; text: string } {
  // biome-ignore lint/suspicious/noExplicitAny: a policy, changed at will
  const policy = JSON.parse(text) as any
  const name = random.pick(Object.keys(policy.digests))
  const ways: Record<string, () => unknown> = {
    'file forgotten': () => delete policy.digests[name],
    'digest of a file': () => (policy.digests[name] = policy.digests[name].map((digest: string) => mutateHex(digest, random))),
    'digest in upper case': () => (policy.digests[name] = policy.digests[name].map((digest: string) => digest.toUpperCase())),
    'no digest': () => (policy.digests[name] = []),
    'one more digest': () => policy.digests[name].unshift('c'.repeat(64)),
    'exclude added': () => {
      delete policy.digests[name]
      policy.excludes.push(
        random.pick([
          '.*',
          name,
          `${name.slice(0, 3)}.*`,
          '/usr',
          '/USR/.*',
          '(?i)/USR/.*',
          '[',
          'boot_aggregate',
          '',
          '/(usr|init|etc)(/.*)?',
          '^/usr/.+$',
          '\\/init',
        ]),
      )
    },
    'member left out': () => delete policy[random.pick(Object.keys(policy))],
    'member of another type': () => (policy[random.pick(Object.keys(policy))] = random.pick([null, 1, 'text', [], {}])),
    log_hash_alg: () => (policy.ima.log_hash_alg = random.pick(['sha256', 'sha1', 'md5', null])),
    keyrings: () => (policy.keyrings = { '.ima': ['a'.repeat(64)] }),
    'ignored keyrings': () => (policy.ima.ignored_keyrings = random.pick([['*'], ['.ima'], ['.x']])),
    'ima-buf': () => (policy['ima-buf'] = { [name]: ['a'.repeat(64)] }),
    'unknown member': () => (policy.fresh = 1),
    version: () => (policy.meta.version = random.pick([0, 2, '1', -1])),
  }
  if (random.chance(8)) return { what: 'any character', text: mutateText(text, random) }
  const what = random.pick(Object.keys(ways))
  ways[what]!()
  return { what, text: JSON.stringify(policy) }
}

/** Events of the boot log, its bytes, or the reference state are other than they were. */
export function mutateBoot(parts: Parts, random: Random): Mutation {
  const log = parts.bootLog!
  const { events } = parseEventLog(log)
  const at = random.integer(events.length)
  const event = events[at]!
  const fitting = (changed: typeof events) => {
    const bootLog = serialize(changed)
    return signed({ ...parts, bootLog, pcrs: (replayedPcrs(bootLog) as { values: Map<number, Buffer> }).values })
  }
  const ways: Record<string, () => Evidence> = {
    nothing: () => signed(parts),
    'event left out, PCRs fit': () => fitting(events.toSpliced(at, 1)),
    'event twice, PCRs fit': () => fitting(events.toSpliced(at, 0, event)),
    'event of another digest, PCRs fit': () => fitting(events.with(at, measured(event, event.data, Buffer.from('other')))),
    'event of other data, PCRs fit': () => fitting(events.with(at, measured(event, inBytes(event.data, random)))),
    'event left out': () => signed({ ...parts, bootLog: serialize(events.toSpliced(at, 1)) }),
    'bytes of the log': () => signed({ ...parts, bootLog: inBytes(log, random) }),
    'log cut short': () => signed({ ...parts, bootLog: log.subarray(0, random.integer(log.length)) }),
    'no log': () => signed({ ...parts, bootLog: null }),
    'text of the reference state': () => signed({ ...parts, bootPolicy: mutateText(parts.bootPolicy!, random) }),
    'digest in the reference state': () => signed({ ...parts, bootPolicy: otherDigest(parts.bootPolicy!, random) }),
  }
  const what = random.pick(Object.keys(ways))
  return { what, evidence: ways[what]!() }
}

function otherDigest(text: string, random: Random): string {
  const digests = [...text.matchAll(/0x[0-9a-f]{64}/g)]
  const { index } = random.pick(digests)
  return `${text.slice(0, index + 2)}${'d'.repeat(64)}${text.slice(index + 66)}`
}

function mutateHex(text: string, random: Random): string {
  const at = text.length - 1 - random.integer(Math.min(text.length, 40))
  return `${text.slice(0, at)}${text[at] === '0' ? '1' : '0'}${text.slice(at + 1)}`
}

function mutateText(text: string, random: Random): string {
  const at = random.integer(text.length + 1)
  const character = random.pick([' ', '\n', '0', 'a', '/', ':', '"', '{', 'ü', '\\', ',', '-', '\t', '='])
  return random.pick([
    () => text.slice(0, at) + text.slice(at + 1),
    () => text.slice(0, at) + character + text.slice(at + 1),
    () => text.slice(0, at) + character + text.slice(at),
    () => text.slice(0, at),
  ])()
}

function inBytes(bytes: Buffer, random: Random): Buffer {
  const copy = Buffer.from(bytes)
  if (copy.length === 0) return Buffer.from([random.integer(256)])
  const at = random.integer(copy.length)
  if (random.chance(6)) return random.pick([() => copy.subarray(0, at), () => Buffer.concat([copy, Buffer.from([random.integer(256)])])])()
  copy[at] = copy[at]! ^ (1 << random.integer(8))
  return copy
}

const inBase64 = (text: string, random: Random) => inBytes(Buffer.from(text, 'base64'), random).toString('base64')

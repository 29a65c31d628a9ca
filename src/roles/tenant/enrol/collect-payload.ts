import fs from 'node:fs/promises'
import { KeylimeError } from '../../../core/errors.ts'
import { sealPayload } from '../../../core/payload/seal.ts'
import { combineKey, KEY_SIZE, splitKey } from '../../../core/payload/split-key.ts'
import { readFile, unreadable } from '../../../io/files/read-file.ts'
import { randomBytes } from '../../../io/random.ts'
import type { FoundAgent } from '../services/find-agent.ts'
import type { TenantContext } from '../tenant-context.ts'
import type { TenantOptions } from '../tenant-options.ts'
import { plaintextLimit } from './plaintext-limit.ts'

/** What an enrolment delivers. The shares are secrets: they go to agent and verifier, and nowhere else. */
export interface Payload {
  readonly k: Buffer
  readonly u: Buffer
  readonly v: Buffer
  /** Base64 text for the agent; undefined when only a key is delivered. */
  readonly sealed: string | undefined
  /** PEM for the verifier, `""` without a certificate package. */
  readonly revocationKey: string
  /** JSON text for the verifier. */
  readonly metadata: string
}

/** Checks the options that say what to deliver, without reading anything (protocol 3.2 step 7). @throws KeylimeError `usage`. */
export function checkPayloadOptions(options: TenantOptions): void {
  const given = [options.file && '-f', options.keyFile && '-k', options.cert && '--cert'].filter(Boolean)
  if (given.length > 1)
    throw new KeylimeError('usage', `${given.join(' and ')} exclude each other`, { hint: 'give one of -f, -k and --cert' })
  if (options.include?.length && !options.cert)
    throw new KeylimeError('usage', '--include needs --cert', { hint: 'add `--cert`, or zip the directory and give it with -f' })
  if (options.payloadFile && !options.keyFile)
    throw new KeylimeError('usage', '-p needs the key file of the payload', { hint: 'give it with -k' })
  for (const [name, isGiven] of [
    ['--verify', options.verify],
    ['--sealed', options.sealed],
  ] as const)
    if (isGiven && given.length === 0)
      throw new KeylimeError('usage', `${name} needs a payload or a key`, { hint: 'give one of -f, -k and --cert' })
}

/** Whether something is to be delivered at all. */
export const delivers = ({ file, keyFile, cert }: TenantOptions): boolean => Boolean(file || keyFile || cert)

/** Looks whether the files are there, before anybody is asked for anything. @throws KeylimeError `not_found` or `file_failed`. */
export async function requirePayloadFiles(options: TenantOptions): Promise<void> {
  const named = [
    ['-f', options.file],
    ['-k', options.keyFile],
    ['-p', options.payloadFile],
    ...(options.include ?? []).map((directory) => ['--include', directory] as const),
  ] as const
  for (const [option, file] of named)
    if (file)
      await fs.stat(file).catch((cause) => {
        throw unreadable(file, cause, { option, hint: MISSING })
      })
}

/** Collects, packs and encrypts what is to be delivered, or undefined when nothing is. Its size is checked here, before anything is sent. */
export async function collectPayload(context: TenantContext, found: FoundAgent): Promise<Payload | undefined> {
  const { cert } = context.options
  if (context.options.keyFile || !cert) return collectFiles(context)
  const { certificatePayload } = await import('./certificate-payload.ts')
  const { zip, files, ...rest } = await context.authorityQueue.run(() => certificatePayload(context, found, cert))
  return { ...rest, ...sealed(context, zip, { kind: 'certificate', files }) }
}

/** The same of -f and -k, which are no machine's alone. */
export async function collectFiles(context: TenantContext): Promise<Payload | undefined> {
  const { options, config } = context
  if (options.keyFile) return keyPayload(context, options.keyFile)
  if (!options.file) return undefined
  const plaintext = await readPayload(options.file, '-f', plaintextLimit(config.max_payload_size))
  return { ...sealed(context, plaintext, { kind: 'file', files: 1 }), revocationKey: '', metadata: '{}' }
}

function sealed(
  { config, report }: Pick<TenantContext, 'config' | 'report'>,
  plaintext: Buffer,
  what: { kind: 'certificate' | 'file'; files: number },
): Pick<Payload, 'k' | 'u' | 'v' | 'sealed'> {
  const [k, v] = [randomBytes(KEY_SIZE), randomBytes(KEY_SIZE)]
  const text = sealPayload(k, randomBytes(16), plaintext)
  checkSize(text.length, config.max_payload_size)
  report({ type: 'payload_ready', ...what, bytes: plaintext.length })
  return { k, v, u: splitKey(k, v), sealed: text }
}

/** `-k`: three lines of base64, K and the two shares. With `-p` a payload that was encrypted before; without, only the key is delivered. */
async function keyPayload(
  { options, config, report }: Pick<TenantContext, 'options' | 'config' | 'report'>,
  keyFile: string,
): Promise<Payload> {
  const lines = (await readPayload(keyFile, '-k', 4096))
    .toString('utf8')
    .split(/\r?\n/)
    .filter((line) => line.trim() !== '')
  const [k, u, v] = lines.map((line) => Buffer.from(line, 'base64'))
  const isKey = (key: Buffer | undefined) => key?.length === 16 || key?.length === 32
  if (lines.length !== 3 || !k || !u || !v || !isKey(k) || u.length !== k.length || v.length !== k.length || !combineKey(u, v).equals(k)) {
    throw new KeylimeError('malformed', `${keyFile} is not a key file: three lines of base64 are needed, a key and its two shares`, {
      hint: '`keylime userdata-encrypt FILE` makes one',
    })
  }
  const { payloadFile } = options
  const sealed = payloadFile ? (await readPayload(payloadFile, '-p', config.max_payload_size)).toString('latin1').trim() : undefined
  if (sealed !== undefined && !/^[A-Za-z0-9+/]+={0,2}$/.test(sealed)) {
    throw new KeylimeError('malformed', `${payloadFile} is not an encrypted payload (base64)`, {
      hint: '`keylime userdata-encrypt FILE` makes one; -f encrypts the file for you',
    })
  }
  report({ type: 'payload_ready', kind: 'key', files: sealed ? 1 : 0, bytes: sealed?.length ?? 0 })
  return { k, u, v, sealed, revocationKey: '', metadata: '{}' }
}

function checkSize(length: number, limit: number): void {
  if (length <= limit) return
  throw new KeylimeError('payload_too_large', `the encrypted payload has ${length} bytes, ${limit} is the limit`, { hint: LARGER })
}

const readPayload = (file: string, option: string, maxBytes: number) =>
  readFile(file, { option, maxBytes, tooLargeHint: LARGER, hint: MISSING })

const MISSING = 'give the path of a file that is there; a relative one begins at the current directory'

const LARGER = 'raise max_payload_size in tenant.conf, and secure_size in the agents’ agent.conf'

import fs from 'node:fs'
import path from 'node:path'
import { KeylimeError } from '../../../core/errors.ts'
import { type ArchiveLimits, DEFAULT_ARCHIVE_LIMITS, looksLikeZip } from '../../../core/payload/archive-plan.ts'
import { parseActionList } from '../../../core/revocation/action-list.ts'
import { type OpenArchive, openArchive } from '../../../io/files/unzip.ts'
import type { Logger } from '../../../io/log/logger.ts'
import { DELIVERY_RECORD, writeDeliveryRecord } from './delivery-record.ts'

export interface PayloadNames {
  /** `enc_keyname` */
  key: string
  /** `dec_payload_file` */
  payload: string
  /** `payload_script`; empty: none. */
  script: string
  extractZip: boolean
}

export interface Unpacked {
  isArchive: boolean
  /** Absolute path of `unzipped/`. */
  directory: string
  /** Absolute path of the script when there is one to run. */
  script: string | null
  files: number
}

/**
 * Writes a decrypted payload below `secure`, in both layouts (protocol 5.4 and 10): `unzipped/` as upstream's Rust agent (key raw, plaintext, contents of
 * the zip) and beside it as its Python agent (key as base64; the plaintext when it is no zip). Everything is judged first; then `unzipped/` appears
 * whole or not at all, and last: with its record, from which a restarted agent goes on. Files get 0600, those to be run 0700.
 * @throws KeylimeError `archive_refused` (nothing was changed) or `file_failed`.
 */
export async function unpackPayload(
  secure: string,
  content: { k: Buffer; plaintext: Buffer; delivery: string },
  names: PayloadNames,
  logger: Logger,
): Promise<Unpacked> {
  const isArchive = names.extractZip && looksLikeZip(content.plaintext)
  const archive = isArchive ? await openArchive(content.plaintext, limitsOf(secure)) : null
  const building = path.join(secure, BUILDING)
  const directory = path.join(secure, 'unzipped')
  await makeRoom(secure, names)
  try {
    await archive?.extract(building)
    makeWay(building, names, logger)
    writeOwnFiles(building, content, names, { archive, logger })
    markExecutables(building, names, isArchive, logger)
    fs.writeFileSync(path.join(secure, names.key), content.k.toString('base64'), { mode: 0o600 })
    if (!isArchive) fs.linkSync(path.join(building, names.payload), path.join(secure, names.payload))
    const hasScript = isArchive && names.script !== '' && isPlainFile(path.join(building, names.script))
    const files = archive?.plan.files.length ?? 1
    await writeDeliveryRecord(secure, { delivery: content.delivery, script: hasScript ? 'pending' : 'none', files })
    fs.renameSync(building, directory)
    return { isArchive, directory, script: hasScript ? path.join(directory, names.script) : null, files }
  } catch (error) {
    await clear(secure, [DELIVERY_RECORD, names.key, names.payload, BUILDING])
    throw (error as NodeJS.ErrnoException).code === 'ENOSPC' ? full(secure, error) : error
  }
}

/** There while a payload is unpacked, and after an agent that was killed meanwhile. */
const BUILDING = 'unzipped.new'

/** Removes what a killed agent has left of an unpacking. @returns whether there was one: what it unpacked is lost, and with it perhaps the payload before. */
export async function clearCutOff(secure: string, names: Pick<PayloadNames, 'key' | 'payload'>): Promise<boolean> {
  if (!fs.existsSync(path.join(secure, BUILDING))) return false
  if (!fs.existsSync(path.join(secure, 'unzipped'))) await clear(secure, [DELIVERY_RECORD, names.key, names.payload])
  await clear(secure, [BUILDING])
  return true
}

const full = (secure: string, cause: unknown) =>
  new KeylimeError('file_failed', `the payload does not fit into ${secure}`, {
    cause,
    hint: 'raise secure_size in agent.conf, or send less',
  })

/** Removes an earlier payload: its record first, and only when it shows that another one is begun. */
async function makeRoom(secure: string, names: Pick<PayloadNames, 'key' | 'payload'>): Promise<void> {
  await clear(secure, [BUILDING])
  fs.mkdirSync(path.join(secure, BUILDING), { mode: 0o700 })
  await clear(secure, ['unzipped', DELIVERY_RECORD, names.key, names.payload])
}

async function clear(secure: string, names: readonly string[]): Promise<void> {
  for (const name of names) await fs.promises.rm(path.join(secure, name), { recursive: true, force: true })
}

/** Unpacked it must fit into the tmpfs; what stands there now goes first. */
function limitsOf(secure: string): ArchiveLimits {
  const { bsize, blocks } = fs.statfsSync(secure)
  return { ...DEFAULT_ARCHIVE_LIMITS, maxTotalBytes: bsize * blocks || DEFAULT_ARCHIVE_LIMITS.maxTotalBytes }
}

/**
 * The agent's own files are what its script believes them to be: the key of this delivery, and what was delivered. Entries of the archive with their names go, where
 * upstream lets them take the place.
 */
function makeWay(building: string, names: PayloadNames, logger: Logger): void {
  for (const name of [names.key, names.payload]) {
    const file = path.join(building, name)
    if (!fs.lstatSync(file, { throwIfNoEntry: false })) continue
    fs.rmSync(file, { recursive: true, force: true })
    logger.warn(`the payload has an entry named ${name}, which is the name of the agent's own file: it is left out`, {
      hint: 'rename it, or set enc_keyname and dec_payload_file in agent.conf',
    })
  }
}

/** Key and plaintext. */
function writeOwnFiles(
  building: string,
  { k, plaintext }: { k: Buffer; plaintext: Buffer },
  names: PayloadNames,
  { archive, logger }: { archive: OpenArchive | null; logger: Logger },
): void {
  fs.writeFileSync(path.join(building, names.key), k, { mode: 0o600, flag: 'wx' })
  const file = path.join(building, names.payload)
  try {
    fs.writeFileSync(file, plaintext, { mode: 0o600, flag: 'wx' })
  } catch (error) {
    if (!archive || (error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error
    fs.rmSync(file, { force: true })
    logger.info('the unpacked payload fills the tmpfs: the zip itself is not kept beside it', { hint: 'raise secure_size to have both' })
  }
}

/** The script, and what `action_list` names (read by the same rules as when it is run, which upstream does not do). */
function markExecutables(building: string, names: PayloadNames, isArchive: boolean, logger: Logger): void {
  if (!isArchive) return
  const list = path.join(building, 'action_list')
  const { names: actions, refused } = isPlainFile(list) ? parseActionList(fs.readFileSync(list, 'utf8')) : { names: [], refused: [] }
  if (refused.length > 0) logger.warn('action_list has names that cannot be run', { refused })
  for (const name of [names.script, ...actions])
    if (name !== '' && isPlainFile(path.join(building, name))) fs.chmodSync(path.join(building, name), 0o700)
}

const isPlainFile = (file: string): boolean => fs.lstatSync(file, { throwIfNoEntry: false })?.isFile() ?? false

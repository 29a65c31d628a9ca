import { type BigIntStats, lstatSync } from 'node:fs'
import fs from 'node:fs/promises'
import path from 'node:path'
import { asciiJson, BEFORE_THE_FIRST, type ChainHead, nextLine } from '../../core/audit/audit-line.ts'
import type { AuditNote, Incomplete } from '../../core/audit/audit-note.ts'
import { causeChain, KeylimeError } from '../../core/errors.ts'
import type { Logger } from '../log/logger.ts'
import { randomBytes } from '../random.ts'
import { rotatedFiles, rotatedName } from './audit-files.ts'
import { readTail } from './chain-tail.ts'
import { openOwnFile } from './own-file.ts'

export interface AuditEntry {
  /** Milliseconds since the epoch. */
  readonly at: number
  /** JSON of one event or note, in ASCII. */
  readonly json: string
}

/** The file with the chain. One call at a time. */
export interface ChainFile {
  readonly head: ChainHead
  /** Writes what an earlier call could not, and begins a new file where one is due. @throws what the system says. */
  ready(): Promise<void>
  /** Makes lines of the entries and brings them onto the disk. When that fails, they are kept for `ready`. @throws what the system says. */
  append(entries: readonly AuditEntry[]): Promise<void>
  close(): Promise<void>
}

export interface ChainFileOptions {
  file: string
  /** A file that is larger is renamed, and a new one begun; 0: never. */
  maxBytes: number
  now(): number
  logger: Logger
}

/** Before each write, on this thread: it is one short call of the system, and a turn of the event loop for it would be a turn that every answer waits for. */
function lookAt(file: string): BigIntStats | null {
  try {
    return lstatSync(file, { bigint: true })
  } catch {
    return null
  }
}

const noteEntry = (at: number, note: AuditNote): AuditEntry => ({ at, json: asciiJson(note) })

/**
 * Opens the log where it ended, or begins one. An incomplete last line stays where it is, and the next line tells of it.
 * @throws KeylimeError `file_failed` for a file that is not ours alone, or no audit log.
 */
export async function openChainFile({ file, maxBytes, now, logger }: ChainFileOptions): Promise<ChainFile> {
  let { handle, size, inode } = await openOwnFile(file)
  let head = BEFORE_THE_FIRST
  let chain = ''
  let unwritten: Buffer = Buffer.alloc(0)
  let synced = true
  let told = ''

  function queue(entries: readonly AuditEntry[]): void {
    const lines = entries.map(({ at, json }) => {
      const next = nextLine(head, at, json)
      head = next.head
      return `${next.line}\n`
    })
    unwritten = Buffer.concat([unwritten, Buffer.from(lines.join(''), 'latin1')])
  }

  /** What was written by half goes on where it stopped: only a crash can leave an incomplete line. */
  async function write(): Promise<void> {
    while (unwritten.length > 0) {
      synced = false
      const { bytesWritten } = await handle.write(unwritten)
      unwritten = unwritten.subarray(bytesWritten)
      size += bytesWritten
    }
    if (!synced) await handle.datasync()
    synced = true
  }

  function goOn(from: { chain: string; head: ChainHead; incomplete: Incomplete | null }, previousFile: string): void {
    chain = from.chain
    head = from.head
    const incomplete = from.incomplete ? { incomplete: from.incomplete } : {}
    queue([noteEntry(now(), { type: 'audit_continued', chain, file: path.basename(previousFile), ...incomplete })])
  }

  async function takeUp(): Promise<void> {
    if (size === 0) {
      const last = (await rotatedFiles(file)).at(-1)
      if (last) return goOn(last.tail, last.file)
      chain = randomBytes(16).toString('hex')
      return queue([noteEntry(now(), { type: 'audit_begun', chain })])
    }
    const tail = await readTail(handle, size)
    if (!tail)
      throw new KeylimeError('file_failed', `${file} is not an audit log, or its end is damaged`, {
        hint: 'look at it with `keylime verifier audit verify FILE`, then move it away: the log then continues in a new file',
      })
    chain = tail.chain
    head = tail.head
    if (!tail.closed) unwritten = Buffer.from('\n')
    if (tail.incomplete) queue([noteEntry(now(), { type: 'audit_incomplete', incomplete: tail.incomplete })])
  }

  /** Where another program renamed the file, or it has become too large, the chain goes on in a new one. When that cannot be made, it goes on in the old one. */
  async function changeFile(): Promise<void> {
    let before = 'the file that was renamed'
    try {
      const found = lookAt(file)
      const isOurs = found?.ino === inode
      if (isOurs && (maxBytes === 0 || size < maxBytes)) return
      if (isOurs) {
        before = await freeName(rotatedName(file, head.seq))
        await fs.rename(file, before)
      }
      const next = await openOwnFile(file)
      if (next.size > 0) {
        await next.handle.close()
        throw new Error('another file that is not empty is in its place')
      }
      const old = handle
      ;({ handle, size, inode } = next)
      await old.close()
      told = ''
      goOn({ chain, head, incomplete: null }, before)
      logger.info(`audit log ${file}: a new file is begun`, { line: head.seq, previous: before })
    } catch (error) {
      const text = causeChain(error).join(': ')
      if (text !== told) logger.error(`audit log ${file}: cannot begin a new file, and keeps writing to the old one: ${text}`)
      told = text
    }
  }

  try {
    await takeUp()
    await write()
  } catch (error) {
    await handle.close()
    throw error instanceof KeylimeError
      ? error
      : new KeylimeError('file_failed', `cannot write ${file}: ${causeChain(error).join(': ')}`, { cause: error })
  }
  return {
    get head() {
      return head
    },
    async ready() {
      await write()
      await changeFile()
      await write()
    },
    append(entries) {
      queue(entries)
      return write()
    },
    close: () => handle.close(),
  }
}

async function freeName(name: string): Promise<string> {
  for (let count = 0; ; count++) {
    const candidate = count === 0 ? name : `${name}.${count}`
    if ((await fs.lstat(candidate).catch(() => null)) === null) return candidate
  }
}

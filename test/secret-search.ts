import fs from 'node:fs'

/** Whether bytes hold a secret: as it is, or in a form in which programs write or send it. In base64 it may begin at any place of a group of three bytes. */
export function holds(bytes: Buffer, secret: Buffer): boolean {
  const hex = secret.toString('hex')
  const texts = [hex, hex.toUpperCase(), ...[0, 1, 2].map((at) => base64At(secret, at)), secret.toString('base64url')]
  return bytes.includes(secret) || texts.some((text) => bytes.includes(text, 'latin1') || bytes.includes(text, 'utf16le'))
}

/** The characters that do not depend on what stands around it. @param before how many bytes of its group come before. */
function base64At(secret: Buffer, before: number): string {
  const text = Buffer.concat([Buffer.alloc(before), secret]).toString('base64')
  const whole = text.slice(0, Math.floor(((before + secret.length) * 8) / 6))
  return whole.slice(Math.ceil((before * 8) / 6))
}

/** Everything that a process can read of its own memory, but for files that it cannot write into, while it stands still. Only root can. */
export function dumpMemory(pid: number): Buffer {
  process.kill(pid, 'SIGSTOP')
  const [memory, pages] = [fs.openSync(`/proc/${pid}/mem`, 'r'), fs.openSync(`/proc/${pid}/pagemap`, 'r')]
  try {
    return Buffer.concat(readableMappings(pid).flatMap((mapping) => usedPages(pages, mapping).map((used) => readMapping(memory, used))))
  } finally {
    for (const file of [memory, pages]) fs.closeSync(file)
    process.kill(pid, 'SIGCONT')
  }
}

/** From one address to another. */
interface Mapping {
  start: number
  end: number
}

function readableMappings(pid: number): Mapping[] {
  const lines = fs.readFileSync(`/proc/${pid}/maps`, 'utf8').split('\n')
  return lines.flatMap((line) => {
    const [, start, end, rest = ''] = /^([0-9a-f]+)-([0-9a-f]+) r(.*)$/.exec(line) ?? []
    const isKernels = /\[(vvar|vsyscall)/.test(rest)
    const isProgram = rest.startsWith('-') && rest.includes(' /')
    return start && end && !isKernels && !isProgram ? [{ start: Number.parseInt(start, 16), end: Number.parseInt(end, 16) }] : []
  })
}

const PAGE = 4096
/** proc_pid_pagemap(5), in the highest byte of eight: in memory, or swapped out. */
const IS_USED = 0xc0

/** Stretches of pages that were ever written to or read: the rest of what a process has reserved is nothing. */
function usedPages(pages: number, { start, end }: Mapping): Mapping[] {
  const entries = Buffer.alloc(((end - start) / PAGE) * 8)
  fs.readSync(pages, entries, 0, entries.length, (start / PAGE) * 8)
  const used: Mapping[] = []
  for (let at = start; at < end; at += PAGE) {
    if (!(entries[((at - start) / PAGE) * 8 + 7]! & IS_USED)) continue
    const before = used.at(-1)
    if (before?.end === at) before.end += PAGE
    else used.push({ start: at, end: at + PAGE })
  }
  return used
}

/** Nothing of what is mapped and not there, as the end of a file that was cut. */
function readMapping(memory: number, { start, end }: Mapping): Buffer {
  const bytes = Buffer.alloc(end - start)
  try {
    return bytes.subarray(0, fs.readSync(memory, bytes, 0, bytes.length, start))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EIO') return Buffer.alloc(0)
    throw error
  }
}

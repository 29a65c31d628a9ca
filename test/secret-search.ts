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
  const memory = fs.openSync(`/proc/${pid}/mem`, 'r')
  try {
    return Buffer.concat(readableMappings(pid).flatMap((mapping) => readMapping(memory, mapping)))
  } finally {
    fs.closeSync(memory)
    process.kill(pid, 'SIGCONT')
  }
}

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

const CHUNK = 1 << 20

/** What is mapped and not there, as the end of a file that was cut, is left out. */
function readMapping(memory: number, { start, end }: Mapping): Buffer[] {
  const chunks: Buffer[] = []
  for (let at = start; at < end; at += CHUNK) {
    const chunk = Buffer.alloc(Math.min(CHUNK, end - at))
    try {
      const count = fs.readSync(memory, chunk, 0, chunk.length, at)
      chunks.push(chunk.subarray(0, count))
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EIO') throw error
    }
  }
  return chunks
}

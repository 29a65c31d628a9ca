import fs from 'node:fs'

const CHUNK = 64 << 10
const MAX_BYTES = 16 << 20

/** The firmware's event log: binary, and the same from boot to boot. Opened early, since only root may open the kernel's file. */
export class BootLog {
  readonly #path: string
  #fd: number | null = null

  constructor(path: string) {
    this.#path = path
  }

  open(): boolean {
    if (this.#fd !== null) return true
    try {
      this.#fd = fs.openSync(this.#path, 'r')
      return true
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
      throw error
    }
  }

  /** The whole log (at most 16 MiB), or null when this machine has none. */
  read(): Buffer | null {
    if (!this.open()) return null
    const chunks: Buffer[] = []
    let length = 0
    while (length < MAX_BYTES) {
      const chunk = Buffer.alloc(CHUNK)
      const count = fs.readSync(this.#fd!, chunk, 0, CHUNK, length)
      if (count === 0) break
      chunks.push(chunk.subarray(0, count))
      length += count
    }
    return Buffer.concat(chunks)
  }

  close(): void {
    if (this.#fd !== null) fs.closeSync(this.#fd)
    this.#fd = null
  }
}

/** Seconds since the epoch at which this machine was booted (proc(5), `btime`), or null. */
export function readBootTime(): number | null {
  try {
    const line = /^btime (\d+)$/m.exec(fs.readFileSync('/proc/stat', 'utf8'))
    return line ? Number(line[1]) : null
  } catch {
    return null
  }
}

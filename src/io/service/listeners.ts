import fs from 'node:fs'
import os from 'node:os'

/** Who listens on a TCP port. */
export interface Listener {
  /** Undefined where this user may not see it. */
  readonly pid: number | undefined
  /** Its command line, or empty. */
  readonly command: string
  /** Where it listens on that port, `::` and `0.0.0.0` for everywhere. */
  readonly addresses: readonly string[]
}

const LISTEN = '0A'

/** Who listens on a port of this machine, on whatever address: from /proc/net/tcp and tcp6, as ss(8) does. @param proc where /proc is. */
export function listenersOn(port: number, proc = '/proc'): Listener[] {
  const sockets = new Map(['tcp', 'tcp6'].flatMap((table) => socketsOf(`${proc}/net/${table}`, port)))
  if (sockets.size === 0) return []
  const owners = ownersOf(sockets, proc)
  return owners.length > 0 ? owners : [{ pid: undefined, command: '', addresses: [...sockets.values()] }]
}

/** Lines are `sl local_address rem_address st … inode`, with the port in hexadecimal behind the address. */
function socketsOf(file: string, port: number): [inode: string, address: string][] {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return linesOf(file)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = '', , state]) => state === LISTEN && local.endsWith(wanted))
    .map((fields) => [fields[9] ?? '', addressOf(fields[1]!.split(':')[0]!)])
}

/** Words of 32 bits, each in the order of this machine. */
function addressOf(hex: string): string {
  const bytes = (hex.match(/.{8}/g) ?? []).flatMap((word) => [...Buffer.from(word, 'hex')][ORDER]())
  if (bytes.length === 4) return bytes.join('.')
  const groups = Array.from({ length: 8 }, (_, i) => (bytes[2 * i]! * 256 + bytes[2 * i + 1]!).toString(16))
  return new URL(`http://[${groups.join(':')}]`).hostname.slice(1, -1)
}

const ORDER = os.endianness() === 'LE' ? 'toReversed' : 'slice'

function ownersOf(sockets: ReadonlyMap<string, string>, proc: string): Listener[] {
  return namesIn(proc)
    .filter((name) => /^\d+$/.test(name))
    .map((name) => ({
      name,
      addresses: namesIn(`${proc}/${name}/fd`).flatMap((fd) => sockets.get(inodeOf(`${proc}/${name}/fd/${fd}`)) ?? []),
    }))
    .filter(({ addresses }) => addresses.length > 0)
    .map(({ name, addresses }) => ({ pid: Number(name), command: commandOf(`${proc}/${name}/cmdline`), addresses }))
}

const inodeOf = (link: string): string => attempt(() => /^socket:\[(\d+)\]$/.exec(fs.readlinkSync(link))?.[1] ?? '', '')

const commandOf = (file: string): string => attempt(() => fs.readFileSync(file, 'utf8').replaceAll('\0', ' ').trim(), '')
const linesOf = (file: string): string[] => attempt(() => fs.readFileSync(file, 'utf8').split('\n'), [])
const namesIn = (directory: string): string[] => attempt(() => fs.readdirSync(directory), [])

/** Processes end while they are looked at, and those of others may not be. */
function attempt<T>(look: () => T, otherwise: T): T {
  try {
    return look()
  } catch {
    return otherwise
  }
}

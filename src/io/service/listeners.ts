import fs from 'node:fs'

/** Who listens on a TCP port. */
export interface Listener {
  /** Undefined where this user may not see it. */
  readonly pid: number | undefined
  /** Its command line, or empty. */
  readonly command: string
}

const LISTEN = '0A'

/** Who listens on a port of this machine, on whatever address: from /proc/net/tcp and tcp6, as ss(8) does. @param proc where /proc is. */
export function listenersOn(port: number, proc = '/proc'): Listener[] {
  const inodes = new Set(['tcp', 'tcp6'].flatMap((table) => inodesOf(`${proc}/net/${table}`, port)))
  if (inodes.size === 0) return []
  const owners = ownersOf(inodes, proc)
  return owners.length > 0 ? owners : [{ pid: undefined, command: '' }]
}

/** Lines are `sl local_address rem_address st … inode`, with the port in hexadecimal behind the address. */
function inodesOf(file: string, port: number): string[] {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  return linesOf(file)
    .map((line) => line.trim().split(/\s+/))
    .filter(([, local = '', , state]) => state === LISTEN && local.endsWith(wanted))
    .map((fields) => fields[9] ?? '')
}

function ownersOf(inodes: ReadonlySet<string>, proc: string): Listener[] {
  return namesIn(proc)
    .filter((name) => /^\d+$/.test(name) && namesIn(`${proc}/${name}/fd`).some((fd) => isOneOf(inodes, `${proc}/${name}/fd/${fd}`)))
    .map((name) => ({ pid: Number(name), command: commandOf(`${proc}/${name}/cmdline`) }))
}

function isOneOf(inodes: ReadonlySet<string>, link: string): boolean {
  const inode = attempt(() => /^socket:\[(\d+)\]$/.exec(fs.readlinkSync(link))?.[1], undefined)
  return inode !== undefined && inodes.has(inode)
}

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

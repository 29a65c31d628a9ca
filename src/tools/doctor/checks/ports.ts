import os from 'node:os'
import { type Listener, listenersOn } from '../../../io/service/listeners.ts'
import type { Subject } from '../check.ts'
import { type Finding, findingsOf } from '../finding.ts'
import type { Listening } from '../whereabouts.ts'

const { ok, note, error } = findingsOf('ports')

export interface SeenPort {
  readonly listening: Listening
  readonly listeners: readonly Listener[]
  /** Addresses of this machine. */
  readonly addresses: readonly string[]
}

/** Whether the ports of a role are free, its own, or somebody else's. */
export async function checkPorts({ where, root }: Subject): Promise<Finding[]> {
  const addresses = Object.values(os.networkInterfaces()).flatMap((found) => (found ?? []).map(({ address }) => address))
  return where.listens
    .filter(({ port }) => port !== 0)
    .flatMap((listening) => judgePort({ listening, listeners: listenersOn(listening.port, `${root}/proc`), addresses }))
}

export function judgePort({ listening, listeners, addresses }: SeenPort): Finding[] {
  const { role, service, option, ip, port } = listening
  const found = judgeAddress(listening, addresses)
  const [first] = listeners
  if (first === undefined) return [...found, note(`port ${port} is free`, `the ${role} does not run`, `systemctl start keylime-${service}`)]
  const strangers = listeners.filter(({ pid, command }) => pid !== undefined && !isKeylime(command))
  if (strangers.length > 0) {
    const who = strangers.map(({ pid, command }) => `process ${pid} (${command || 'unnamed'})`).join(', ')
    return [
      ...found,
      error(`port ${port} is taken by ${who}`, `the ${role} cannot listen there (${option})`, `keylime config set ${role} ${option} PORT`),
    ]
  }
  if (first.pid === undefined)
    return [...found, note(`something listens on port ${port}`, 'only root can see what it is', `sudo keylime doctor ${role}`)]
  return [...found, ok(`process ${first.pid} (${first.command}) listens on ${ip}:${port}`, `the ${role} runs`)]
}

function judgeAddress({ role, ip }: Listening, addresses: readonly string[]): Finding[] {
  const isNumber = /^[\d.]+$|:/.test(ip)
  if (!isNumber || ['0.0.0.0', '::'].includes(ip) || ip.startsWith('127.') || addresses.includes(ip.replace(/%.*$/, ''))) return []
  return [
    error(
      `this machine does not have the address ${ip}, but ${addresses.join(', ')}`,
      `the ${role} cannot listen there`,
      `keylime config set ${role} ip ADDRESS`,
    ),
  ]
}

/** Of this program or of upstream's, whose names begin alike. */
const isKeylime = (command: string): boolean => /(^|[/\s])keylime/.test(command)

import os from 'node:os'
import { hostPort } from '../../../core/api/host-port.ts'
import { type Listener, listenersOn } from '../../../io/service/listeners.ts'
import type { Subject } from '../check.ts'
import { type Finding, findingsOf } from '../finding.ts'
import type { Listening } from '../whereabouts.ts'

const { ok, note, warning, error } = findingsOf('ports')

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
  const { role, service, option, port } = listening
  const ip = listening.ip.replace(/%.*$/, '')
  const found = judgeAddress(listening, addresses)
  const [first] = listeners
  if (first === undefined) return [...found, freePort(listening)]
  const strangers = listeners.filter((listener) => listener.pid !== undefined && !isKeylime(listener.command) && isInTheWay(listener, ip))
  if (strangers.length > 0) {
    const who = strangers.map(({ pid, command }) => `process ${pid} (${command || 'unnamed'})`).join(', ')
    return [
      ...found,
      error(`port ${port} is taken by ${who}`, `the ${role} cannot listen there (${option})`, `keylime config set ${role} ${option} PORT`),
    ]
  }
  if (first.pid === undefined)
    return [...found, note(`something listens on port ${port}`, 'only root can see what it is', `sudo keylime doctor ${role}`)]
  const own = listeners.find((listener) => listener.pid !== undefined && isKeylime(listener.command))
  if (own === undefined) return [...found, freePort(listening)]
  if (isNumber(ip) && !listeners.some(({ addresses: at }) => at.some((address) => address === ip || isEverywhere(address))))
    return [
      ...found,
      warning(
        `process ${own.pid} (${own.command}) listens on ${own.addresses.map((address) => hostPort(address, port)).join(', ')}, not on ${hostPort(ip, port)}`,
        `the ${role} was started with another address, or this is another one`,
        `systemctl restart keylime-${service}`,
      ),
    ]
  return [...found, ok(`process ${own.pid} (${own.command}) listens on ${hostPort(ip, port)}`, `the ${role} runs`)]
}

const freePort = ({ role, service, option, port }: Listening): Finding =>
  option === 'metrics_port'
    ? note(`port ${port} is free`, `the ${role} does not run, or was started without metrics`, `systemctl restart keylime-${service}`)
    : note(`port ${port} is free`, `the ${role} does not run`, `systemctl start keylime-${service}`)

const isNumber = (ip: string): boolean => /^[\d.]+$|:/.test(ip)
const isEverywhere = (ip: string): boolean => ['0.0.0.0', '::'].includes(ip)
const isInTheWay = ({ addresses }: Listener, ip: string): boolean =>
  !isNumber(ip) || isEverywhere(ip) || addresses.some((address) => address === ip || isEverywhere(address))

function judgeAddress({ role, option, ip }: Listening, addresses: readonly string[]): Finding[] {
  if (!isNumber(ip) || isEverywhere(ip) || ip.startsWith('127.') || addresses.includes(ip.replace(/%.*$/, ''))) return []
  return [
    error(
      `this machine does not have the address ${ip}, but ${addresses.join(', ')}`,
      `the ${role} cannot listen there`,
      `keylime config set ${role} ${option.replace(/(tls_)?port$/, 'ip')} ADDRESS`,
    ),
  ]
}

/** Of this program or of upstream's, whose names begin alike. */
const isKeylime = (command: string): boolean => /(^|[/\s])keylime/.test(command)

import type { agentOptions } from '../../config/agent.ts'
import type { Config } from '../../config/load.ts'

type AgentConfig = Pick<Config<typeof agentOptions>, 'values' | 'origin'>

/** Of an agent that brings its evidence. */
export interface PushSettings {
  /** https, perhaps with a path. */
  verifierUrl: string
  /** Of each request, without the time that its body takes. */
  timeoutMs: number
  /** Under which the registrar knows the machine; null unless the operator has said it: nobody calls a machine that listens nowhere. */
  contact: { ip: string; port: number } | null
}

/** What a command line says in place of the configuration. */
export interface PushArguments {
  /** The program is the one that brings evidence, or was told to. */
  push?: boolean
  timeoutMs?: number
}

/** Verifiers answer within this time, and judge later (push-wire 1). */
const PUSH_TIMEOUT_MS = 5000

const listensNowhere = ({ mode, ip }: AgentConfig['values'], { push }: PushArguments): boolean =>
  push === true || mode === 'push' || (mode === 'default' && ip === '')

/** Null for an agent that listens. */
export function pushSettings({ values, origin }: AgentConfig, given: PushArguments): PushSettings | null {
  if (!listensNowhere(values, given)) return null
  const isChosen = origin.contact_ip !== 'default'
  return {
    verifierUrl: values.verifier_url,
    timeoutMs: given.timeoutMs ?? PUSH_TIMEOUT_MS,
    contact: isChosen ? { ip: values.contact_ip, port: values.contact_port } : null,
  }
}

/** Where an agent cannot listen, and cannot bring anything either. */
export function pushProblems({ values }: AgentConfig, given: PushArguments): string[] {
  if (!listensNowhere(values, given))
    return values.ip === ''
      ? ['mode = pull, but no ip on which the agent listens (set it; or mode = push and verifier_url, for a machine that nobody can reach)']
      : []
  return values.verifier_url === ''
    ? [
        'the agent does not listen, and no verifier_url says where to bring its evidence (such as https://verifier.example.com:8881; or set ip, for an agent that is asked)',
      ]
    : []
}

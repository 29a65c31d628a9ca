import type { TenantEvent } from '../events.ts'
import { storyJson } from '../explain/render-story.ts'
import { machineJson } from '../list/render-machines.ts'
import type { TenantResult } from '../run-command.ts'

/** One line of JSON an event, for `--json`: `{"event": …}` in snake case. Quotes and keys are left out. */
export function eventJson(event: TenantEvent): string | undefined {
  if (event.type === 'working') return undefined
  const { type, ...facts } = factsOf(event)
  const fields = Object.entries(facts)
    .filter(([name]) => name !== 'reply')
    .map(([name, value]) => [snake(name), typeof value === 'bigint' ? value.toString() : value])
  return JSON.stringify({ event: type, ...Object.fromEntries(fields) })
}

function factsOf(event: Exclude<TenantEvent, { type: 'working' }>) {
  if (event.type === 'waiting') return { ...event, lastSeen: timeText(event.lastSeen) }
  return event.type === 'agent_found' && event.comesBy === 'push' ? { ...event, host: null, port: null } : event // nobody calls it
}

/** The result, one object. */
export function resultJson(result: TenantResult): string {
  switch (result.type) {
    case 'done':
      return JSON.stringify({ result: 'done', agent_id: result.agentId, summary: result.summary })
    case 'ids':
      return JSON.stringify({ result: 'agents', where: result.where, ids: result.ids })
    case 'agents':
      return JSON.stringify({ result: 'agents', where: 'verifier', agents: result.agents, not_enrolled: result.notEnrolled })
    case 'machines': {
      const { machines, agents, notEnrolled } = result
      return JSON.stringify({ result: 'agents', where: 'verifier', machines: machines.map(machineJson), agents, not_enrolled: notEnrolled })
    }
    case 'status':
      return JSON.stringify({
        result: 'status',
        agent_id: result.agentId,
        registrar: result.registered ?? null,
        verifier: result.status ?? null,
        payload: result.payload ?? null,
      })
    case 'revocations':
      return JSON.stringify({ result: 'revocations', revocations: result.revocations })
    case 'story':
      return JSON.stringify(storyJson(result.story))
    case 'listing':
      return JSON.stringify(result.json)
    case 'policy': {
      const { kind, action, name, response } = result.answer
      return JSON.stringify({ result: 'policy', kind, action, name, results: response.results })
    }
  }
}

const timeText = (seconds: number | null): string | null => (seconds === null ? null : new Date(seconds * 1000).toISOString())

const snake = (name: string) => name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

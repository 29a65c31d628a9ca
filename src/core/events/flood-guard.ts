import type { VerifierEvent } from './verifier-event.ts'

/** So many at once, then one a minute: a machine that fails and recovers in turns cannot fill the disk of the verifier. */
const BURST = 20
const REFILL_MS = 60_000
const MAX_KEYS = 100_000

interface Budget {
  left: number
  at: number
  suppressed: number
  /** The last that was told of this machine is that it is good again. */
  isGood?: boolean
}

/** Lets an event pass, with the number of those that it held back before; null when it holds it back. */
export type FloodGuard = (event: VerifierEvent, now: number) => VerifierEvent | null

/**
 * Bounds the events that others can cause at will: what a machine does again and again, and requests that are refused. Commands of operators, the
 * first release of V and revocations always pass, so nothing that matters can be hidden behind a flood. A failure that is to end attestation has a budget of its
 * own, which only a machine uses up that proves itself again by itself (`auto_recover_attestation_failures`); and it passes whenever the last that was told of the
 * machine is better: what is written never says that a machine is good when it is not.
 */
export function createFloodGuard(): FloodGuard {
  const budgets = new Map<string, Budget>()

  function budgetOf(key: string, now: number): Budget {
    const budget = budgets.get(key) ?? { left: BURST, at: now, suppressed: 0 }
    const gained = Math.floor(Math.max(0, now - budget.at) / REFILL_MS)
    if (gained > 0) {
      budget.left = Math.min(BURST, budget.left + gained)
      budget.at += gained * REFILL_MS
    } else if (now < budget.at) budget.at = now // the clock was set back
    budgets.delete(key)
    budgets.set(key, budget) // at the end: the first is the one that was used longest ago
    if (budgets.size > MAX_KEYS) forgetOlderHalf(budgets)
    return budget
  }

  return (event, now) => {
    if (event.type === 'verifier_stopped') {
      const untold = [...budgets.values()].reduce((sum, { suppressed }) => sum + suppressed, 0)
      return untold > 0 ? { ...event, suppressed: untold } : event
    }
    const key = keyOf(event)
    if (key === null) {
      if (BETTER.has(event.type) && 'agent_id' in event) budgetOf(ofAgent(event.agent_id!), now).isGood = true
      return event
    }
    const budget = budgetOf(key, now)
    const told = event.type === 'agent_failed' ? budgets.get(ofAgent(event.agent_id)) : undefined
    if (budget.left === 0 && !told?.isGood) {
      budget.suppressed++
      return null
    }
    budget.left = Math.max(0, budget.left - 1)
    if (told) told.isGood = false
    if (BETTER.has(event.type)) budget.isGood = true
    const { suppressed } = budget
    budget.suppressed = 0
    return suppressed > 0 ? ({ ...event, suppressed } as VerifierEvent) : event
  }
}

/** Many in one go: to find the first of a Map takes longer the more were deleted before it. */
function forgetOlderHalf(budgets: Map<string, Budget>): void {
  for (const [key] of budgets) {
    if (budgets.size <= MAX_KEYS / 2) return
    budgets.delete(key)
  }
}

/** After these a machine is good, or may be. */
const BETTER: ReadonlySet<VerifierEvent['type']> = new Set([
  'agent_enrolled',
  'agent_updated',
  'agent_reactivated',
  'agent_attested',
  'agent_recovered',
  'agent_back',
  'v_released',
])

const ofAgent = (agentId: string): string => `agent:${agentId}`

/** Whose budget an event takes from; null for what is never held back. */
function keyOf(event: VerifierEvent): string | null {
  switch (event.type) {
    case 'agent_failed':
      return event.recoverable ? ofAgent(event.agent_id) : `end:${event.agent_id}`
    case 'v_released':
      return event.again ? ofAgent(event.agent_id) : null // a machine that takes none, and comes and goes
    case 'agent_recovered':
    case 'agent_back':
    case 'agent_unreachable':
    case 'delivery_refused':
    case 'delivery_ended':
      return ofAgent(event.agent_id)
    case 'judging_budget_exceeded':
      return event.agent_id === null ? 'public' : ofAgent(event.agent_id)
    case 'attestations_late':
    case 'attestations_in_time':
      return 'lag'
    case 'request_refused':
      return `peer:${event.peer.kind}`
    default:
      return null
  }
}

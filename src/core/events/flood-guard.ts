import type { VerifierEvent } from './verifier-event.ts'

/** So many at once, then one a minute: a machine that fails and recovers in turns cannot fill the disk of the verifier. */
const BURST = 20
const REFILL_MS = 60_000
const MAX_KEYS = 100_000

interface Budget {
  left: number
  at: number
  suppressed: number
}

/** Lets an event pass, with the number of those that it held back before; null when it holds it back. */
export type FloodGuard = (event: VerifierEvent, now: number) => VerifierEvent | null

/**
 * Bounds the events that others can cause at will: what a machine does again and again, and requests that are refused. Commands of operators, the
 * first release of V, revocations and failures that end attestation always pass, so nothing that matters can be hidden behind a flood.
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
    if (key === null) return event
    const budget = budgetOf(key, now)
    if (budget.left === 0) {
      budget.suppressed++
      return null
    }
    budget.left--
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

/** Whose budget an event takes from; null for what is never held back. */
function keyOf(event: VerifierEvent): string | null {
  switch (event.type) {
    case 'agent_failed':
      return event.recoverable ? `agent:${event.agent_id}` : null
    case 'v_released':
      return event.again ? `agent:${event.agent_id}` : null // a machine that takes none, and comes and goes
    case 'agent_recovered':
    case 'agent_back':
    case 'agent_unreachable':
    case 'delivery_refused':
    case 'delivery_ended':
      return `agent:${event.agent_id}`
    case 'judging_budget_exceeded':
      return event.agent_id === null ? 'public' : `agent:${event.agent_id}`
    case 'request_refused':
      return `peer:${event.peer.kind}`
    default:
      return null
  }
}

import fs from 'node:fs'
import { until } from '../../servers.ts'
import { enrolmentBody, type SimulatedAgent, simulatedAgent } from '../../simulated-agent.ts'
import type { VerifierProcess } from './verifier-process.ts'

const INTERVAL_MS = 1000

/** Honest machines that note when they are asked. */
export interface Fleet {
  /** The most that one of them was asked later than the interval says, since `since`, in milliseconds. Who is not asked at all is late until now. */
  lateness(since: number): number
  stop(): Promise<void>
}

export async function enrolFleet({ admin, ca }: VerifierProcess, count: number): Promise<Fleet> {
  const authority = fs.readFileSync(ca, 'utf8')
  const asked = new Map<SimulatedAgent, number[]>()
  for (let i = 0; i < count; i++) {
    const agent = await simulatedAgent(authority)
    const times: number[] = []
    agent.onQuote = () => times.push(performance.now())
    asked.set(agent, times)
    const { status, message } = await admin.request('POST', `/v2.6/agents/honest-${i}`, { body: enrolmentBody(agent) })
    if (status !== 200) throw new Error(`honest-${i} cannot be enrolled: ${status} ${message}`)
  }
  await until('all to be attested', () => [...asked.values()].every((times) => times.length >= 3), 60)
  return {
    lateness(since) {
      const now = performance.now()
      return Math.max(...[...asked.values()].map((times) => longestGap(times, since, now))) - INTERVAL_MS
    },
    async stop() {
      for (const agent of asked.keys()) await agent.stop()
    },
  }
}

function longestGap(times: readonly number[], since: number, now: number): number {
  const first = times.findLastIndex((at) => at <= since)
  const relevant = [...times.slice(Math.max(first, 0)), now]
  return Math.max(...relevant.slice(1).map((at, i) => at - Math.max(relevant[i]!, since - INTERVAL_MS)))
}

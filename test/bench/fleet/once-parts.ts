import { fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { figureOf, figureText } from '../../../src/tools/lab/figures.ts'
import { POLICY_PATH } from '../../../src/tools/lab/lab-fleet.ts'
import { measuredFiles } from '../../../src/tools/lab/measured-files.ts'
import { withFleet } from '../../../src/tools/lab/run-fleet.ts'
import { execArgv } from '../push/bench-verifier.ts'
import { type Given, largest } from './given.ts'
import type { PolicyChange, Took } from './operator.ts'
import { each, optionsOf, type Part, type Row } from './run.ts'

const MANY = 1000

/** What is done once to a whole fleet. */
export const ONCE_PARTS: Record<string, Part> = {
  add: async (given) => [
    `${largest(given)} machines are added, by the size of the stored policy that they share`,
    await each([0, 100_000, 500_000], (digests) => add(given, digests)),
  ],
  register: async (given) => [`${largest(given)} machines register, each with an endorsement key of its own`, [await register(given)]],
  start: async (given) => ['a start with stored machines', [await start(given)]],
  update: async (given) => ['the policy that all machines share is changed', [await update(given)]],
  'fan-out': async (given) => [
    'one machine is revoked, and the others are told',
    await each(fromMany(given), (count) => fanOut(given, count)),
  ],
}

/** Sizes from a thousand on; the largest, if there is none. */
function fromMany(given: Given): number[] {
  const many = given.sizes.filter((count) => count >= MANY)
  return many.length > 0 ? many : [largest(given)]
}

/** Each is attested for the first time meanwhile. */
function add(given: Given, policyDigests: number): Promise<Row> {
  const options = optionsOf(given, { policyDigests })
  return withFleet(options, async ({ enrolled, enrolCpuMs, firstRoundSeconds, verifier }) => ({
    'digests of the policy': policyDigests,
    machines: options.count,
    'added/s': enrolled.toFixed(0),
    'CPU ms of an add': enrolCpuMs.toFixed(2),
    'all attested once after, s': firstRoundSeconds.toFixed(1),
    'PSS MB': verifier.pssMb().toFixed(0),
  }))
}

function register(given: Given): Promise<Row> {
  const options = optionsOf(given, { register: true })
  return withFleet(options, async ({ registered, registerCpuMs, enrolled }) => ({
    machines: options.count,
    'registered/s': registered!.toFixed(0),
    'CPU ms of a registration': registerCpuMs.toFixed(2),
    'added/s': enrolled.toFixed(0),
  }))
}

/** Killed, and started again on what is stored. */
function start(given: Given): Promise<Row> {
  const options = optionsOf(given)
  return withFleet(options, async ({ fleet, verifier }) => {
    await sleep(2000)
    const watch = async (until: () => boolean) => {
      while (!until()) await sleep(5)
      return performance.timeOrigin + performance.now()
    }
    const restarted = verifier.restart()
    await sleep(100) // it was killed
    const before = fleet.machines.map((machine) => machine.quotes)
    const killed = fleet.quotes()
    const first = watch(() => fleet.quotes() > killed)
    const all = watch(() => fleet.machines.every((machine, i) => machine.quotes > before[i]!))
    const at = await restarted
    return {
      machines: options.count,
      'interval s': options.interval,
      'first quote after, s': (((await first) - at) / 1000).toFixed(2),
      'all asked after, s': (((await all) - at) / 1000).toFixed(2),
    }
  })
}

/** Changed, and counts for all. */
function update(given: Given): Promise<Row> {
  const options = optionsOf(given, { policyDigests: 100_000 })
  return withFleet(options, async ({ verifier }) => {
    const files = measuredFiles(options.logLines + 200)
    const policies = [1, 2, 3, 4, 5].map((more) => files.policy(options.policyDigests + more))
    const took = await asOperator({ verifier: verifier.adminOptions!, path: POLICY_PATH, policies })
    return { machines: options.count, 'answered after, ms': figureText(figureOf(took), 0), 'PSS MB': verifier.pssMb().toFixed(0) }
  })
}

async function asOperator(change: PolicyChange): Promise<Took> {
  const operator = fork(path.join(import.meta.dirname, 'operator.ts'), { execArgv: execArgv() })
  operator.send(change)
  const told = await Promise.race([once(operator, 'message'), once(operator, 'exit')])
  if (!Array.isArray(told[0])) throw new Error('the operator ended before the policy was changed')
  return told[0]
}

/** An operator revokes the first of them. */
function fanOut(given: Given, count: number): Promise<Row> {
  const options = optionsOf(given, { count })
  return withFleet(options, async ({ fleet, verifier }) => {
    const [revoked, ...others] = fleet.machines
    const [began, cpu] = [performance.now(), verifier.cpuMs()]
    const { status, message } = await verifier.admin.request('PUT', `/v2.6/agents/${revoked!.id}/revoke`, {})
    if (status !== 200) throw new Error(`it is not revoked: ${status} ${message}`)
    while (others.some(({ noticedAt }) => noticedAt.length === 0) && performance.now() - began < 120_000) await sleep(20)
    const took = others.flatMap(({ noticedAt: [at] }) => (at === undefined ? [] : [at - began])).toSorted((a, b) => a - b)
    const after = (share: number) => took[Math.ceil(share * others.length) - 1]?.toFixed(0) ?? 'not at all'
    return {
      machines: count,
      'half were told after, ms': after(0.5),
      '99 % after, ms': after(0.99),
      'all after, ms': after(1),
      'CPU ms each, attestations included': ((verifier.cpuMs() - cpu) / others.length).toFixed(3),
    }
  })
}

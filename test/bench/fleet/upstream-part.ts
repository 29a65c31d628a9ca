import fs from 'node:fs'
import path from 'node:path'
import type { LabVerifier, LabVerifierOptions } from '../../../src/tools/lab/lab-verifier.ts'
import { Deployment } from '../../interop/deployment.ts'
import { stopAll } from '../../interop/processes.ts'
import { CURRENT, installRelease } from '../../interop/upstream.ts'
import { adminClient } from '../../servers.ts'
import { signalTree, treeCpuMs, treePssMb } from '../process-figures.ts'
import { type Given, largest } from './given.ts'
import { type Part, type Row, steady } from './run.ts'

const MOST = 100
const SIDES = { registrar: 'theirs', verifier: 'theirs', tenant: 'theirs', agent: 'ours' } as const

/** The real verifier of upstream and ours, in turns, with the same machines. It is installed into the cache of `npm run interop`. */
export const UPSTREAM_PARTS: Record<string, Part> = {
  upstream: async (given) => {
    await installRelease(CURRENT)
    const count = Math.min(MOST, largest(given))
    const rows: Row[] = []
    for (const interval of [0, 2])
      for (const [verifier, start] of Object.entries(VERIFIERS))
        rows.push(await steady(asked(given, interval, count), { count, ...start }, { first: { verifier } }))
    return [`${count} machines at our verifier and at Keylime ${CURRENT}, without a pause and at an interval of 2 s`, rows]
  },
}

const asked = (given: Given, interval: number, count: number): Given => ({ ...given, interval, sizes: [count] })

const VERIFIERS: Record<string, { start?: (options: LabVerifierOptions) => Promise<LabVerifier> }> = {
  ours: {},
  'upstream, one process': { start: startUpstream(1) },
  'upstream, a process for each processor': { start: startUpstream(0) },
}

/** @param workers as its `num_workers`. */
function startUpstream(workers: number) {
  return async ({ directory, interval }: LabVerifierOptions): Promise<LabVerifier> => {
    const deployment = new Deployment(path.join(directory, 'upstream'), SIDES, { quoteInterval: interval, workers })
    await deployment.start()
    const [pid, { dir, port }] = [deployment.pidOf('verifier'), { dir: deployment.at('verifier'), port: deployment.ports.verifier }]
    const admin = adminClient(dir, port)
    return {
      pid,
      ca: fs.readFileSync(path.join(dir, 'cv_ca/cacert.crt'), 'utf8'),
      admin,
      adminOptions: null,
      registrar: null,
      metrics: async () => '',
      cpuMs: () => treeCpuMs(pid),
      pssMb: () => treePssMb(pid),
      signal: (signal) => signalTree(pid, signal),
      restart: () => Promise.reject(new Error('not of upstream')),
      async stop() {
        await admin.close()
        await stopAll()
      },
    }
  }
}

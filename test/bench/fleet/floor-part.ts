import { fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import { makeSelfSigned } from '../../../src/core/pki/issue.ts'
import { makeKeyPair, privateKeyPem } from '../../../src/core/pki/keys.ts'
import type { ApiClient } from '../../../src/io/http/api-client.ts'
import type { LabVerifier, LabVerifierOptions } from '../../../src/tools/lab/lab-verifier.ts'
import { treeCpuMs, treePssMb } from '../process-figures.ts'
import { execArgv } from '../push/bench-verifier.ts'
import type { FloorMachine } from './floor-client.ts'
import { each, type Part, steady } from './run.ts'

const DAY_MS = 86_400_000

/** What a client that only asks and verifies signatures costs with the same machines: no verifier in this runtime costs less, or needs less memory. */
export const FLOOR_PARTS: Record<string, Part> = {
  floor: async (given) => [
    'machines that are only asked, and whose signatures are verified: what this runtime costs at least',
    await each(given.sizes, (count) => steady(given, { count, start: startFloor })),
  ],
  'floor-closing': async (given) => [
    'the same at an interval of 8 s, with machines that keep their connections, or close them after 5 s and resume their sessions',
    await each(['keep', 'closing'], (kind) =>
      steady({ ...given, interval: 8 }, { shares: kind === 'keep' ? {} : { [kind]: 1 }, start: startFloor }, { first: { kind } }),
    ),
  ],
}

async function startFloor({ interval }: LabVerifierOptions): Promise<LabVerifier> {
  const pair = await makeKeyPair({ type: 'ecdsa' })
  const times = { notBefore: Date.now() - DAY_MS, notAfter: Date.now() + DAY_MS }
  const { pem: cert } = await makeSelfSigned({ commonName: 'floor', ...pair, serial: 1n, ...times, alternativeNames: [] })
  const child = fork(path.join(import.meta.dirname, 'floor-client.ts'), { execArgv: execArgv() })
  child.send({ start: { cert, key: privateKeyPem(pair.privateKey), intervalMs: interval * 1000 } })
  return {
    pid: child.pid!,
    ca: cert,
    admin: takesMachines((machine) => child.send({ machine })),
    adminOptions: null,
    registrar: null,
    metrics: async () => '',
    cpuMs: () => treeCpuMs(child.pid!),
    pssMb: () => treePssMb(child.pid!),
    signal: (signal) => void child.kill(signal),
    restart: () => Promise.reject(new Error('it keeps nothing')),
    async stop() {
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

/** Takes enrolments as the API of a verifier does. */
function takesMachines(take: (machine: FloorMachine) => void): ApiClient {
  return {
    async request(_method, _path, { body } = {}) {
      const {
        cloudagent_ip: host,
        cloudagent_port: port,
        ak_tpm: ak,
      } = body as { cloudagent_ip?: string; cloudagent_port: number; ak_tpm: string }
      if (host !== undefined) take({ host, port, ak })
      return { status: 200, message: 'Success', results: {} } as never
    },
    async close() {},
  }
}

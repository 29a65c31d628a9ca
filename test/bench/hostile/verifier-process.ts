import fs from 'node:fs'
import type { ApiClient } from '../../../src/io/http/api-client.ts'
import { KEYLIME, type Service, service } from '../../e2e/deployment.ts'
import { adminClient, freePorts, temporaryKeylimeDir, until } from '../../servers.ts'

/** The built executable as a verifier, in a directory of its own. */
export interface VerifierProcess {
  readonly port: number
  /** Path of the CA's certificate. */
  readonly ca: string
  readonly admin: ApiClient
  readonly service: Service
  stop(): Promise<void>
}

export async function startVerifierProcess(): Promise<VerifierProcess> {
  if (!fs.existsSync(KEYLIME)) throw new Error(`${KEYLIME} is missing: run "npm run build"`)
  const [port] = (await freePorts(1)) as [number]
  const home = temporaryKeylimeDir({
    KEYLIME_VERIFIER_PORT: String(port),
    KEYLIME_VERIFIER_HOST_REGISTRAR: 'False',
    KEYLIME_VERIFIER_QUOTE_INTERVAL: '1',
    KEYLIME_VERIFIER_RETRY_INTERVAL: '0.2',
    KEYLIME_VERIFIER_EXPONENTIAL_BACKOFF: 'False',
    KEYLIME_VERIFIER_MAX_RETRIES: '100',
  })
  const process = service(['verifier'], home.env as Record<string, string>)
  await until('the verifier', () => process.log().includes('verifier serves on'), 30).catch((error: Error) => {
    throw new Error(`${error.message}:\n${process.log()}`)
  })
  const admin = adminClient(home.dir, port)
  return {
    port,
    ca: `${home.dir}/cv_ca/cacert.crt`,
    admin,
    service: process,
    async stop() {
      await admin.close()
      await process.kill()
      home.remove()
    },
  }
}

/** Forgets the peak of a process' memory, so that the next one can be read. */
export const forgetPeak = (pid: number): void => fs.writeFileSync(`/proc/${pid}/clear_refs`, '5')

/** Most memory that a process had since then, in bytes. */
export function peakMemory(pid: number): number {
  const kilobytes = /^VmHWM:\s+(\d+) kB/m.exec(fs.readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]
  return Number(kilobytes) * 1024
}

/** The longest turn of the event loop that the guard told of in a part of the log, in milliseconds; 0 for none. */
export const longestTurn = (log: string): number =>
  Math.max(0, ...[...log.matchAll(/event loop was held up for (\d+) ms/g)].map(([, milliseconds]) => Number(milliseconds)))

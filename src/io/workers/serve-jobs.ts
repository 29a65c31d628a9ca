import { parentPort } from 'node:worker_threads'
import { type ErrorMessage, errorMessage } from './error-message.ts'
import type { JobTable } from './job.ts'

export interface JobMessage {
  name: string
  input: unknown
}
/** `cpuMs`: processor time of the worker up to then, so that the time of the next job can be told from it. */
export type WorkerMessage = { cpuMs: number } & ({ ready: true } | { output: unknown } | { error: ErrorMessage })

const cpuMs = () => cpuMilliseconds(process.threadCpuUsage())
export const cpuMilliseconds = ({ user, system }: NodeJS.CpuUsage): number => (user + system) / 1000

/** The worker's side: does one job after another. @param transferOf memory in an output that is handed over and not copied. */
export function serveJobs(jobs: JobTable, transferOf: (output: unknown) => ArrayBuffer[]): void {
  const port = parentPort!
  port.on('message', async ({ name, input }: JobMessage) => {
    try {
      const job = jobs[name]
      if (!job) throw new Error(`there is no job ${name}`)
      const output = await job(input as never)
      port.postMessage({ output, cpuMs: cpuMs() } satisfies WorkerMessage, transferOf(output))
    } catch (error) {
      port.postMessage({ error: errorMessage(error), cpuMs: cpuMs() } satisfies WorkerMessage)
    }
  })
  port.postMessage({ ready: true, cpuMs: cpuMs() } satisfies WorkerMessage)
}

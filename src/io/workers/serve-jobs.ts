import { parentPort } from 'node:worker_threads'
import { type ErrorMessage, errorMessage } from './error-message.ts'
import type { JobTable } from './job.ts'

export interface JobMessage {
  name: string
  input: unknown
}
export type WorkerMessage = 'ready' | { output: unknown } | { error: ErrorMessage }

/** The worker's side: does one job after another. @param transferOf memory in an output that is handed over and not copied. */
export function serveJobs(jobs: JobTable, transferOf: (output: unknown) => ArrayBuffer[]): void {
  const port = parentPort!
  port.on('message', async ({ name, input }: JobMessage) => {
    try {
      const job = jobs[name]
      if (!job) throw new Error(`there is no job ${name}`)
      const output = await job(input as never)
      port.postMessage({ output } satisfies WorkerMessage, transferOf(output))
    } catch (error) {
      port.postMessage({ error: errorMessage(error) } satisfies WorkerMessage)
    }
  })
  port.postMessage('ready' satisfies WorkerMessage)
}

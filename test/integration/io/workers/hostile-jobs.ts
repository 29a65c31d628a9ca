// Runs as a worker: jobs that do what no job should.
import { threadId } from 'node:worker_threads'
import { KeylimeError } from '../../../../src/core/errors.ts'
import { serveJobs } from '../../../../src/io/workers/serve-jobs.ts'

const jobs = {
  thread: () => threadId,
  echo: (input: unknown) => input,
  reverse: (bytes: Uint8Array<ArrayBuffer>) => bytes.reverse(),
  sleep: (ms: number) => new Promise((done) => setTimeout(() => done(ms), ms)),
  forever: () => {
    for (;;);
  },
  memory: () => {
    const all: unknown[] = []
    for (;;) all.push(Array.from({ length: 1000 }, (_, i) => ({ i })))
  },
  exit: () => process.exit(3),
  later: () => {
    setTimeout(() => {
      throw new Error('thrown later')
    })
    return new Promise(() => {})
  },
  refuse: () => {
    const cause = new Error('outer cause', { cause: new Error('inner cause') })
    throw new KeylimeError('policy_not_found', 'there is none', { hint: 'make one', details: { name: 'fleet' }, cause })
  },
  bug: () => {
    throw new RangeError('a bug')
  },
  function: () => () => {},
}
export type HostileJobs = typeof jobs
serveJobs(jobs, (output) => (output instanceof Uint8Array ? [output.buffer as ArrayBuffer] : []))

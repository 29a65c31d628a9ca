import { fork } from 'node:child_process'
import { once } from 'node:events'
import path from 'node:path'
import type { FleetWork } from './fleet-process.ts'

/** A process full of machines. */
export interface Fleet {
  readonly pid: number
  /** One thing after another. @throws Error with what a machine says. */
  ask<Name extends keyof FleetWork>(name: Name, given: Parameters<FleetWork[Name]>[0]): Promise<Awaited<ReturnType<FleetWork[Name]>>>
  end(): Promise<void>
}

export function startFleet(): Fleet {
  const child = fork(path.join(import.meta.dirname, 'fleet-process.ts'), { serialization: 'advanced' })
  return {
    pid: child.pid!,
    async ask(name, given) {
      child.send({ name, given })
      const [said] = (await once(child, 'message')) as [{ answer?: never; failed?: string }]
      if (said.failed !== undefined) throw new Error(`${name}: ${said.failed}`)
      return said.answer as never
    },
    async end() {
      if (child.exitCode !== null) return
      child.kill('SIGKILL')
      await once(child, 'exit')
    },
  }
}

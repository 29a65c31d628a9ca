import { setTimeout as sleep } from 'node:timers/promises'
import type { CpuProfile } from './fold.ts'

const MICROS = 500

/** Profiles a process of Node.js that was started with `--inspect`. @param port of its inspector. */
export async function profileOf(port: number, seconds: number): Promise<CpuProfile> {
  const [{ webSocketDebuggerUrl }] = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as [
    { webSocketDebuggerUrl: string },
  ]
  const socket = new WebSocket(webSocketDebuggerUrl)
  const waiting = new Map<number, PromiseWithResolvers<unknown>>()
  socket.onmessage = ({ data }) => {
    const { id, result, error } = JSON.parse(String(data)) as { id?: number; result?: unknown; error?: { message: string } }
    if (id === undefined) return
    if (error) waiting.get(id)?.reject(new Error(error.message))
    else waiting.get(id)?.resolve(result)
  }
  await new Promise((done, failed) => {
    socket.onopen = done
    socket.onerror = () => failed(new Error(`there is no inspector on port ${port}`))
  })
  let count = 0
  const ask = (method: string, params = {}): Promise<unknown> => {
    const answer = Promise.withResolvers<unknown>()
    waiting.set(++count, answer)
    socket.send(JSON.stringify({ id: count, method, params }))
    return answer.promise
  }
  await ask('Profiler.enable')
  await ask('Profiler.setSamplingInterval', { interval: MICROS })
  await ask('Profiler.start')
  await sleep(seconds * 1000)
  const { profile } = (await ask('Profiler.stop')) as { profile: CpuProfile }
  socket.close()
  return profile
}

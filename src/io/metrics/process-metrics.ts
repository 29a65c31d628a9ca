import fs from 'node:fs'
import type { Metrics } from './metrics.ts'

/** What every program tells of itself, by the names that Prometheus has for it. */
export function addProcessMetrics(metrics: Metrics): void {
  const startedAt = Date.now() / 1000 - process.uptime()
  metrics.total({ name: 'process_cpu_seconds_total', help: 'Processor time of the process with all its threads.' }, (counter) => {
    const { user, system } = process.cpuUsage()
    counter.inc((user + system) / 1e6)
  })
  const gauge = (name: string, help: string, read: () => number) => metrics.gauge({ name, help }, (own) => own.set(read()))
  gauge('process_resident_memory_bytes', 'Memory of the process that is in RAM.', () => process.memoryUsage.rss())
  gauge('process_start_time_seconds', 'When the process was started, in seconds since the epoch.', () => startedAt)
  gauge('process_open_fds', 'File descriptors that are open: files and connections.', () => openDescriptors())
}

function openDescriptors(): number {
  try {
    return fs.readdirSync('/proc/self/fd').length - 1 // one is that of the reading itself
  } catch {
    return 0
  }
}

import { printable } from '../../core/printable.ts'
import { pythonLogLine } from '../../core/python/python-text.ts'

const LEVELS = ['DEBUG', 'INFO', 'WARNING', 'ERROR', 'CRITICAL']

export type PythonLogger = (level: 'DEBUG' | 'INFO' | 'WARNING' | 'ERROR' | 'CRITICAL', text: string) => void

/** Logs as upstream's programs do: to stdout with times when there is a logging.conf, else to stderr. Scripts read these lines. */
export function pythonLogger(name: string, { configured, level: lowest }: { configured: boolean; level: string }): PythonLogger {
  const stream = configured ? process.stdout : process.stderr
  return (level, text) => {
    if (LEVELS.indexOf(level) < LEVELS.indexOf(lowest)) return
    const lines = text.split('\n').map(printable).join('\n')
    stream.write(`${pythonLogLine(configured, { name, level, text: lines, now: Date.now() })}\n`)
  }
}

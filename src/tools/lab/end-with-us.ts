import { spawn } from 'node:child_process'
import type { Socket } from 'node:net'

/**
 * Waits for a line on standard input. When it ends without one, the process that would have written it was killed: then the other process is ended, if it is still the one with this
 * directory, and the directory removed.
 */
const WATCH = `read -r line && exit 0
while grep -qzxF "KEYLIME_DIR=$2" "/proc/$1/environ" 2>/dev/null; do kill -KILL "$1"; sleep 0.1; done
rm -rf "$2"`

/** Ends a verifier when this process is gone, however it went; also by SIGKILL, of which nobody is told. @param directory of that verifier alone. @returns ends the watch. */
export function endWithUs(pid: number, directory: string): () => void {
  const watch = spawn('/bin/sh', ['-c', WATCH, 'sh', String(pid), directory], { stdio: ['pipe', 'ignore', 'ignore'], detached: true })
  watch.on('error', () => undefined) // a host without a shell
  watch.stdin.on('error', () => undefined)
  watch.unref()
  ;(watch.stdin as Socket).unref() // it keeps nobody waiting
  return () => void watch.stdin.end('\n')
}

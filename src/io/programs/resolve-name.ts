import { execFile } from 'node:child_process'
import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'

export interface Resolving {
  /** Has the PATH in which getent is. */
  readonly env: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
}

/**
 * The addresses of a name as this machine's own rules have it (hosts file, DNS and whatever nsswitch.conf says), in their order. getent(1) does it, because
 * it can be ended: a lookup in this process would keep it alive as long as a name server hangs. @returns none for a name that nobody knows. @throws the
 * reason of the signal.
 */
export async function resolveName(name: string, { env, signal }: Resolving): Promise<string[]> {
  if (isIP(name)) return [name]
  const { missing, text } = await getent(name, { env, signal })
  signal.throwIfAborted()
  if (missing) return (await lookup(name, { all: true }).catch(() => [])).map(({ address }) => address)
  return [...new Set(text.split('\n').map((line) => line.split(/\s/)[0]!))].filter((address) => isIP(address))
}

const getent = (name: string, { env, signal }: Resolving) =>
  new Promise<{ missing: boolean; text: string }>((resolve) => {
    execFile('getent', ['ahosts', '--', name], { env, signal, killSignal: 'SIGKILL' }, (error, text) =>
      resolve({ missing: (error as NodeJS.ErrnoException | null)?.code === 'ENOENT', text }),
    )
  })

import type { Environment } from '../../config/files.ts'
import { loadConfig } from '../../config/load.ts'
import { holdsSecret } from '../../config/option.ts'
import { CONFIGURED_ROLES, TABLES } from '../../config/tables.ts'
import type { Examined } from './examine.ts'

/** The same findings without secrets: what a check quotes, such as a line of a file, may hold one. */
export function maskFindings(examined: readonly Examined[], secrets: readonly string[]): Examined[] {
  const mask = (text: string) => maskSecrets(text, secrets)
  return examined.map(({ role, findings }) => ({
    role,
    findings: findings.map(({ what, means, fix, ...kept }) => ({ ...kept, what: mask(what), means: mask(means), fix: fix && mask(fix) })),
  }))
}

const MASK = '[secret]'
/** Shorter ones would be found in every other word. */
const SHORTEST = 4

/** The secrets that the configuration of this machine holds, of all roles, longest first. */
export function secretsOf(env: Environment): string[] {
  const found = CONFIGURED_ROLES.flatMap((role) => {
    const { written } = loadConfig(role, TABLES[role], { env, tolerant: true })
    return Object.entries(written).flatMap(([name, value]) =>
      holdsSecret(TABLES[role][name]!, value) && value.length >= SHORTEST ? [value] : [],
    )
  })
  return [...new Set(found)].sort((a, b) => b.length - a.length)
}

/** Masks private keys, passwords in URLs, and the given secrets wherever they stand: what a report says comes from many places. */
export function maskSecrets(text: string, secrets: readonly string[]): string {
  const known = secrets.reduce((masked, secret) => masked.replaceAll(secret, MASK), text)
  return known.replace(/-----BEGIN ([A-Z ]*PRIVATE KEY)-----[\s\S]*?(-----END \1-----|$)/g, MASK).replace(/\/\/[^/\s@"']+@/g, `//${MASK}@`)
}

import os from 'node:os'
import { effectiveSettings, shownConfig } from '../../config/effective.ts'
import type { Environment } from '../../config/files.ts'
import { TABLES } from '../../config/tables.ts'
import { makePackage } from '../../core/payload/certificate-package.ts'
import { versionText } from '../../io/service/version.ts'
import type { Examined } from './examine.ts'
import { findingLines } from './finding-lines.ts'
import { maskSecrets } from './mask-secrets.ts'

/** A zip for a bug report: findings, versions and the effective configuration, with every secret masked; `examined` has none any more. No key, no certificate and no state is in it. */
export async function packReport(
  examined: readonly Examined[],
  env: Environment,
  { now, secrets }: { now: number; secrets: readonly string[] },
): Promise<Buffer> {
  const texts: Record<string, string> = {
    'findings.txt': lines(examined.flatMap(findingLines)),
    'findings.json': `${JSON.stringify(examined, null, 2)}\n`,
    'versions.txt': lines([versionText(), `${os.type()} ${os.release()} ${os.arch()}`, `at ${new Date(now).toISOString()}`]),
  }
  for (const { role } of examined)
    texts[`configuration/${role}.conf`] = lines(shownConfig(effectiveSettings(role, TABLES[role], { env }), { origin: true, json: false }))
  const entries = Object.entries(texts).map(([name, text]) => ({ name, data: Buffer.from(maskSecrets(text, secrets)) }))
  return makePackage(entries, now)
}

const lines = (of: readonly string[]): string => of.map((line) => `${line}\n`).join('')

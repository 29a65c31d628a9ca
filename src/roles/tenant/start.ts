import { caOptions } from '../../config/ca.ts'
import type { Environment } from '../../config/files.ts'
import { loadConfig } from '../../config/load.ts'
import { tenantOptions } from '../../config/tenant.ts'
import { systemClock } from '../../io/clock.ts'
import type { Report } from './events.ts'
import { openTenantContext, type TenantContext } from './tenant-context.ts'
import type { TenantOptions } from './tenant-options.ts'

/** Loads the configuration, opens the clients, runs `work` and closes everything, however it ends. */
export async function withTenant<T>(
  options: TenantOptions,
  env: Environment,
  report: Report,
  work: (context: TenantContext) => Promise<T>,
): Promise<T> {
  const { values: config, warnings, keylimeDir } = loadConfig('tenant', tenantOptions, { env })
  const { values: caConfig } = loadConfig('ca', caOptions, { env })
  for (const text of warnings) report({ type: 'warning', text })
  const context = await openTenantContext({ options, config, caConfig, env, keylimeDir, clock: systemClock, report })
  try {
    return await work(context)
  } finally {
    await context.close()
  }
}

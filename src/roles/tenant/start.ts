import { systemClock } from '../../io/clock.ts'
import type { Report } from './events.ts'
import { openTenantContext, type TenantContext } from './tenant-context.ts'
import type { TenantOptions } from './tenant-options.ts'
import type { TenantSettings } from './tenant-settings.ts'

export interface TenantStart {
  readonly options: TenantOptions
  readonly settings: TenantSettings
  readonly report: Report
}

/** Opens the clients, runs `work` and closes everything, however it ends. */
export async function withTenant<T>({ options, settings, report }: TenantStart, work: (context: TenantContext) => Promise<T>): Promise<T> {
  for (const text of settings.warnings) report({ type: 'warning', text })
  const context = await openTenantContext({ ...settings, options, clock: systemClock, report })
  try {
    return await work(context)
  } finally {
    await context.close()
  }
}

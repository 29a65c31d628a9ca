import fs from 'node:fs'
import type { Component, Written } from './files.ts'
import { holdsSecret, isSetBy, isValue, type OptionTable } from './option.ts'

/** A warning for each file that has a password in it and that every user of the machine may read, whether or not another file has the last word. */
export function openSecrets(component: Component, table: OptionTable, settings: readonly Written[]): string[] {
  const open = new Map<string, Set<string>>()
  for (const setting of settings) {
    const found = Object.entries(table).find((entry) => isSetBy(setting, component, entry))
    if (!found || isValue(found[1], setting.value, found[1].default) || !holdsSecret(found[1], setting.value)) continue
    const file = setting.where.replace(/:\d+$/, '')
    open.set(file, (open.get(file) ?? new Set()).add(found[0]))
  }
  return [...open].flatMap(([file, names]) => {
    const mode = modeOf(file)
    if ((mode & 0o004) === 0) return []
    return [
      `${file} can be read by every user of this machine (mode ${mode.toString(8)}), and has a secret in it (${[...names].join(', ')}): run \`chmod o= ${file}\`, and change the secret if someone may have read it`,
    ]
  })
}

const modeOf = (file: string): number => (fs.statSync(file, { throwIfNoEntry: false })?.mode ?? 0) & 0o777

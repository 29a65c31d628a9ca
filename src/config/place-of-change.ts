import fs from 'node:fs'
import path from 'node:path'
import { KeylimeError } from '../core/errors.ts'
import { type Component, type ConfigRoots, type Environment, readComponentFiles } from './files.ts'
import type { Option } from './option.ts'

/** The file that `keylime config set` writes. */
export interface PlaceOfChange {
  readonly file: string
  readonly isNew: boolean
}

/** Files of the administrator that say an option, in the order in which they are read; one that the environment or `--config` names is the only one. */
export function filesThatSay(
  component: Component,
  name: string,
  option: Option<unknown>,
  { env, roots }: { readonly env: Environment; readonly roots: ConfigRoots },
): string[] {
  const { settings } = readComponentFiles(component, env, roots)
  const saying = settings.filter((setting) => says(setting, component, name, option)).map(({ where }) => fileOf(where))
  const named = env[`KEYLIME_${component.toUpperCase()}_CONFIG`]
  return [...new Set(saying)].filter((file) => file === named || file.startsWith(`${roots.etc}/`))
}

const says = ({ section, key }: { section: string; key: string }, component: Component, name: string, option: Option<unknown>) =>
  section === (option.section ?? component) && (key === name || key === option.formerly)

const fileOf = (where: string): string => where.replace(/:\d+$/, '')

/** The drop-in that `keylime config set` makes: behind those of others. */
export const DROP_IN = '90-local.conf'

/**
 * Where a changed option of a role counts. In this order: the file of the administrator that says it now; with `dropIn`, and beside a file of the distribution, the
 * drop-in; the role's own file. A file that the environment or `--config` names is the only one that is read.
 */
export function placeOfChange(
  component: Component,
  name: string,
  option: Option<unknown>,
  { env, roots, dropIn }: { readonly env: Environment; readonly roots: ConfigRoots; readonly dropIn: boolean },
): PlaceOfChange {
  const { files, settings } = readComponentFiles(component, env, roots)
  const [only] = files
  if (files.length === 1 && only === env[`KEYLIME_${component.toUpperCase()}_CONFIG`]) return { file: only!, isNew: false }
  const last = settings.findLast((setting) => says(setting, component, name, option))
  const saying = last && fileOf(last.where)
  const own = path.join(roots.etc, `${component}.conf`)
  const added = path.join(roots.etc, `${component}.conf.d`, DROP_IN)
  if (!dropIn && saying?.startsWith(`${roots.etc}/`)) return { file: saying, isNew: false }
  if (dropIn && saying !== undefined && path.dirname(saying) === path.dirname(added) && saying > added)
    throw new KeylimeError('conflict', `${saying} is read after ${added}, and sets ${name} too`, {
      hint: 'without --drop-in its line is changed',
    })
  const isAgent = component === 'agent'
  const isBeside = files.some((file) => [roots.etc, roots.usrEtc].includes(path.dirname(file)))
  const isOfDistribution = isBeside && !fs.existsSync(own) // it would be hidden by a file in /etc
  const isOverruled = !isAgent && saying !== undefined && path.dirname(saying) === path.join(roots.usrEtc, `${component}.conf.d`)
  const isRead = isBeside || isAgent // other roles read drop-ins only beside a file
  const file = isRead && (dropIn || isOfDistribution || isOverruled) ? added : own
  return { file, isNew: !fs.existsSync(file) }
}

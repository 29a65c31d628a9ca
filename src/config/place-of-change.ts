import fs from 'node:fs'
import path from 'node:path'
import { KeylimeError } from '../core/errors.ts'
import { type Component, type ConfigRoots, type Environment, readComponentFiles } from './files.ts'
import type { Option } from './option.ts'

/** The file that `keylime config set` writes, and why that one. */
export interface PlaceOfChange {
  readonly file: string
  readonly isNew: boolean
  readonly why: string
}

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
  if (files.length === 1 && only === env[`KEYLIME_${component.toUpperCase()}_CONFIG`])
    return { file: only!, isNew: false, why: 'the environment or --config names it' }
  const last = settings.findLast(
    ({ section, key }) => section === (option.section ?? component) && (key === name || key === option.formerly),
  )
  const saying = last?.where.replace(/:\d+$/, '')
  const own = path.join(roots.etc, `${component}.conf`)
  const dropInFile = path.join(roots.etc, `${component}.conf.d`, DROP_IN)
  const isBeside = files.some((file) => path.dirname(file) === roots.etc || path.dirname(file) === roots.usrEtc)
  const isOfDistribution = isBeside && !fs.existsSync(own)
  const isRead = isBeside || component === 'agent' // other roles read drop-ins only beside a file
  if (!dropIn && saying?.startsWith(`${roots.etc}/`)) return { file: saying, isNew: false, why: 'it says so now' }
  if (dropIn && saying !== undefined && path.dirname(saying) === path.dirname(dropInFile) && saying > dropInFile)
    throw new KeylimeError('conflict', `${saying} is read after ${dropInFile}, and says ${name} too`, {
      hint: 'without --drop-in its line is changed',
    })
  if (isRead && (dropIn || isOfDistribution))
    return {
      file: dropInFile,
      isNew: !fs.existsSync(dropInFile),
      why: dropIn ? 'a drop-in was asked for' : `${component}.conf of the distribution stays as it is`,
    }
  return { file: own, isNew: !fs.existsSync(own), why: 'it is the file of the role' }
}

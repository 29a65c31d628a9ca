import fs from 'node:fs'
import path from 'node:path'
import { type Conversion, type Converted, convertSettings, requireSome } from '../../config/convert.ts'
import { describeAsFile } from '../../config/describe.ts'
import { changeFile, fileText } from '../../config/edit-file.ts'
import type { ConfigRoots, Written } from '../../config/files.ts'
import { readIniFile } from '../../config/ini-file.ts'
import { isValue } from '../../config/option.ts'
import { CONFIGURED_ROLES, type ConfiguredRole, TABLES } from '../../config/tables.ts'
import { KeylimeError } from '../../core/errors.ts'
import { textFollowed } from './followed-link.ts'

export interface UpgradeRequest {
  readonly roots: ConfigRoots
  /** None: what is installed. */
  readonly files: readonly string[]
  /** None: every role that something is said of. */
  readonly only: readonly ConfiguredRole[]
  readonly out: string
  /** Write also what is as it should be. */
  readonly always: boolean
  readonly defaults: boolean
}

/** What becomes of one file of today. */
export interface UpgradedRole {
  readonly role: ConfiguredRole
  readonly file: string
  readonly text: string
  readonly options: readonly Converted[]
  /** False: the file is as it should be. */
  readonly isNeeded: boolean
}

export interface Upgrade {
  readonly inputs: readonly string[]
  readonly roles: readonly UpgradedRole[]
  readonly lost: Conversion['lost']
}

/** Reads and converts; writes nothing. @throws KeylimeError `not_found` for a file that is not there, `config_invalid` for one that cannot be read as one. */
export function planUpgrade(request: UpgradeRequest): Upgrade {
  const inputs = request.defaults ? [] : request.files.length > 0 ? request.files : installed(request.roots)
  const conversion = convertSettings(inputs.flatMap(readSettings))
  if (!request.defaults) requireSome(conversion, inputs)
  const said = CONFIGURED_ROLES.filter((role) => request.defaults || conversion.converted.some((one) => one.role === role))
  const roles = (request.only.length > 0 ? request.only : said).map((role) => upgraded(role, conversion, request))
  return { inputs, roles, lost: conversion.lost }
}

function installed({ etc, usrEtc }: ConfigRoots): string[] {
  const isThere = (file: string) => fs.existsSync(file)
  const ofRoles = CONFIGURED_ROLES.flatMap((role) =>
    [etc, usrEtc]
      .map((root) => path.join(root, `${role}.conf`))
      .filter(isThere)
      .slice(0, 1),
  )
  const ofSix = [etc, usrEtc].map((root) => path.join(path.dirname(root), 'keylime.conf')).filter(isThere)
  const found = ofRoles.length > 0 ? ofRoles : ofSix.slice(0, 1)
  if (found.length > 0) return found
  throw new KeylimeError('not_found', `there is no configuration in ${etc} and ${usrEtc}, and no keylime.conf above them`, {
    hint: 'name the file, or write files with all defaults: keylime config upgrade --defaults',
  })
}

function readSettings(file: string): Written[] {
  const text = readText(file)
  const dialect = /^\s*\[agent\]/m.test(text) && !/^\s*\[cloud_/m.test(text) ? 'toml' : 'python'
  const { entries, problems } = readIniFile(text, dialect)
  if (problems.length > 0)
    throw new KeylimeError('config_invalid', problems.map(({ line, message }) => `${file}:${line}: ${message}`).join('\n  '), {
      hint: 'correct the file first; nothing was written',
    })
  return entries.map(({ section, key, value, line }) => ({ section, key, value, where: `${file}:${line}` }))
}

function readText(file: string): string {
  try {
    return textFollowed(file)
  } catch (cause) {
    if (cause instanceof KeylimeError) throw cause
    const isMissing = (cause as NodeJS.ErrnoException).code === 'ENOENT'
    throw new KeylimeError(isMissing ? 'not_found' : 'file_failed', `cannot read ${file}`, {
      cause,
      hint: isMissing ? 'correct the path' : 'try again with sudo',
    })
  }
}

function upgraded(role: ConfiguredRole, { converted, lost }: Conversion, { out, always }: UpgradeRequest): UpgradedRole {
  const options = converted.filter((one) => one.role === role)
  const file = path.join(out, `${role}.conf`)
  const isInPlace = options.every((one) => one.from.where.startsWith(`${file}:`) && isToday(one))
  const hasLost = lost.some(({ from }) => from.where.startsWith(`${file}:`))
  return { role, file, text: textOf(role, options), options, isNeeded: always || hasLost || !isInPlace || options.length === 0 }
}

/** It stands under the name and with the value of today. */
const isToday = ({ role, option, value, from }: Converted): boolean =>
  from.key === option && from.section === (TABLES[role][option]!.section ?? role) && from.value === value

function textOf(role: ConfiguredRole, options: readonly Converted[]): string {
  let text = describeAsFile(role, TABLES[role])
  for (const { option: name, value, isDefault } of options) {
    if (isDefault) continue
    const option = TABLES[role][name]!
    const parsed = option.parse(value)
    const isMeant = (read: string) => isValue(option, read, parsed)
    const change = { section: option.section ?? role, option: name, text: fileText(role, option, inOneLine(value), parsed), isMeant }
    text = changeFile(text, role === 'agent' ? 'toml' : 'python', change).text
  }
  return text
}

/** A list of several lines means the same in one. */
const inOneLine = (value: string): string => value.replace(/\s*\n\s*/g, ' ')

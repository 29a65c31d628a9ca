import { CONFIGURED_ROLES, type ConfiguredRole } from '../../config/tables.ts'
import type { CommandNode, CommandOption } from '../../core/cli/command-tree.ts'
import { EXIT_CODES } from '../../core/cli/exit-codes.ts'
import { kindOfOption } from '../../core/cli/value-kinds.ts'
import { RoffPage } from './roff.ts'

/** Of the program that the manual is of. */
export interface Release {
  readonly version: string
  /** ISO 8601. */
  readonly date: string
}

/** `keylime(1)`: which roles and tools there are. @param pages names of all other pages. */
export function programPage(tree: CommandNode, pages: readonly string[], release: Release): string {
  const page = new RoffPage('keylime', 1, release).name('keylime', tree.describe)
  page.section('SYNOPSIS').synopsis(['keylime ROLE [options]', 'keylime ROLE --help'])
  page.section('DESCRIPTION').text(tree.purpose, 'Each role and tool has a page of its own.')
  page.section('ROLES AND TOOLS')
  for (const { name, describe } of tree.words) page.entry(name, `${sentence(describe)} See keylime-${name}(1).`)
  options(page, 'OPTIONS', tree.options)
  examples(page, tree)
  environment(page)
  return ending(page, pages).toString()
}

/** `keylime-ROLE(1)`: a role or a tool, with all its words. */
export function commandPage(node: CommandNode, release: Release): string {
  const page = new RoffPage(`keylime-${node.name}`, 1, release).name(`keylime-${node.name}`, lowerFirst(node.describe))
  page.section('SYNOPSIS').synopsis(node.usage)
  page.section('DESCRIPTION').text(...node.purpose.split('\n'))
  for (const place of node.wordsShareOptions ? [] : node.places)
    page.entry(place.name.toUpperCase(), placeText(place.describe, place.choices))
  if (node.words.length > 0) page.section('WORDS')
  for (const word of node.words) node.wordsShareOptions ? sharedWord(page, word, node) : ownWord(page, word, node.path)
  options(page, 'OPTIONS', node.options)
  examples(page, node)
  const role = CONFIGURED_ROLES.find((name) => name === node.name)
  environment(page, role)
  if (role) files(page, role)
  return ending(page, ['keylime(1)', ...(role ? [`keylime-${role}.conf(5)`] : [])]).toString()
}

/** The options of such a word are those of the command: named are those that not every word takes. */
function sharedWord(page: RoffPage, word: CommandNode, { words: all }: CommandNode): void {
  const flagsOf = (node: CommandNode) => node.options.map(({ flags }) => flags[0]!)
  const own = flagsOf(word).filter((flag) => !all.every((other) => flagsOf(other).includes(flag)))
  const takes = own.length > 0 ? `\nTakes ${own.map((flag) => `\`${flag}\``).join(', ')}.` : ''
  page.entry(word.name, `${sentence(word.describe)}${takes}`, word.places.map(placeName).join(' '))
}

function ownWord(page: RoffPage, word: CommandNode, above: readonly string[]): void {
  page.subsection(word.path.slice(1).join(' '))
  page.text(...(word.purpose || sentence(word.describe)).split('\n'))
  page.commands([[...above, word.name, ...word.places.map(placeName), ...(word.words.length > 0 ? ['WORD'] : []), '[options]'].join(' ')])
  for (const place of word.places) page.entry(place.name.toUpperCase(), placeText(place.describe, place.choices))
  for (const option of word.options) if (!option.flags.includes('--help')) optionEntry(page, option)
  for (const [command, what] of word.examples) page.text('', `${sentence(upperFirst(what))}`).commands([command])
  for (const below of word.words) ownWord(page, below, word.path)
}

const placeName = ({ name, required, several }: CommandNode['places'][number]): string => {
  const text = `${name.toUpperCase()}${several ? '...' : ''}`
  return required ? text : `[${text}]`
}

const placeText = (describe: string, choices: readonly string[]): string =>
  `${sentence(describe)}${choices.length > 0 ? `\nOne of ${choices.map((word) => `\`${word}\``).join(', ')}.` : ''}`

function options(page: RoffPage, heading: string, all: readonly CommandOption[]): void {
  page.section(heading)
  for (const group of new Set(all.map((option) => option.group))) {
    if (group !== undefined && group !== 'Options:') page.subsection(group.replace(/:$/, ''))
    for (const option of all) if (option.group === group) optionEntry(page, option)
  }
}

function optionEntry(page: RoffPage, option: CommandOption): void {
  const { flags, negation, describe, choices, several } = option
  const often = several ? '\nMay be given several times.' : ''
  const words = choices.length > 0 ? `\nOne of ${choices.map((word) => `\`${word}\``).join(', ')}.` : ''
  page.entry([...flags, ...(negation ? [negation] : [])].join(', '), `${sentence(describe)}${words}${often}`, valueName(option))
}

function valueName(option: CommandOption): string {
  if (option.value === 'none') return ''
  const kind = kindOfOption(option) ?? 'text'
  const name = typeof kind === 'string' ? (VALUE_NAMES[kind] ?? 'VALUE') : 'WORD'
  return option.value === 'optional' ? `[${name}]` : name
}

const VALUE_NAMES: Readonly<Record<string, string>> = {
  number: 'N',
  file: 'FILE',
  directory: 'DIR',
  agent: 'ID',
  'runtime-policy': 'NAME',
  'mb-policy': 'NAME',
  policy: 'NAME',
}

function examples(page: RoffPage, { examples: all }: CommandNode): void {
  if (all.length === 0) return
  page.section('EXAMPLES')
  for (const [i, [command, what]] of all.entries()) page.text(...(i > 0 ? [''] : []), `${upperFirst(what)}:`).commands([command])
}

function environment(page: RoffPage, role?: ConfiguredRole): void {
  page.section('ENVIRONMENT')
  page.entry('KEYLIME_DIR', 'Where keys and state are. Relative paths are below it. Default: `/var/lib/keylime`.')
  if (role) {
    page.entry(`KEYLIME_${role.toUpperCase()}_CONFIG`, 'Read this configuration file instead of all others.')
    page.entry(`KEYLIME_${role.toUpperCase()}_OPTION`, `Each option of keylime-${role}.conf(5), in upper case. It overrides the files.`)
  }
  page.entry('NO_COLOR', 'Switches colours off.')
  page.entry('PAGER', 'The program that shows help which is longer than the terminal. Default: `less`.')
}

function files(page: RoffPage, role: ConfiguredRole): void {
  page.section('FILES')
  page.entry(`/etc/keylime/${role}.conf`, `The configuration, see keylime-${role}.conf(5).`)
  page.entry(`/etc/keylime/${role}.conf.d/`, 'Drop-ins: the role reads them after it, in the order of their names.')
  page.entry('/var/lib/keylime/', 'Keys and state.')
}

function ending(page: RoffPage, seeAlso: readonly string[]): RoffPage {
  page.section('EXIT STATUS')
  for (const [code, meaning] of EXIT_CODES) page.entry(String(code), sentence(upperFirst(meaning)))
  return page.section('SEE ALSO').text(seeAlso.join(', '))
}

const sentence = (text: string): string => (/[.:!?]$/.test(text) || text === '' ? text : `${text}.`)
const upperFirst = (text: string): string => text.slice(0, 1).toUpperCase() + text.slice(1)
const lowerFirst = (text: string): string => (/^[A-Z][a-z]/.test(text) ? text.slice(0, 1).toLowerCase() + text.slice(1) : text)

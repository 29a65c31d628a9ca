import { parse } from 'yaml'
import { z } from 'zod'
import { KeylimeError } from '../../core/errors.ts'
import { cutText } from '../../core/verdict/bounded-text.ts'

/** A machine of a list, and what the list says of it: values by column, a name that the caller knows or refuses. */
export interface ListedMachine {
  /** Of the file, from 1; of YAML the place in the list. */
  readonly line: number
  readonly values: Readonly<Record<string, string>>
}

const MAX_MACHINES = 100_000
const MAX_WORDS = 200
/** What a column may be called besides the name of an option. */
const NAMES: Readonly<Record<string, string>> = { address: 'targethost', ip: 'targethost', host: 'targethost', id: 'uuid', agent: 'uuid' }
const DEFAULT_COLUMNS = ['address', 'id']

/**
 * Reads a list of machines: YAML, a list of maps, for a file that ends in .yaml or .yml; else CSV, with a first line that names the columns or, without one,
 * `address,id`. Columns are `address`, `id`, and long names of options. @throws KeylimeError `malformed` with the line.
 */
export function readMachineList(text: string, file: string): ListedMachine[] {
  const machines = /\.ya?ml$/i.test(file) ? fromYaml(text, file) : fromCsv(text, file)
  if (machines.length === 0) throw new KeylimeError('malformed', `${file} lists no machine`)
  if (machines.length > MAX_MACHINES) throw new KeylimeError('malformed', `${file} lists more than ${MAX_MACHINES} machines`)
  return machines
}

const yamlList = z.array(z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])))

function fromYaml(text: string, file: string): ListedMachine[] {
  let document: unknown
  try {
    document = parse(text, { maxAliasCount: 0, logLevel: 'error' })
  } catch (cause) {
    throw new KeylimeError('malformed', `${file} is not YAML: ${cutText((cause as Error).message.split('\n')[0] ?? '', MAX_WORDS)}`, {
      cause,
    })
  }
  const list = yamlList.safeParse(document)
  if (!list.success)
    throw new KeylimeError('malformed', `${file} is not a list of machines`, { hint: 'write `- address: 10.0.0.7` and `  id: …` for each' })
  return list.data.map((machine, i) => ({
    line: i + 1,
    values: Object.fromEntries(Object.entries(machine).map(([name, value]) => [nameOf(name), String(value)])),
  }))
}

function fromCsv(text: string, file: string): ListedMachine[] {
  const rows = rowsOf(text, file).filter(({ cells, isRemark }) => !(cells.length === 1 && cells[0] === '') && !isRemark)
  const [first] = rows
  const named = first?.cells.some(
    (cell) => Object.hasOwn(NAMES, cell.toLowerCase()) || cell.toLowerCase() === 'uuid' || cell.toLowerCase() === 'targethost',
  )
  const columns = (named ? first!.cells : DEFAULT_COLUMNS).map((cell) => nameOf(cell))
  return rows.slice(named ? 1 : 0).map(({ line, cells }) => {
    if (cells.length > columns.length)
      throw new KeylimeError('malformed', `line ${line} of ${file} has ${cells.length} columns, ${columns.length} are named`, {
        hint: 'name the columns in the first line, such as address,id,runtime-policy-name',
      })
    return { line, values: Object.fromEntries(cells.flatMap((cell, i) => (cell === '' ? [] : [[columns[i]!, cell]]))) }
  })
}

function nameOf(cell: string): string {
  const name = cell.trim().toLowerCase()
  return Object.hasOwn(NAMES, name) ? NAMES[name]! : cell.trim()
}

interface Row {
  line: number
  cells: string[]
  /** It begins with `#`, and not with a quote. */
  isRemark: boolean
}

/** RFC 4180: cells in quotes may hold commas, lines, and quotes twice. */
function rowsOf(text: string, file: string): Row[] {
  const rows: Row[] = []
  const pattern = /(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r?\n|$)/y
  let row: Row = { line: 1, cells: [], isRemark: false }
  const content = text.replace(/^\ufeff/, '')
  for (let at = 0, line = 1; at <= content.length; ) {
    pattern.lastIndex = at
    const match = pattern.exec(content)
    if (!match) throw new KeylimeError('malformed', `line ${line} of ${file} is not CSV: there is a quote where none may be`)
    if (row.cells.length === 0 && match[2]?.trimStart().startsWith('#')) row.isRemark = true
    row.cells.push((match[1]?.replaceAll('""', '"') ?? match[2] ?? '').trim())
    line += match[0].split('\n').length - 1
    at = pattern.lastIndex
    if (match[3] === ',') continue
    rows.push(row)
    row = { line, cells: [], isRemark: false }
    if (match[3] === '') break
  }
  return rows
}

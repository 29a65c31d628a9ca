import assert from 'node:assert/strict'
import { type ListedMachine, readMachineList } from '../../../src/io/files/machine-list.ts'
import { demand, type Target, text, unlessRefused } from '../target.ts'

/** A list of machines (`--from`), of which the first byte says whether it is YAML: written again as CSV with every cell in quotes it is the same, and each machine is of a line that is there. */
export const machineList: Target = {
  seeds: () => [
    text('caddress,id,runtime-policy-name', '10.0.0.7,d432fbb3,web', '', '# gone', '10.0.0.8,"a ""b"", c",'),
    text('c10.0.0.7,one', '10.0.0.8'),
    text('c\ufeffip;id', '"10.0.0.7\n",x'),
    text('y- address: 10.0.0.7', '  id: one', '  targetport: 9002', '- {host: b, agent: 2}'),
    text('y- &a', '  id: one', '- *a'),
  ],
  words: ['"', '""', '\r\n', 'address', 'uuid', 'targethost', '__proto__', '- id: ', '&a', '*a'],
  run(input) {
    const [first = 0] = input
    const isYaml = (first & 1) === 1
    if (isYaml && input.length > MAX_YAML) return
    const source = input.toString('utf8', 1)
    const machines = unlessRefused(['malformed'], () => readMachineList(source, isYaml ? 'a.yaml' : 'a.csv'))
    if (!machines) return
    const lines = isYaml ? machines.length : source.split('\n').length
    demand(
      machines.every(({ line }, i) => line >= 1 && line <= lines && (i === 0 || line >= machines[i - 1]!.line)),
      'a machine has a line that is not there',
    )
    const columns = [...new Set(['uuid', ...machines.flatMap(({ values }) => Object.keys(values))])]
    if (machines.some(({ values }) => Object.keys(trimmed(values)).length === 0)) return
    if (columns.some((name) => name.trim() !== name || NAMES.test(name))) return // of YAML: other names for the same
    const again = readMachineList(printed(columns, machines), 'a.csv')
    assert.deepEqual(
      again.map(({ values }) => values).map(sorted),
      machines
        .map(({ values }) => values)
        .map(trimmed)
        .map(sorted),
    )
  },
}

/** The library’s time for flow collections without end grows faster than their size; an operator’s own list has none. */
const MAX_YAML = 4096

/** Names that mean others, in whatever case. */
const NAMES = /^(?:address|ip|host|id|agent|#.*|)$/i

const quoted = (cell: string) => `"${cell.replaceAll('"', '""')}"`

function printed(columns: readonly string[], machines: readonly ListedMachine[]): string {
  const rows = [columns, ...machines.map(({ values }) => columns.map((name) => (Object.hasOwn(values, name) ? values[name]! : '')))]
  return rows.map((row) => row.map(quoted).join(',')).join('\r\n')
}

/** Cells of CSV have no blanks around them, and an empty one says nothing. */
const trimmed = (values: ListedMachine['values']) =>
  Object.fromEntries(Object.entries(values).flatMap(([name, value]) => (value.trim() === '' ? [] : [[name, value.trim()]])))

const sorted = (values: ListedMachine['values']) => Object.entries(values).toSorted(([a], [b]) => (a < b ? -1 : 1))

import assert from 'node:assert/strict'
import { readIniFile } from '../../../src/config/ini-file.ts'
import { pythonReference } from '../python-reference.ts'
import { demand, type Target, text } from '../target.ts'

const UPSTREAM = `
import configparser
def answer(text):
    parser = configparser.RawConfigParser()
    parser.read_string(text)
    return {name: dict(parser.items(name)) for name in parser.sections()}
`
let reference: ReturnType<typeof pythonReference> | undefined

/** Configuration files: all faults are told by line, and a file that Python reads as well has the values that Python sees. */
export const iniFile: Target = {
  seeds: () => [
    text('[verifier]', 'ip = 127.0.0.1', 'port: 8881', '# comment', 'list = ["a",', '  "b"]', '', '[DEFAULT]', 'x = y'),
    text('[agent]', 'name = "quoted" # behind', "literal = 'x'", 'list = [', '"a", # one', ']', 'escaped = "a\\n\\u0041"'),
    text('no section = 1', '[a', '= 3', '[a]', 'x', 'x = 1', 'X = 2'),
  ],
  words: ['[DEFAULT]', '\n[', ']\n', ' = ', ': ', '\n  ', '"""', '#', ';', '\r\n'],
  run(input) {
    const source = input.toString('utf8')
    for (const dialect of ['python', 'toml'] as const) {
      const { entries, problems } = readIniFile(source, dialect)
      const count = source.split('\n').length
      demand(
        [...entries, ...problems].every(({ line }) => line >= 1 && line <= count),
        'a line is named that is not there',
      )
      const keys = entries.map(({ section, key }) => JSON.stringify([section, key]))
      demand(new Set(keys).size === keys.length, 'an option is there twice')
      demand(
        problems.every(({ message }) => message.length < 10_000),
        'a problem is told at too great a length',
      )
    }
    compareWithPython(source)
  },
}

/** Only printable ASCII: what a line break or a blank is beyond that is a matter of each language. */
function compareWithPython(source: string): void {
  if (!/^[\x20-\x7e\n]*$/.test(source)) return
  reference ??= pythonReference(UPSTREAM)
  const { entries, problems } = readIniFile(source, 'python')
  const python = problems.length === 0 ? reference?.(source) : null
  if (!python) return
  const ours: Record<string, Record<string, string>> = {}
  const defaults = Object.fromEntries(entries.filter(({ section }) => section === 'DEFAULT').map(({ key, value }) => [key, value]))
  for (const { section, key, value } of entries) if (section !== 'DEFAULT') ours[section] = { ...defaults, ...ours[section], [key]: value }
  const theirs = python.value as Record<string, Record<string, string>>
  for (const [section, values] of Object.entries(ours)) assert.deepEqual(values, unquoted(theirs[section] ?? {}), `section ${section}`)
}

/** As upstream's own reading of an option takes quotes away. */
const unquoted = (values: Record<string, string>) =>
  Object.fromEntries(Object.entries(values).map(([key, value]) => [key, value.replace(/^["\s]+|["\s]+$/g, '')]))

import assert from 'node:assert/strict'
import { readIniFile } from '../../../src/config/ini-file.ts'
import { parsePythonLiteral } from '../../../src/config/python-literal.ts'
import { pythonReference } from '../python-reference.ts'
import { type Target, text } from '../target.ts'

const REFERENCE = `
import tomllib
def answer(text):
    return {name: {key: value for key, value in table.items() if isinstance(value, (str, bool, int, list))} for name, table in tomllib.loads(text).items() if isinstance(table, dict)}
`
let reference: ReturnType<typeof pythonReference> | undefined

/** agent.conf of the Rust agent: texts, numbers, words and lists of texts are what a TOML reader sees in them. */
export const tomlFile: Target = {
  seeds: () => [
    text(
      '[agent]',
      'ip = "127.0.0.1"',
      'port = 9002',
      'enable = true',
      "literal = 'a\\b'",
      'list = ["a", "b"]',
      'escaped = "a\\n\\u0041\\"" # c',
    ),
    text('[agent]', 'actions = [', '  "a", # first', '  "b",', ']', '"quoted" = "x"', 'x = "" '),
  ],
  words: ['[agent]\n', ' = "', ' = [', '\\u0041', '\\"', "'", '#', '\n]', 'true', '0x'],
  run(input) {
    const source = input.toString('utf8')
    if (!/^[\x20-\x7e\n]*$/.test(source) || /'''|"""/.test(source)) return
    const { entries, problems } = readIniFile(source, 'toml')
    reference ??= pythonReference(REFERENCE)
    const toml = problems.length === 0 ? reference?.(source) : null
    if (!toml) return
    for (const { section, key, value } of entries) {
      const theirs: unknown = (toml.value as Record<string, Record<string, unknown>>)[section]?.[key]
      if (typeof theirs === 'string') assert.equal(value, theirs.trim() === theirs ? theirs : value, `${section}.${key}`)
      else if (typeof theirs === 'boolean') assert.equal(value, String(theirs), `${section}.${key}`)
      else if (Array.isArray(theirs) && theirs.length > 0 && theirs.every((item) => typeof item === 'string' && /^[\w ,.-]*$/.test(item)))
        assert.deepEqual(parsePythonLiteral(value), theirs, `${section}.${key}`)
    }
  },
}
